//! Damage to every kind of file at rest: it is noticed at the start or by the read that meets it, the file and the
//! position are named, and what is served is what was written. Where nothing is lost for good, nothing is missing.

use flumen::base::prng::Prng;
use flumen::log::group::{FileHeader, Found, GROUPS_START, find_group};
use flumen::model::error_code::ErrorCode;
use flumen::protocol::messages::ListOffsetsRequest;
use flumen::protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::client::{Client, fetch_request, name, produce_request};
use super::damage::{End, PARTITIONS, Scene, Start, TOPIC, cut, files, flip, name_of, refusal, start, zero};
use super::process::{Broker, pause};
use super::transactions;

/// A segment file of partition 0, by its place among them.
fn segment(data: &Path, number: usize) -> PathBuf {
    files(&data.join(format!("{TOPIC}-0")), ".log")[number].clone()
}

fn serves(data: &Path, why: &str) -> Broker {
    match start(data) {
        Start::Serves(broker) => *broker,
        Start::Refused(text) => panic!("it refuses although {why}: {text}"),
    }
}

/// Batches of one segment: position and base offset.
fn batches_of(path: &Path) -> Vec<(u64, i64)> {
    let bytes = std::fs::read(path).unwrap();
    let mut at = 0;
    let mut found = Vec::new();
    for batch in flumen::record::batches(&bytes) {
        let Ok((header, batch)) = batch else { break };
        found.push((at, header.base_offset()));
        at += batch.len() as u64;
    }
    found
}

/// Everything goes on: further batches are taken, other partitions included.
fn assert_goes_on(address: SocketAddr) {
    let mut client = Client::connect(address);
    for partition in 0..PARTITIONS {
        assert_eq!(client.produce(TOPIC, partition, &["further"]).error_code, 0);
    }
}

#[test]
fn a_damaged_batch_is_refused_and_all_others_are_served() {
    let scene = Scene::new(End::Stopped);
    // (what, offset in the batch, bytes)
    let places = [
        ("base offset", 7, 1),
        ("batch length", 8, 4),
        ("leader epoch", 12, 4),
        ("magic", 16, 1),
        ("CRC", 17, 1),
        ("attributes", 22, 1),
        ("last offset delta", 26, 1),
        ("timestamp", 34, 2),
        ("records count", 60, 1),
        ("records", 200, 1),
        ("last byte", 10_000, 1),
    ];
    for (at, (what, offset, bytes)) in places.into_iter().enumerate() {
        let (_copy, data) = scene.copy();
        // In closed segments and in the last one, at their beginnings and in their middles.
        let number = at % files(&data.join(format!("{TOPIC}-0")), ".log").len();
        let path = segment(&data, number);
        let batches = batches_of(&path);
        let (position, base) = batches[if at % 2 == 0 { batches.len() / 2 } else { 0 }];
        flip(&path, position + offset, bytes);
        let mut broker = serves(&data, what);
        let refused = scene.read_each(broker.address);
        assert_eq!(refused, [(0, base, ErrorCode::CorruptMessage.code())], "{what} in {}", path.display());
        let line = broker.wait_for_line("is damaged at position");
        assert!(line.contains(&name_of(&path)) && line.contains(&format!("position {position}:")), "{what}: {line}");
        assert_goes_on(broker.address);
    }
}

#[test]
fn a_zeroed_page_costs_the_batches_it_held_and_no_other() {
    for end in [End::Stopped, End::Killed] {
        let scene = Scene::new(end);
        let (_copy, data) = scene.copy();
        let path = segment(&data, 0);
        let batches = batches_of(&path);
        let page = (batches[40].0 / 4096 + 1) * 4096;
        zero(&path, page, 4096);
        let mut broker = serves(&data, "a page of a segment is zeros");
        let refused = scene.read_each(broker.address);
        let hit = |at: usize| batches[at].0 < page + 4096 && batches.get(at + 1).is_none_or(|next| next.0 > page);
        let expected: Vec<i64> = (0..batches.len()).filter(|at| hit(*at)).map(|at| batches[at].1).collect();
        let bases: Vec<i64> = refused.iter().map(|(_, base, _)| *base).collect();
        assert_eq!(bases, expected, "{end:?}");
        assert!(broker.wait_for_line("is damaged at position").contains(&name_of(&path)));
        assert_goes_on(broker.address);
    }
}

