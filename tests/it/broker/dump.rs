//! `flumen dump` on every kind of file, sound and damaged.

use std::path::Path;
use std::process::Command;

use super::damage::{End, Scene, TOPIC, cut, files, flip, zero};

/// What the command printed, and its exit code.
fn dump(arguments: &[&str]) -> (String, i32) {
    let output = Command::new(env!("CARGO_BIN_EXE_flumen")).arg("dump").args(arguments).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    assert!(!text.contains("panicked"), "{text}");
    (text, output.status.code().unwrap())
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_sound_directory_is_printed_and_found_sound() {
    for end in [End::Stopped, End::Killed] {
        let scene = Scene::new(end);
        let (_copy, data) = scene.copy();
        let (verified, code) = dump(&["--verify", text(&data)]);
        assert_eq!((verified.lines().count(), code), (1, 0), "{end:?}: {verified}");
        assert!(verified.ends_with(" 0 problems\n"), "{verified}");
        let (printed, code) = dump(&[text(&data)]);
        assert_eq!(code, 0, "{end:?}");
        let expected = [
            // Checkpoints and journals.
            "\"kept-0\"",
            "records  CRC ok",
            "owner state",
            "group 0  position 4096",
            "append ",
            if end == End::Stopped { "covered by a checkpoint" } else { "  new" },
            "the live groups end at position",
            // Segments with their companions.
            "offsets 0-1  position 0",
            "compression none",
            "offset 3  position ",
            "timestamp 1000011  offset 3",
            "epoch 0  from offset 0",
            "problems",
        ];
        for phrase in expected {
            assert!(printed.contains(phrase), "{end:?}: nothing says '{phrase}'");
        }
        for ending in [".log", ".index", ".timeindex", ".checkpoint", ".journal", "leader-epoch-checkpoint"] {
            for path in files(&data, ending) {
                assert!(printed.contains(&format!("# {}", path.display())), "{} is printed", path.display());
            }
        }
    }
}

#[test]
fn records_are_printed_when_asked_for() {
    let scene = Scene::new(End::Stopped);
    let (_copy, data) = scene.copy();
    let path = files(&data.join(format!("{TOPIC}-1")), ".log").remove(0);
    let (printed, code) = dump(&["--records", text(&path)]);
    assert_eq!(code, 0);
    assert!(printed.contains("producer 9001 epoch 0 sequence 0"), "{printed}");
    assert!(printed.contains("| offset 1  timestamp 1000001  key \"key\"  value \"0/1 "), "{printed}");
    let total: i64 = scene.batches[1].iter().map(|batch| batch.next - batch.base).sum();
    assert_eq!(printed.matches("  | offset ").count() as i64, total);
    assert!(printed.contains(&format!("{} batches of {total} records", scene.batches[1].len())), "{printed}");
}

#[test]
fn damage_is_told_with_file_and_position() {
    let (stopped, killed) = (Scene::new(End::Stopped), Scene::new(End::Killed));
    type Damage = fn(&Path);
    // (the scene, the ending, the damage, the least position that may be told, the greatest)
    let cases: [(&Scene, &str, Damage, u64, u64); 14] = [
        (&stopped, ".log", |path| flip(path, 200, 1), 0, 0),
        (&stopped, ".log", |path| flip(path, 16, 1), 0, 0),
        (&stopped, ".log", |path| zero(path, 8192, 4096), 0, 8192),
        (&stopped, ".log", |path| cut(path, 50_000), 30_000, 50_000),
        (&stopped, ".index", |path| flip(path, 20, 1), 0, 24),
        (&stopped, ".index", |path| cut(path, 12), 0, 12),
        (&stopped, ".timeindex", |path| flip(path, 20, 1), 0, 24),
        (&stopped, ".snapshot", |path| flip(path, 30, 1), 0, 100),
        (&stopped, "leader-epoch-checkpoint", |path| zero(path, 0, 4), 0, 4),
        (&stopped, ".checkpoint", |path| flip(path, 1024 + 40, 1), 1024, 1024),
        (&stopped, ".checkpoint", |path| zero(path, 0, 1024), 0, 0),
        (&killed, ".journal", |path| flip(path, 20, 1), 0, 0),
        (&killed, ".journal", |path| zero(path, 4096 * 3, 4096), 4096, 4096 * 3),
        (&killed, ".checkpoint", |path| cut(path, 1500), 1024, 1500),
    ];
    for (at, (scene, ending, damage, least, greatest)) in cases.into_iter().enumerate() {
        let (_copy, data) = scene.copy();
        let all = files(&data, ending);
        // The largest holds something at each of the places above.
        let path = all.iter().max_by_key(|path| std::fs::metadata(path).unwrap().len()).unwrap();
        let path = match ending {
            // All journals have one size; of the one that was written most the front is in use.
            ".journal" => all.iter().find(|path| is_busy(path)).unwrap(),
            // What is reserved behind their ends counts for nothing.
            ".checkpoint" => all.iter().max_by_key(|path| used_bytes(path)).unwrap(),
            _ => path,
        };
        damage(path);
        let (told, code) = dump(&["--verify", text(&data)]);
        assert_eq!(code, 1, "case {at}, {ending}: {told}");
        let start = format!("CORRUPT {} at position ", path.display());
        let position = told.lines().find_map(|line| line.strip_prefix(&start)?.split(':').next()?.parse::<u64>().ok());
        let position = position.unwrap_or_else(|| panic!("case {at}, {ending}: {told}"));
        assert!((least..=greatest).contains(&position), "case {at}, {ending}: {told}");
    }
}

/// Where the last byte that is not zero ends.
fn used_bytes(path: &Path) -> usize {
    let bytes = std::fs::read(path).unwrap();
    bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
}

fn is_busy(path: &Path) -> bool {
    let bytes = std::fs::read(path).unwrap();
    bytes[..4] != [0; 4] && bytes[4096 * 8..4096 * 8 + 4] != [0; 4]
}

#[test]
fn what_is_missing_or_unknown_is_said() {
    let scene = Scene::new(End::Stopped);
    let (_copy, data) = scene.copy();
    let path = files(&data.join(format!("{TOPIC}-0")), ".log").remove(0);
    std::fs::remove_file(&path).unwrap();
    let (told, code) = dump(&["--verify", text(&data)]);
    assert_eq!(code, 1);
    assert!(told.contains(&format!("CORRUPT {}", path.display())) && told.contains("missing"), "{told}");
    let (told, code) = dump(&[text(&data.join("nothing"))]);
    assert_eq!(code, 1);
    assert!(told.contains("nothing"), "{told}");
    let notes = data.join("notes.txt");
    std::fs::write(&notes, "mine").unwrap();
    let (told, code) = dump(&[text(&notes)]);
    assert_eq!(code, 1);
    assert!(told.contains("its name is that of no file of a data directory"), "{told}");
}

#[test]
fn indexes_of_aborted_transactions_are_printed() {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = directory.path().join("00000000000000000000.txnindex");
    let entry: Vec<u8> =
        [&[0, 0][..], &7_i64.to_be_bytes(), &3_i64.to_be_bytes(), &9_i64.to_be_bytes(), &10_i64.to_be_bytes()].concat();
    std::fs::write(&path, &entry).unwrap();
    let (printed, code) = dump(&[text(&path)]);
    assert_eq!(code, 0, "{printed}");
    assert!(printed.contains("aborted: producer 7  offsets 3-9  last stable offset 10"), "{printed}");
    std::fs::write(&path, &entry[..20]).unwrap();
    let (told, code) = dump(&[text(&path)]);
    assert_eq!(code, 1);
    assert!(told.contains("CORRUPT"), "{told}");
}
