//! The architecture as data, held against every file below `src/`: which module may name which, what stays behind
//! which door, and that `src/ARCHITECTURE.md` speaks of what is there. There is no list of exemptions.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

#[path = "architecture/source.rs"]
mod source;

use source::SourceFile;

/// The modules and their levels: a file may name a module of a lower level, or its own.
const LEVELS: [(&str, u32); 14] = [
    ("sim", 8),
    ("broker", 7),
    ("coordinator", 6),
    ("metadata", 5),
    ("shard", 4),
    ("log", 3),
    ("producer", 3),
    ("io", 2),
    ("record", 2),
    ("protocol", 2),
    ("model", 1),
    ("base", 0),
    // Programs stand beside the library and name it as any other program would.
    ("commands", PROGRAM),
    ("bin", PROGRAM),
];
const PROGRAM: u32 = u32::MAX;

/// What levels alone would allow and is not to be: who, and the path that it does not name.
const BLIND: [(&str, &[&str]); 9] = [
    // The log knows bytes, offsets and epochs.
    ("log", &["crate", "protocol"]),
    ("log", &["crate", "io", "socket"]),
    // The shard sees no socket and no api version.
    ("shard", &["crate", "protocol"]),
    ("shard", &["crate", "io", "socket"]),
    // The broker reaches the log through shards.
    ("broker", &["crate", "log"]),
    // The metadata machines decide; they do no I/O, and know neither shards nor the bytes of a request.
    ("metadata", &["crate", "io"]),
    ("metadata", &["crate", "log"]),
    ("metadata", &["crate", "shard"]),
    ("metadata", &["crate", "protocol"]),
];

/// Modules that talk to a kernel: the substrate, and the programs around the library.
const KERNEL_DOOR: [&str; 4] = ["io", "commands", "bin", ""];
/// What only they name, at the front of a path.
const KERNEL_CRATES: [&str; 4] = ["libc", "io_uring", "nix", "socket2"];
/// What of `std` only they name. `core::time::Duration` and `core::net`'s addresses are plain data and reach no kernel.
const KERNEL_STD: [&str; 7] = ["env", "fs", "net", "os", "process", "thread", "time"];

/// Where `unsafe` may stand.
const UNSAFE_DOOR: [&str; 2] = ["io", "base"];
/// How many lines above an `unsafe` its reason stands at most.
const REASON_LINES_MAX: usize = 8;

/// Decisions as plain functions: nothing in them waits.
const PURE: [&str; 4] = ["record", "protocol", "producer", "metadata"];

/// Who names the trait between the broker and a kernel.
const BACKEND_DOOR: [&str; 2] = ["io", "sim"];

const ARCHITECTURE: &str = include_str!("../src/ARCHITECTURE.md");

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// Every Rust file below `src/`, in order.
fn files() -> Vec<SourceFile> {
    let (mut files, mut directories) = (Vec::new(), vec![root()]);
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(&directory).expect("src/ can be listed") {
            let path = entry.expect("src/ can be listed").path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).expect("sources are text");
                files.push(SourceFile::new(path.strip_prefix(root()).expect("it is below src/"), &text));
            }
        }
    }
    files.sort_by(|left, right| left.path.cmp(&right.path));
    assert!(files.len() > 100, "only {} files were found", files.len());
    files
}

fn level(module: &str) -> Option<u32> {
    LEVELS.iter().find(|(name, _)| *name == module).map(|(_, level)| *level)
}

fn assert_none(violations: &[String]) {
    assert!(violations.is_empty(), "{} violations:\n{}", violations.len(), violations.join("\n"));
}

/// What a file names against its level.
fn against_levels(file: &SourceFile) -> Vec<String> {
    let own = file.top();
    if own.is_empty() || level(own) == Some(PROGRAM) {
        return Vec::new();
    }
    let mut violations = Vec::new();
    for path in file.paths().iter().filter(|path| path.segments[0] == "crate") {
        let named = path.segments.get(1).map_or("", String::as_str);
        let allowed = named == own || level(named) < level(own) && level(named).is_some();
        if !allowed {
            violations.push(format!("{}: {own} may not name crate::{named}", file.at(path.line)));
        }
    }
    violations
}