#[test]
fn a_segment_that_is_cut_or_gone_is_named_and_the_rest_is_served() {
    let scene = Scene::new(End::Stopped);
    for gone in [false, true] {
        let (_copy, data) = scene.copy();
        let path = segment(&data, 1);
        let batches = batches_of(&path);
        let from = if gone { 0 } else { batches.len() / 2 };
        if gone {
            std::fs::remove_file(&path).unwrap();
        } else {
            cut(&path, batches[from].0 + 100);
        }
        let broker = serves(&data, "a segment is cut or gone");
        let refused = scene.read_each(broker.address);
        let expected: Vec<i64> = batches[from..].iter().map(|(_, base)| *base).collect();
        assert_eq!(refused.iter().map(|(_, base, _)| *base).collect::<Vec<_>>(), expected, "gone: {gone}");
        let codes = [ErrorCode::CorruptMessage.code(), ErrorCode::KafkaStorageError.code()];
        assert!(refused.iter().all(|(partition, _, code)| *partition == 0 && codes.contains(code)), "{refused:?}");
        assert_goes_on(broker.address);
    }
}

/// The first offset at or behind a time.
fn offset_at(client: &mut Client, timestamp: i64) -> i64 {
    let partition = ListOffsetsPartition::default().with_partition_index(0).with_timestamp(timestamp);
    let topic = ListOffsetsTopic::default().with_name(name(TOPIC)).with_partitions(vec![partition]);
    let response = client.ask(7, &ListOffsetsRequest::default().with_topics(vec![topic]));
    response.topics[0].partitions[0].offset
}

#[test]
fn damaged_indexes_are_rebuilt() {
    let scene = Scene::new(End::Stopped);
    type Damage = fn(&Path);
    let kinds: [(&str, Damage); 5] = [
        ("flipped", |path| flip(path, 9, 1)),
        ("zeroed", |path| zero(path, 0, std::fs::metadata(path).unwrap().len() as usize)),
        ("cut", |path| cut(path, 20)),
        ("gone", |path| std::fs::remove_file(path).unwrap()),
        ("longer", |path| std::fs::write(path, [std::fs::read(path).unwrap(), vec![0xff; 24]].concat()).unwrap()),
    ];
    for ending in [".index", ".timeindex"] {
        for (what, damage) in kinds {
            let (_copy, data) = scene.copy();
            let all = files(&data.join(format!("{TOPIC}-0")), ending);
            let (first, last) = (&all[0], all.last().unwrap());
            damage(first);
            damage(last);
            let mut broker = serves(&data, "indexes can be rebuilt");
            scene.assert_whole(broker.address, &format!("{ending} {what}"));
            let mut client = Client::connect(broker.address);
            for number in [0, 17, 120, 249, 289] {
                assert_eq!(offset_at(&mut client, 1_000_000 + number * 10 + 1), number * 2 + 1, "{ending} {what}");
            }
            if what != "longer" {
                let line = broker.wait_for_line("rebuilt");
                assert!(line.contains(&name_of(first)) && line.contains("position 0"), "{line}");
            }
            assert_goes_on(broker.address);
            assert!(broker.stop().success());
            // What was rebuilt is in the files again.
            let broker = serves(&data, "indexes were rebuilt");
            scene.assert_whole(broker.address, &format!("{ending} {what}, and stopped"));
        }
    }
}

/// The broker kept what it had rebuilt to itself while nothing was appended: a clean stop found the segment as it had left it, and
/// write-back found nothing that the file lacked.
#[test]
fn a_rebuilt_index_is_in_its_file_again_though_nobody_appended() {
    let scene = Scene::new(End::Stopped);
    for ending in [".index", ".timeindex"] {
        let (_copy, data) = scene.copy();
        let path = files(&data.join(format!("{TOPIC}-0")), ending).pop().unwrap();
        let whole = std::fs::read(&path).unwrap();
        flip(&path, 9, 1);
        let mut broker = serves(&data, "an index can be rebuilt");
        let mut client = Client::connect(broker.address);
        assert_eq!(offset_at(&mut client, 1_000_000 + 289 * 10 + 1), 289 * 2 + 1);
        broker.wait_for_line("rebuilt");
        assert!(broker.stop().success());
        // A start may have left out an entry that now is there.
        let again = std::fs::read(&path).unwrap();
        assert_eq!(again[..24], whole[..24], "{} is right again", path.display());
        assert!(again.len() >= whole.len(), "{} bytes instead of {}", again.len(), whole.len());
    }
}

