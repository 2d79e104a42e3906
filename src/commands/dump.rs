//! `flumen dump`: what lies in a data directory, and whether it is sound.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, ArgMatches, Command};
use flumen::log::directory::{DOOMED_SUFFIX, Kind, file_name, parse_file_name};
use flumen::model::offset::Offset;

use super::Outcome;
use journal::JournalEnd;
use known::{Extent, Known, data_directory};
use report::Report;

mod companion;
mod index;
mod journal;
mod known;
mod report;
mod segment;
mod window;

/// How deep directories are followed.
const DEPTH_MAX: usize = 8;

/// The command's flags.
pub fn command() -> Command {
    let paths = Arg::new("path")
        .value_name("PATH")
        .required(true)
        .num_args(1..)
        .value_parser(clap::value_parser!(PathBuf))
        .help("Files, or directories with everything below them");
    let records =
        Arg::new("records").long("records").action(ArgAction::SetTrue).help("Print the records of the batches too");
    let verify =
        Arg::new("verify").long("verify").action(ArgAction::SetTrue).help("Print only what is damaged, and a summary");
    Command::new("dump")
        .about("Print and verify files of a data directory: segments, indexes, snapshots, journals, checkpoints")
        .arg(paths)
        .arg(records)
        .arg(verify)
}

/// Prints all files; an error when any is damaged.
pub fn run(matches: &ArgMatches) -> Outcome {
    let mut files = Vec::new();
    let mut roots = Vec::new();
    for path in matches.get_many::<PathBuf>("path").into_iter().flatten() {
        collect(path, &mut files, &mut roots).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    files.sort_by_key(|(kind, path, _)| {
        (*kind, path.parent().map(Path::to_owned), path.file_name().map(ToOwned::to_owned))
    });
    let mut dump = Dump {
        report: Report::new(matches.get_flag("verify")),
        known: BTreeMap::new(),
        journals: Vec::new(),
        with_records: matches.get_flag("records"),
    };
    dump.report.expect_bytes(files.iter().map(|(_, _, bytes)| bytes).sum());
    for (kind, path, _) in &files {
        dump.file(*kind, path).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    journal::check_chains(std::mem::take(&mut dump.journals), &mut dump.report);
    for root in roots {
        dump.check_presence(&root);
    }
    dump.report.summary();
    match dump.report.counts.problems {
        0 => Ok(()),
        problems => Err(format!("{problems} places are damaged")),
    }
}

/// What a file is, in the order in which files are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum FileKind {
    Checkpoint,
    Journal,
    LeaderEpochs,
    OfSegment,
}

impl FileKind {
    fn of(path: &Path) -> Option<FileKind> {
        let name = path.file_name()?.to_str()?;
        if parse_file_name(name).is_some() {
            return Some(FileKind::OfSegment);
        }
        match (name, path.extension().and_then(|extension| extension.to_str())) {
            ("leader-epoch-checkpoint", _) => Some(FileKind::LeaderEpochs),
            (_, Some("checkpoint")) => Some(FileKind::Checkpoint),
            (_, Some("journal")) => Some(FileKind::Journal),
            _ => None,
        }
    }
}

/// Adds the file at `path`, or all below it, and the data directories that were named as such.
fn collect(path: &Path, files: &mut Vec<(FileKind, PathBuf, u64)>, roots: &mut Vec<PathBuf>) -> Result<(), String> {
    let metadata = std::fs::metadata(path).map_err(|error| error.to_string())?;
    if metadata.is_dir() {
        if path.join("checkpoint").is_dir() {
            roots.push(path.to_owned());
        }
        return descend(path, 0, files).map_err(|error| error.to_string());
    }
    let kind = FileKind::of(path).ok_or("its name is that of no file of a data directory")?;
    files.push((kind, path.to_owned(), metadata.len()));
    Ok(())
}

fn descend(directory: &Path, depth: usize, files: &mut Vec<(FileKind, PathBuf, u64)>) -> io::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let (path, kind) = (entry.path(), entry.file_type()?);
        if kind.is_dir() && depth < DEPTH_MAX && !entry.file_name().to_string_lossy().ends_with(DOOMED_SUFFIX) {
            descend(&path, depth + 1, files)?;
        } else if kind.is_file()
            && let Some(kind) = FileKind::of(&path)
        {
            files.push((kind, path, entry.metadata()?.len()));
        }
    }
    Ok(())
}

/// One run of the command.
struct Dump {
    report: Report,
    /// What the checkpoints of each data directory say; `None` for a directory without any.
    known: BTreeMap<PathBuf, Option<Known>>,
    journals: Vec<JournalEnd>,
    with_records: bool,
}

impl Dump {
    fn known(&mut self, path: &Path) -> Option<&Known> {
        let data = data_directory(path)?;
        self.known.entry(data).or_insert_with_key(|data| Known::read(data)).as_ref()
    }

    /// Prints one file. One that is gone by now was removed by a running broker.
    fn file(&mut self, kind: FileKind, path: &Path) -> io::Result<()> {
        self.report.counts.files += 1;
        self.report.line(|| format!("# {}", path.display()));
        match self.content(kind, path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.report.line(|| "removed meanwhile".to_owned());
                Ok(())
            }
            result => result,
        }
    }

    fn content(&mut self, kind: FileKind, path: &Path) -> io::Result<()> {
        match kind {
            FileKind::Checkpoint => companion::dump_checkpoint(path, &mut self.report),
            FileKind::Journal => {
                self.known(path);
                let known = data_directory(path).and_then(|data| self.known.get(&data)?.as_ref());
                let end = journal::dump(path, known, &mut self.report)?;
                self.journals.extend(end);
                Ok(())
            }
            FileKind::LeaderEpochs => companion::dump_epochs(path, &mut self.report),
            FileKind::OfSegment => self.segment_file(path),
        }
    }

    fn segment_file(&mut self, path: &Path) -> io::Result<()> {
        let named = path.file_name().and_then(|name| parse_file_name(name.to_str()?));
        let Some((base, kind)) = named else { return Ok(()) };
        let extent = self.extent(path, base);
        match kind {
            Kind::Log => segment::dump(path, extent, self.with_records, &mut self.report),
            Kind::Index => index::dump_offsets(path, extent, &mut self.report),
            Kind::TimeIndex => index::dump_times(path, extent, &mut self.report),
            Kind::Snapshot => companion::dump_snapshot(path, &mut self.report),
            Kind::TransactionIndex => companion::dump_transactions(path, &mut self.report),
        }
    }

    fn extent(&mut self, path: &Path, base: Offset) -> Extent {
        let canonical = path.canonicalize().ok();
        let name = canonical.as_deref().and_then(|path| Some(path.parent()?.file_name()?.to_str()?.to_owned()));
        let Some(known) = self.known(path) else { return Extent::Whole };
        known.extent(&name.unwrap_or_default(), base)
    }

    /// Checks that the segments that the checkpoints below `root` rely on exist.
    fn check_presence(&mut self, root: &Path) {
        let Some(known) = root.canonicalize().ok().and_then(|root| self.known.get(&root)?.as_ref()) else { return };
        let paths = known.required().into_iter().map(|(name, base)| root.join(name).join(file_name(base, Kind::Log)));
        for path in paths.filter(|path| !path.exists()) {
            self.report.problem(&path, 0, "the file is missing, and a checkpoint relies on it");
        }
    }
}