#[test]
fn every_file_names_lower_levels_only() {
    assert_none(&files().iter().flat_map(against_levels).collect::<Vec<_>>());
}

#[test]
fn modules_are_blind_where_they_should_be() {
    let mut violations = Vec::new();
    for file in files() {
        for path in file.paths() {
            for (_, blind) in BLIND.iter().filter(|(module, _)| *module == file.top()) {
                if path.segments.iter().map(String::as_str).take(blind.len()).eq(blind.iter().copied()) {
                    violations.push(format!(
                        "{}: {} does not know {}",
                        file.at(path.line),
                        file.top(),
                        blind.join("::")
                    ));
                }
            }
        }
    }
    assert_none(&violations);
}

/// What a file names of the kernel.
fn of_the_kernel(file: &SourceFile) -> Vec<String> {
    let mut violations = Vec::new();
    for path in file.paths() {
        let second = path.segments.get(1).map(String::as_str);
        let first = path.segments[0].as_str();
        // A lone `std` would be given another name, behind which everything could hide.
        let hidden = first == "std" && matches!(second, None | Some("self" | "*"));
        let names_std = first == "std" && second.is_some_and(|second| KERNEL_STD.contains(&second));
        if hidden || names_std || KERNEL_CRATES.contains(&first) && second.is_some() {
            violations.push(format!("{}: {} is behind the door of io", file.at(path.line), path.segments.join("::")));
        }
    }
    violations
}

#[test]
fn the_substrate_alone_talks_to_a_kernel() {
    let others = files().into_iter().filter(|file| !KERNEL_DOOR.contains(&file.top()));
    assert_none(&others.flat_map(|file| of_the_kernel(&file)).collect::<Vec<_>>());
}

#[test]
fn unsafe_code_stands_in_two_modules_and_gives_its_reason() {
    let mut violations = Vec::new();
    for file in files() {
        let lines: Vec<&str> = file.text.lines().collect();
        for (at, token) in file.tokens.iter().enumerate().filter(|(_, token)| token.text == "unsafe") {
            let above = &lines[token.line.saturating_sub(REASON_LINES_MAX + 1)..token.line];
            let has_reason = above.iter().any(|line| line.contains("SAFETY:") || line.contains("# Safety"));
            // The type of a function pointer does nothing; calling through it is what needs a reason.
            let is_type = file.is(at + 1, &["fn", "("]) || file.is(at + 1, &["extern", "\"", "fn", "("]);
            if !UNSAFE_DOOR.contains(&file.top()) || !has_reason && !is_type {
                violations.push(file.at(token.line));
            }
        }
    }
    assert_none(&violations);
}

#[test]
fn decisions_do_not_wait() {
    let mut violations = Vec::new();
    for file in files().iter().filter(|file| PURE.contains(&file.top())) {
        let waiting = file.tokens.iter().filter(|token| matches!(token.text.as_str(), "async" | "await"));
        violations.extend(waiting.map(|token| file.at(token.line)));
    }
    assert_none(&violations);
}

/// Where a file asks how it was compiled, but for whole modules of tests.
fn of_the_compilation(file: &SourceFile) -> Vec<String> {
    let mut violations = Vec::new();
    for (at, token) in file.tokens.iter().enumerate() {
        let is_test_module = at >= 2
            && file.is(at - 2, &["#", "[", "cfg", "(", "test", ")", "]"])
            && (file.is(at + 5, &["mod"]) || file.is(at + 5, &["pub", "mod"]));
        if matches!(token.text.as_str(), "cfg" | "cfg_attr" | "cfg_select") && !is_test_module {
            violations.push(file.at(token.line));
        }
    }
    violations
}

#[test]
fn no_code_asks_whether_it_is_under_test() {
    assert_none(&files().iter().flat_map(of_the_compilation).collect::<Vec<_>>());
}

#[test]
fn the_seam_is_known_to_its_two_sides_alone() {
    let mut violations = Vec::new();
    for file in files().iter().filter(|file| !BACKEND_DOOR.contains(&file.top())) {
        let named = file.tokens.iter().filter(|token| token.text == "Backend");
        violations.extend(named.map(|token| file.at(token.line)));
    }
    assert_none(&violations);
}