/// While a segment is young write-back touches its `.log` alone, but that it was there is to be seen.
#[test]
fn a_log_that_was_written_back_is_missed_when_nothing_speaks_of_it() {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let data = directory.path().join("data");
    let broker = Broker::start(&data, &["--write-back-interval-ms", "50"]);
    let mut client = Client::connect(broker.address);
    client.create_topic(TOPIC, 1, &[]);
    let epochs = data.join(format!("{TOPIC}-0")).join("leader-epoch-checkpoint");
    let deadline = Instant::now() + Duration::from_secs(30);
    while !epochs.exists() {
        assert!(Instant::now() < deadline, "it is written back");
        assert_eq!(client.produce(TOPIC, 0, &[&"v".repeat(3_000)]).error_code, 0);
        pause(Duration::from_millis(2));
    }
    drop(broker.kill());
    assert!(!data.join(format!("{TOPIC}-0")).join(format!("{:020}.index", 0)).exists(), "no index file yet");
    for entry in std::fs::read_dir(&data).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() && !entry.ends_with(format!("{TOPIC}-0")) {
            std::fs::remove_dir_all(entry).unwrap();
        }
    }
    let text = refusal(&data, "a log is not known");
    assert!(text.contains(&format!("{TOPIC}-0")), "{text}");
}

#[test]
fn files_for_kafkas_tools_alone_do_not_matter() {
    let scene = Scene::new(End::Stopped);
    for ending in [".snapshot", "leader-epoch-checkpoint"] {
        let (_copy, data) = scene.copy();
        let all = files(&data, ending);
        assert!(!all.is_empty(), "{ending}");
        for (at, path) in all.iter().enumerate() {
            match at % 3 {
                0 => flip(path, 1, 1),
                1 => cut(path, 3),
                _ if ending == ".snapshot" => std::fs::remove_file(path).unwrap(),
                _ => zero(path, 0, 4),
            }
        }
        let broker = serves(&data, "nothing relies on these files");
        scene.assert_whole(broker.address, ending);
        // The producers' state comes from the checkpoint.
        let mut client = Client::connect(broker.address);
        let last = scene.batches[1].last().unwrap();
        let repeated = produce_request(-1, &[(TOPIC, 1, without_offset(&last.bytes))]);
        let response = client.ask(11, &repeated);
        let answer = &response.responses[0].partition_responses[0];
        assert_eq!((answer.error_code, answer.base_offset), (0, last.base), "{ending}");
    }
}

fn without_offset(batch: &[u8]) -> Vec<u8> {
    [&[0; 8], &batch[8..]].concat()
}

#[test]
fn a_damaged_checkpoint_keeps_the_broker_from_starting() {
    for end in [End::Stopped, End::Killed] {
        let scene = Scene::new(end);
        let checkpoints = |data: &Path| files(data, ".checkpoint");
        // (what, the damage, whether the position of the damage is told)
        type Damage = fn(&Path);
        let fatal: [(&str, Damage); 5] = [
            ("its first record is flipped", |path| flip(path, 1024 + 40, 1)),
            ("its first record is zeros", |path| zero(path, 1024, 64)),
            ("both its headers are zeros", |path| zero(path, 0, 1024)),
            ("both its headers are flipped", |path| {
                flip(path, 20, 1);
                flip(path, 512 + 20, 1);
            }),
            ("it is cut", |path| cut(path, std::fs::metadata(path).unwrap().len() - 10)),
        ];
        for (what, damage) in fatal {
            let (_copy, data) = scene.copy();
            for path in checkpoints(&data) {
                damage(&path);
            }
            let text = refusal(&data, what);
            let names: Vec<String> = checkpoints(&data).iter().map(|path| name_of(path)).collect();
            assert!(names.iter().any(|name| text.contains(name.as_str())), "{end:?}, {what}: {text}");
            assert!(text.contains("is damaged at position"), "{end:?}, {what}: {text}");
        }
        // One of two headers is enough: what it does not count is read all the same.
        for slot in [0, 512] {
            let (_copy, data) = scene.copy();
            for path in checkpoints(&data) {
                flip(&path, slot + 20, 1);
            }
            let broker = serves(&data, "one header of each checkpoint is whole");
            scene.assert_whole(broker.address, &format!("{end:?}, slot {slot}"));
        }
    }
}

/// Nothing less than everything is served when files are missing.
fn assert_missed_or_whole(scene: &Scene, data: &Path, why: &str) {
    match start(data) {
        Start::Refused(text) => assert!(text.contains("missing") || text.contains("lost"), "{why}: {text}"),
        Start::Serves(broker) => scene.assert_whole(broker.address, why),
    }
}

#[test]
fn missing_checkpoints_and_journals_are_missed() {
    for end in [End::Stopped, End::Killed] {
        let scene = Scene::new(end);
        let (_copy, data) = scene.copy();
        let checkpoints = files(&data, ".checkpoint");
        assert!(!checkpoints.is_empty());
        std::fs::remove_dir_all(data.join("checkpoint")).unwrap();
        let text = refusal(&data, "all checkpoints are gone");
        assert!(text.contains("missing") || text.contains("lost"), "{end:?}: {text}");
        for path in checkpoints {
            let (_copy, data) = scene.copy();
            std::fs::remove_file(data.join("checkpoint").join(name_of(&path))).unwrap();
            assert_missed_or_whole(&scene, &data, &format!("{end:?} without {}", name_of(&path)));
        }
    }
    // After a clean stop no journal is needed, after a crash all of them are.
    let scene = Scene::new(End::Stopped);
    let (_copy, data) = scene.copy();
    std::fs::remove_dir_all(data.join("journal")).unwrap();
    scene.assert_whole(serves(&data, "no journal is needed").address, "without journals");
}

/// The journal files with a header, and how many groups are in each.
fn live_journals(data: &Path) -> Vec<(PathBuf, FileHeader, Vec<u64>)> {
    let mut live = Vec::new();
    for path in files(data, ".journal") {
        let bytes = std::fs::read(&path).unwrap();
        let Ok(Some(header)) = FileHeader::decode(&bytes) else { continue };
        let (mut at, mut positions) = (GROUPS_START as usize, Vec::new());
        while let Found::Group(group) = find_group(&header, &bytes[at..]) {
            positions.push(at as u64);
            at += group.padded;
        }
        live.push((path, header, positions));
    }
    live
}

#[test]
fn a_damaged_journal_keeps_the_broker_from_starting_after_a_crash() {
    let scene = Scene::new(End::Killed);
    // (what, the damage to one file given the positions of its groups)
    type Damage = fn(&Path, &[u64]);
    let fatal: [(&str, Damage); 7] = [
        ("its header is flipped", |path, _| flip(path, 20, 1)),
        ("its header is zeros", |path, _| zero(path, 0, 4096)),
        ("its first group is flipped", |path, groups| flip(path, groups[0] + 100, 1)),
        ("a group in its middle is flipped", |path, groups| flip(path, groups[groups.len() / 2] + 70, 1)),
        ("a group in its middle is zeros", |path, groups| zero(path, groups[groups.len() / 2], 4096)),
        // The last one is a witness of those before it.
        ("its last group with entries is flipped", |path, groups| flip(path, groups[groups.len() - 2] + 70, 1)),
        ("it is cut", |path, groups| cut(path, groups[groups.len() / 2])),
    ];
    for (what, damage) in fatal {
        let (_copy, data) = scene.copy();
        let (path, _, groups) = live_journals(&data).into_iter().max_by_key(|(.., groups)| groups.len()).unwrap();
        assert!(groups.len() > 20, "{groups:?}");
        damage(&path, &groups);
        let text = refusal(&data, what);
        assert!(text.contains(&name_of(&path)) && text.contains("is damaged at position"), "{what}: {text}");
        // Nothing was changed by the attempt.
        assert!(refusal(&data, what).contains(&name_of(&path)));
    }
}

#[test]
fn a_damaged_journal_costs_nothing_after_a_clean_stop() {
    let scene = Scene::new(End::Stopped);
    let mut random = Prng::new(11);
    for round in 0..6 {
        let (_copy, data) = scene.copy();
        let journals = files(&data, ".journal");
        for path in &journals {
            match round {
                0 => std::fs::remove_file(path).unwrap(),
                1 => cut(path, 0),
                _ => flip(path, random.below(200_000), 1),
            }
        }
        match start(&data) {
            Start::Serves(broker) => scene.assert_whole(broker.address, &format!("round {round}")),
            Start::Refused(text) => {
                assert!(text.contains(".journal is damaged at position"), "round {round}: {text}");
            }
        }
    }
}