/// The lines of one section of the document, without its title.
fn section(title: &str) -> Vec<&'static str> {
    let lines = ARCHITECTURE.lines().skip_while(|line| *line != title).skip(1);
    let section: Vec<_> = lines.take_while(|line| !line.starts_with("## ")).collect();
    assert!(!section.is_empty(), "ARCHITECTURE.md has no section '{title}'");
    section
}

/// The modules and levels of the document's table: lines that begin with a level, names that end with a slash.
fn documented_levels() -> BTreeSet<(String, u32)> {
    let mut levels = BTreeSet::new();
    for line in section("## Modules, by level") {
        let mut words = line.split_whitespace();
        let Some(Ok(level)) = words.next().map(str::parse) else { continue };
        levels.extend(words.filter_map(|word| Some((word.strip_suffix('/')?.to_owned(), level))));
    }
    levels
}

/// The modules that `lib.rs` declares; nothing else stands in it.
fn declared_modules() -> BTreeSet<String> {
    let text = std::fs::read_to_string(root().join("lib.rs")).expect("lib.rs is there");
    let code = text.lines().filter(|line| !line.is_empty() && !line.starts_with("#!["));
    let name = |line: &str| line.strip_prefix("pub mod ").and_then(|rest| rest.strip_suffix(';')).map(str::to_owned);
    code.map(|line| name(line).unwrap_or_else(|| panic!("lib.rs declares modules only: {line}"))).collect()
}

#[test]
fn the_table_of_levels_names_the_modules_that_exist() {
    let library = LEVELS.iter().filter(|(_, level)| *level != PROGRAM);
    let held: BTreeSet<(String, u32)> = library.map(|(name, level)| ((*name).to_owned(), *level)).collect();
    assert_eq!(held, documented_levels(), "left: this test's table; right: ARCHITECTURE.md's");
    let names: BTreeSet<String> = held.into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, declared_modules(), "left: the table; right: lib.rs");
    let directories: BTreeSet<String> = files().iter().map(|file| file.top().to_owned()).collect();
    let unknown: Vec<_> = directories.iter().filter(|name| !name.is_empty() && level(name).is_none()).collect();
    assert!(unknown.is_empty(), "directories of src/ without a level: {unknown:?}");
}

/// The modules that exist for tests only, as paths without an extension.
fn test_modules(files: &[SourceFile]) -> Vec<PathBuf> {
    let mut modules = Vec::new();
    for file in files {
        let directory: PathBuf = file.module().iter().collect();
        for at in 0..file.tokens.len() {
            if file.is(at, &["#", "[", "cfg", "(", "test", ")", "]", "mod"]) && file.is(at + 9, &[";"]) {
                modules.push(directory.join(&file.tokens[at + 8].text));
            }
        }
    }
    modules
}

/// The files that the map names: headings name a directory, what stands between backticks below them its files.
fn mapped_files() -> BTreeSet<PathBuf> {
    let (mut directory, mut mapped) = (None, BTreeSet::new());
    for line in section("## Map") {
        let quoted = line.split('`').skip(1).step_by(2);
        if line.starts_with("### ") {
            directory = quoted.last().map(|name| PathBuf::from(name.trim_start_matches("./")));
            continue;
        }
        for name in quoted.filter(|name| name.ends_with(".rs")) {
            let directory = directory.as_ref().expect("a heading names the directory before its files");
            mapped.insert(directory.join(name));
        }
    }
    mapped
}

#[test]
fn the_map_names_the_files_that_exist() {
    let files = files();
    let for_tests = test_modules(&files);
    let is_for_tests = |path: &Path| for_tests.iter().any(|module| path.with_extension("").starts_with(module));
    let existing: BTreeSet<PathBuf> =
        files.iter().map(|file| file.path.clone()).filter(|path| !is_for_tests(path)).collect();
    let mapped = mapped_files();
    let missing = existing.difference(&mapped).map(|path| format!("not in the map: src/{}", path.display()));
    let gone = mapped.difference(&existing).map(|path| format!("in the map only: src/{}", path.display()));
    assert_none(&missing.chain(gone).collect::<Vec<_>>());
}