#[test]
fn a_damaged_run_is_named_and_its_journal_left_as_it_is() {
    // Runs of 100 KB that go to the segment directly, and are not covered by a checkpoint yet.
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let data = directory.path().join("data");
    let flags = ["--direct-run-bytes-min", "64KiB", "--write-back-interval-ms", "600000"];
    let broker = Broker::start(&data, &flags);
    let mut client = Client::connect(broker.address);
    client.create_topic(TOPIC, PARTITIONS, &[]);
    let value = "r".repeat(300_000);
    for _ in 0..12 {
        assert_eq!(client.produce(TOPIC, 0, &[&value]).error_code, 0);
    }
    super::process::pause(std::time::Duration::from_millis(150));
    broker.kill();
    let path = segment(&data, 0);
    let before = std::fs::read(&path).unwrap();
    assert!(before.len() > 1 << 20, "runs went to the segment: {} bytes", before.len());
    // A byte within one, far from its ends: between them there is what the journal alone has yet.
    let ranges = before.chunk_by(|one, next| one == next).scan(0, |at, range| {
        *at += range.len();
        Some((*at - range.len() / 2, range[0], range.len()))
    });
    let (middle, ..) = ranges.filter(|(_, byte, length)| *byte == b'r' && *length > 200_000).last().unwrap();
    flip(&path, middle as u64, 1);
    let text = refusal(&data, "a run was damaged");
    assert!(text.contains(&name_of(&path)) && text.contains("is damaged at position"), "{text}");
    // Put right, it is served: the refusal has changed nothing.
    std::fs::write(&path, before).unwrap();
    let broker = serves(&data, "the segment was restored");
    let mut client = Client::connect(broker.address);
    assert_eq!(client.consume(TOPIC, 0, 0).len(), 12);
}

#[test]
fn a_damaged_metadata_log_keeps_the_broker_from_starting() {
    let scene = Scene::new(End::Stopped);
    let (_copy, data) = scene.copy();
    let path = files(&data.join("__cluster_metadata-0"), ".log").remove(0);
    let batches = batches_of(&path);
    let position = batches[batches.len() / 2].0;
    flip(&path, position + 64, 1);
    let text = refusal(&data, "the metadata log is damaged");
    assert!(text.contains(&name_of(&path)) && text.contains(&format!("at position {position}")), "{text}");
    let (_copy, data) = scene.copy();
    std::fs::remove_file(data.join("__cluster_metadata-0").join(name_of(&path))).unwrap();
    let text = refusal(&data, "the metadata log is gone");
    assert!(text.contains(&name_of(&path)), "{text}");
}

#[test]
fn foreign_files_are_left_alone() {
    for end in [End::Stopped, End::Killed] {
        let scene = Scene::new(end);
        let (_copy, data) = scene.copy();
        let places = ["", "journal", "checkpoint", "kept-0", "__cluster_metadata-0"];
        let names = ["notes.txt", "000001-00-0000.journal.bak", "000001-00-0000.checkpoint.bak", "0.log", "lost+found"];
        let data = &data;
        let all: Vec<PathBuf> =
            places.iter().flat_map(|place| names.iter().map(move |name| data.join(place).join(name))).collect();
        for path in &all {
            // A partition that was never written back has no directory yet.
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            if path.ends_with("lost+found") {
                std::fs::create_dir(path).unwrap();
            } else {
                std::fs::write(path, "mine").unwrap();
            }
        }
        let broker = serves(data, "foreign files are nobody's business");
        scene.assert_whole(broker.address, &format!("{end:?}"));
        assert_goes_on(broker.address);
        assert!(broker.stop().success());
        assert!(all.iter().all(|path| path.exists()), "{end:?}");
    }
}

#[test]
fn a_foreign_partition_is_not_taken_for_an_own_one() {
    let scene = Scene::new(End::Stopped);
    let (_copy, data) = scene.copy();
    std::fs::rename(data.join("kept-0"), data.join("foreign-0")).unwrap();
    let text = refusal(&data, "a partition came from elsewhere");
    assert!(text.contains("foreign-0"), "{text}");
}

#[test]
fn an_index_of_aborted_transactions_that_is_damaged_or_gone_is_made_anew() {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let data = directory.path().join("data");
    let broker = Broker::start(&data, &["--write-back-interval-ms", "50"]);
    let mut client = Client::connect(broker.address);
    client.create_topic("t", transactions::PARTITIONS, &[("segment.bytes", "1048576")]);
    let mut producer = transactions::init(&mut client, true);
    let (padding, mut expected) = ("v".repeat(60_000), Vec::new());
    for round in 0..60 {
        let (kept, value) = (round % 4 == 0, format!("{round} {padding}"));
        assert_eq!(transactions::send(&mut client, &mut producer, 0, &value), 0);
        assert_eq!(transactions::end(&mut client, &mut producer, kept), 0);
        if kept {
            expected.push(value);
        }
    }
    transactions::settle(&mut client);
    // The files of closed segments count from the checkpoint after the one that they were written with.
    for _ in 0..4 {
        assert_eq!(client.produce("t", 0, &["plain"]).error_code, 0);
        expected.push("plain".to_owned());
        pause(Duration::from_millis(300));
    }
    assert!(transactions::committed(&mut client, 0) == expected);
    assert!(broker.stop().success());
    let mut indexes = files(&data.join("t-0"), ".txnindex");
    // What stands in that of the active segment is in the checkpoint, too.
    indexes.pop();
    assert!(indexes.len() > 1, "{indexes:?}");
    let written: Vec<Vec<u8>> = indexes.iter().map(|path| std::fs::read(path).unwrap()).collect();
    type Damage = (&'static str, fn(&Path));
    let damages: [Damage; 6] = [
        ("gone", |path| std::fs::remove_file(path).unwrap()),
        ("empty", |path| cut(path, 0)),
        ("short of its last entry", |path| cut(path, std::fs::metadata(path).unwrap().len() - 34)),
        ("cut within an entry", |path| cut(path, std::fs::metadata(path).unwrap().len() - 5)),
        ("of another producer", |path| flip(path, 9, 1)),
        ("zeros", |path| zero(path, 0, 34)),
    ];
    for (what, damage) in damages {
        indexes.iter().for_each(|path| damage(path));
        let mut broker = serves(&data, what);
        assert!(transactions::committed(&mut Client::connect(broker.address), 0) == expected, "{what}");
        for _ in &indexes {
            let line = broker.wait_for_line("made anew from the log");
            assert!(line.contains("the index of aborted transactions of segment"), "{what}: {line}");
        }
        for (path, written) in indexes.iter().zip(&written) {
            assert!(std::fs::read(path).unwrap() == *written, "{what}: {}", path.display());
        }
        assert!(broker.stop().success());
    }
    // Where the log is damaged at the same place, nothing is guessed.
    indexes.iter().for_each(|path| std::fs::remove_file(path).unwrap());
    let path = indexes[0].with_extension("log");
    let (position, base) = batches_of(&path)[4];
    flip(&path, position + 100, 1);
    let broker = serves(&data, "a batch and the index");
    let first = batches_of(&path)[0].1;
    let request = fetch_request(&[("t", 0, first)]).with_isolation_level(1).with_max_bytes(1);
    let code = Client::connect(broker.address).ask(12, &request).responses[0].partitions[0].error_code;
    assert_eq!(code, ErrorCode::KafkaStorageError.code(), "the batch at offset {base} is damaged");
}

/// Damage of any kind anywhere: whatever comes of it, no byte is served that was not written, and what is served as the
/// whole is the whole.
#[test]
fn no_damage_anywhere_is_served() {
    for (end, seed) in [(End::Stopped, 1), (End::Killed, 2)] {
        let scene = Scene::new(end);
        let mut random = Prng::new(seed);
        for round in 0..25 {
            let (_copy, data) = scene.copy();
            let all: Vec<PathBuf> = ["log", "index", "timeindex", "snapshot", "checkpoint", "journal"]
                .iter()
                .flat_map(|ending| files(&data, ending))
                .filter(|path| std::fs::metadata(path).unwrap().len() > 0)
                .collect();
            let path = &all[random.below(all.len() as u64) as usize];
            let length = std::fs::metadata(path).unwrap().len();
            // Journals are mostly empty behind their first part.
            let at = random.below(length.min(400_000));
            let count = (random.between(1, 9000)).min(length - at) as usize;
            let what = match random.below(3) {
                0 => {
                    flip(path, at, 1);
                    "one byte flipped"
                }
                1 => {
                    flip(path, at, count);
                    "bytes flipped"
                }
                _ => {
                    zero(path, at, count);
                    "bytes zeroed"
                }
            };
            let why = format!("{end:?}, round {round}: {what} at {at} of {}", path.display());
            match start(&data) {
                Start::Refused(text) => assert!(text.contains("at position"), "{why}: {text}"),
                Start::Serves(broker) => {
                    let refused = scene.read_each(broker.address);
                    let is_damage = |code: i16| {
                        [ErrorCode::CorruptMessage.code(), ErrorCode::KafkaStorageError.code()].contains(&code)
                    };
                    assert!(refused.iter().all(|(.., code)| is_damage(*code)), "{why}: {refused:?}");
                    assert!(refused.is_empty() || path.to_string_lossy().ends_with(".log"), "{why}: {refused:?}");
                }
            }
        }
    }
}