#[test]
fn every_module_opens_with_what_it_owns() {
    let files = files();
    let for_tests = test_modules(&files);
    let mut violations = Vec::new();
    for file in files.iter().filter(|file| file.path.ends_with("mod.rs")) {
        let module: PathBuf = file.module().iter().collect();
        if for_tests.iter().any(|tests| module.starts_with(tests)) {
            continue;
        }
        let opening: String = file.text.lines().take_while(|line| line.starts_with("//!")).collect();
        let places = ["**Owns:**", "**Never:**", "**Start reading at**"].map(|mark| opening.find(mark));
        if places.contains(&None) || !places.is_sorted() {
            violations.push(format!("{}: Owns, Never, Start reading at", file.at(1)));
        }
    }
    assert_none(&violations);
}

/// The rows of the readme's table of APIs, as `(name, versions)`.
fn documented_apis() -> BTreeSet<(String, String)> {
    let readme = std::fs::read_to_string(root().join("../README.md")).expect("the readme is text");
    let rows = readme.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| ")?.split(" | ");
        Some((cells.next()?.to_owned(), cells.next()?.to_owned()))
    });
    let is_versions = |text: &str| text.starts_with(|first: char| first.is_ascii_digit());
    let rows = rows.filter(|(_, versions)| is_versions(versions));
    rows.flat_map(|(names, versions)| {
        let versions: Vec<_> = versions.split(", ").map(str::to_owned).collect();
        names.split(", ").map(str::to_owned).zip(versions).collect::<Vec<_>>()
    })
    .collect()
}

#[test]
fn the_readme_lists_what_is_served() {
    let served = flumen::protocol::api::advertised().map(|api| {
        let versions = if api.min == api.max { api.min.to_string() } else { format!("{}-{}", api.min, api.max) };
        (api.key.name().to_owned(), versions)
    });
    assert_eq!(documented_apis(), served.collect());
}

/// The checks themselves, on files that break them.
mod checks {
    use super::*;

    fn file(path: &str, text: &str) -> SourceFile {
        SourceFile::new(Path::new(path), text)
    }

    #[test]
    fn higher_and_equal_levels_are_found_however_they_are_named() {
        for text in [
            "use crate::broker::startup;",
            "use crate::{base::block::Block, producer::state};",
            "fn f() { crate::shard::start(); }",
            "use super::super::metadata::image;",
            "mod inner { use super::super::super::broker; }",
            "use crate::*;",
            "use crate as everything;",
        ] {
            assert_eq!(against_levels(&file("log/log.rs", text)).len(), 1, "{text}");
        }
    }

    #[test]
    fn lower_levels_the_own_module_and_plain_text_are_fine() {
        for text in [
            "use crate::{base::{block, map::Map}, io as kernel, log::tail};",
            "use super::tail::Tail; pub(crate) fn f() {} pub(super) struct S;",
            "mod inner { use super::*; use super::super::tail; }",
            "// crate::broker\n/* crate::broker /* */ crate::broker */ const A: &str = \"crate::broker\";",
            "const A: &str = r#\"\" crate::broker\"#; const B: char = '\"'; fn f<'a>(a: &'a str) {}",
        ] {
            assert_none(&against_levels(&file("log/log.rs", text)));
        }
    }

    #[test]
    fn the_kernel_is_found_however_it_is_named() {
        for text in [
            "use std::fs::File;",
            "use std::{rc::Rc, time::Instant};",
            "fn f() { std::thread::yield_now(); }",
            "use std as other;",
            "fn f() { unsafe { libc::sync() } }",
            "use ::io_uring::IoUring;",
        ] {
            assert_eq!(of_the_kernel(&file("log/log.rs", text)).len(), 1, "{text}");
        }
        assert_none(&of_the_kernel(&file("log/log.rs", "use std::{io::Read, rc::Rc}; let time = 1; fs::read();")));
    }

    #[test]
    fn conditional_code_is_found() {
        for text in [
            "#[cfg(test)] fn f() {}",
            "#[cfg(feature = \"a\")] mod a;",
            "fn f() { if cfg!(test) {} }",
            "#[cfg_attr(test, derive(Debug))] struct S;",
            "#[cfg(not(test))] mod a;",
        ] {
            assert_eq!(of_the_compilation(&file("log/log.rs", text)).len(), 1, "{text}");
        }
        assert_none(&of_the_compilation(&file("log/log.rs", "#[cfg(test)]\nmod tests;")));
    }
}
