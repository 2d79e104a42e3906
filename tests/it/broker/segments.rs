//! Segments, their indexes, and look-ups by time: when a segment ends, what is found where, and what `write.caching` keeps.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use flumen::base::prng::Prng;
use flumen::model::error_code::ErrorCode;
use flumen::protocol::messages::ListOffsetsRequest;
use flumen::protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use flumen::record::{self, BatchBuilder, Compression, TimestampType};

use super::client::{Client, fetch_request, fetched, name, produce_request};
use super::damage::files;
use super::process::{Broker, pause};

fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

fn batch_at(timestamps: &[i64], bytes: usize, compression: &str) -> Vec<u8> {
    let codec = Compression::from_name(compression).unwrap();
    let mut builder = BatchBuilder::new().compression(codec);
    for timestamp in timestamps {
        builder.append(*timestamp, Some(b"key"), Some(&vec![b'v'; bytes]), &[]);
    }
    builder.build(0)
}

fn send(client: &mut Client, topic: &str, batch: Vec<u8>) -> i64 {
    let response = client.ask(11, &produce_request(-1, &[(topic, 0, batch)]));
    let answer = &response.responses[0].partition_responses[0];
    assert_eq!(answer.error_code, 0, "{:?}", answer.error_message);
    answer.base_offset
}

/// The `.log` files of partition 0: base offset and path.
fn segments(data: &Path, topic: &str) -> Vec<(i64, PathBuf)> {
    let all = files(&data.join(format!("{topic}-0")), ".log");
    all.into_iter().map(|path| (path.file_stem().unwrap().to_str().unwrap().parse().unwrap(), path)).collect()
}

/// Every file is sound, and the indexes agree with the segments.
fn assert_sound(data: &Path) {
    let output = Command::new(env!("CARGO_BIN_EXE_flumen")).args(["dump", "--verify", data.to_str().unwrap()]).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn a_segment_ends_at_its_size() {
    let directory = scratch();
    let broker = Broker::start(directory.path(), &["--reactors", "2"]);
    let mut client = Client::connect(broker.address);
    client.create_topic("t", 1, &[("segment.bytes", "1048576"), ("index.interval.bytes", "10000")]);
    for number in 0..70 {
        send(&mut client, "t", batch_at(&[number * 10, number * 10 + 5], 30_000, "none"));
    }
    assert!(broker.stop().success());
    assert_sound(directory.path());
    let found = segments(directory.path(), "t");
    assert_eq!(found.len(), 5, "some 60 KB times 70 in segments of 1 MiB: {found:?}");
    let mut expected = 0;
    for (base, path) in &found {
        assert_eq!(*base, expected, "a segment begins where the one before ends");
        let bytes = std::fs::read(path).unwrap();
        assert!(bytes.len() <= 1 << 20, "{} bytes", bytes.len());
        let last = record::batches(&bytes).last().unwrap().unwrap().0.next_offset();
        assert!(last == 140 || bytes.len() + 70_000 > 1 << 20, "and not before it is full: {} bytes", bytes.len());
        expected = last;
        // An entry for each batch that comes after more than the interval; the time index ends with the maximum.
        let (index, times) = (path.with_extension("index"), path.with_extension("timeindex"));
        let batches = record::batches(&bytes).count() as u64;
        assert_eq!(std::fs::metadata(index).unwrap().len() / 8, batches - 1);
        let times = std::fs::read(times).unwrap();
        let (timestamp, offset) = times.last_chunk::<12>().unwrap().split_at(8);
        let greatest = (last - 2) / 2 * 10 + 5;
        assert_eq!(i64::from_be_bytes(timestamp.try_into().unwrap()), greatest);
        assert_eq!(i64::from(u32::from_be_bytes(offset.try_into().unwrap())) + base, last - 1);
    }
}

#[test]
fn a_segment_ends_at_its_age() {
    let directory = scratch();
    let broker = Broker::start(directory.path(), &["--reactors", "1"]);
    let mut client = Client::connect(broker.address);
    client.create_topic("t", 1, &[("segment.ms", "60000")]);
    // The age counts from the first timestamp of the segment to that of the batch that comes.
    for (timestamp, expected) in [(1_000, 0), (61_000, 1), (61_001, 2), (121_001, 3), (121_002, 4), (5, 5)] {
        assert_eq!(send(&mut client, "t", batch_at(&[timestamp], 10, "none")), expected);
    }
    assert!(broker.stop().success());
    assert_sound(directory.path());
    let bases: Vec<i64> = segments(directory.path(), "t").into_iter().map(|(base, _)| base).collect();
    assert_eq!(bases, [0, 2, 4]);
    // The setting is followed at once when it changes.
    let broker = Broker::start(directory.path(), &["--reactors", "1"]);
    let mut client = Client::connect(broker.address);
    assert_eq!(client.consume("t", 0, 0).len(), 6);
}

/// The answer to a look-up by time: offset and timestamp.
fn look_up(client: &mut Client, topic: &str, timestamp: i64) -> (i64, i64) {
    let wanted = ListOffsetsPartition::default().with_partition_index(0).with_timestamp(timestamp);
    let request = ListOffsetsTopic::default().with_name(name(topic)).with_partitions(vec![wanted]);
    let response = client.ask(7, &ListOffsetsRequest::default().with_topics(vec![request]));
    let found = &response.topics[0].partitions[0];
    assert_eq!(found.error_code, 0);
    (found.offset, found.timestamp)
}

#[test]
fn look_ups_by_time_are_exact_to_the_record_whatever_the_order_of_times() {
    let directory = scratch();
    let flags = ["--reactors", "2", "--write-back-interval-ms", "300"];
    let mut random = Prng::new(5);
    let mut all: Vec<i64> = Vec::new();
    let mut broker = Broker::start(directory.path(), &flags);
    Client::connect(broker.address).create_topic(
        "t",
        1,
        &[("segment.bytes", "1048576"), ("index.interval.bytes", "2000")],
    );
    for round in 0..4 {
        let mut client = Client::connect(broker.address);
        for number in 0..120_i64 {
            let start = 1_000_000 + (round * 120 + number) * 50;
            let count = random.between(1, 6) as usize;
            // They go up, mostly, and within a batch in any order.
            let timestamps: Vec<i64> = (0..count).map(|_| start - random.below(3000) as i64).collect();
            let codec = *["none", "gzip", "snappy", "lz4", "zstd"].get(random.below(5) as usize).unwrap();
            let bytes = [20, 20_000][random.below(2) as usize];
            assert_eq!(send(&mut client, "t", batch_at(&timestamps, bytes, codec)), all.len() as i64);
            all.extend(timestamps);
        }
        let (least, greatest) = (*all.iter().min().unwrap(), *all.iter().max().unwrap());
        let exact = |wanted: i64| {
            let found = all.iter().position(|timestamp| *timestamp >= wanted);
            found.map_or((-1, -1), |at| (at as i64, all[at]))
        };
        for _ in 0..60 {
            let wanted = least - 10 + random.below((greatest - least + 20) as u64) as i64;
            assert_eq!(look_up(&mut client, "t", wanted), exact(wanted), "round {round}, at {wanted}");
        }
        assert_eq!(look_up(&mut client, "t", greatest), exact(greatest));
        assert_eq!(look_up(&mut client, "t", greatest + 1), (-1, -1));
        assert_eq!(look_up(&mut client, "t", -3), exact(greatest), "the first of the greatest");
        assert_eq!(look_up(&mut client, "t", -1).0, all.len() as i64);
        assert_eq!(look_up(&mut client, "t", -2).0, 0);
        if round % 2 == 0 {
            broker.kill();
        } else {
            assert!(broker.stop().success());
            assert_sound(directory.path());
        }
        broker = Broker::start(directory.path(), &flags);
    }
    assert!(segments(directory.path(), "t").len() > 1);
}

#[test]
fn with_log_append_time_records_carry_the_brokers_clock() {
    let directory = scratch();
    let broker = Broker::start(directory.path(), &["--reactors", "2"]);
    let mut client = Client::connect(broker.address);
    client.create_topic("t", 1, &[("message.timestamp.type", "LogAppendTime")]);
    let mut times = Vec::new();
    for number in 0..5 {
        let codec = if number % 2 == 0 { "none" } else { "gzip" };
        let response = client.ask(11, &produce_request(-1, &[("t", 0, batch_at(&[5, 9_999_999_999_999], 10, codec))]));
        let answer = &response.responses[0].partition_responses[0];
        assert_eq!(answer.error_code, 0);
        times.push(answer.log_append_time_ms);
        pause(Duration::from_millis(5));
    }
    assert!(times.is_sorted_by(|one, next| one < next), "{times:?}");
    let response = client.ask(12, &fetch_request(&[("t", 0, 0)]));
    let bytes = fetched(&response)[0].1.records.clone().unwrap();
    for (batch, time) in record::batches(&bytes).zip(&times) {
        let (header, batch) = batch.unwrap();
        assert_eq!((header.timestamp_type(), header.max_timestamp()), (TimestampType::LogAppendTime, *time));
        assert!(record::check_stored(batch).is_ok(), "the checksum fits what was changed");
        let walked = record::records(batch).unwrap();
        assert!(walked.iter().all(|record| record.unwrap().timestamp == *time));
    }
    assert_eq!(look_up(&mut client, "t", times[2]), (4, times[2]));
    assert_eq!(look_up(&mut client, "t", times[2] + 1), (6, times[3]));
}

#[test]
fn times_far_from_now_are_refused_where_the_topic_says_so() {
    let directory = scratch();
    let broker = Broker::start(directory.path(), &["--reactors", "1"]);
    let mut client = Client::connect(broker.address);
    client.create_topic(
        "t",
        1,
        &[("message.timestamp.before.max.ms", "60000"), ("message.timestamp.after.max.ms", "60000")],
    );
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64;
    let mut code = |timestamp: i64| {
        let response = client.ask(11, &produce_request(-1, &[("t", 0, batch_at(&[timestamp], 10, "none"))]));
        response.responses[0].partition_responses[0].error_code
    };
    assert_eq!(code(now), 0);
    assert_eq!(code(now - 3_600_000), ErrorCode::InvalidTimestamp.code());
    assert_eq!(code(now + 3_600_000), ErrorCode::InvalidTimestamp.code());
}

#[test]
fn the_largest_batch_is_what_the_topic_says_to_the_byte() {
    let directory = scratch();
    let broker = Broker::start(directory.path(), &["--reactors", "1"]);
    let mut client = Client::connect(broker.address);
    let fits = batch_at(&[1], 3000, "none");
    client.create_topic("t", 1, &[("max.message.bytes", &fits.len().to_string())]);
    assert_eq!(send(&mut client, "t", fits), 0);
    let response = client.ask(11, &produce_request(-1, &[("t", 0, batch_at(&[1], 3001, "none"))]));
    let answer = &response.responses[0].partition_responses[0];
    assert_eq!(answer.error_code, ErrorCode::MessageTooLarge.code());
    assert!(answer.error_message.as_ref().unwrap().contains("max.message.bytes"), "{:?}", answer.error_message);
}

#[test]
fn write_caching_answers_from_memory_and_is_durable_within_its_time() {
    let directory = scratch();
    let flags = ["--reactors", "2"];
    let mut broker = Broker::start(directory.path(), &flags);
    let mut client = Client::connect(broker.address);
    client.create_topic("cached", 1, &[("write.caching", "true"), ("flush.ms", "300")]);
    client.create_topic("forever", 1, &[("write.caching", "true")]);
    let mut kept = 0;
    for round in 0..4 {
        let mut client = Client::connect(broker.address);
        let before = client.consume("cached", 0, 0).len();
        assert!(before >= kept, "round {round}: {before} of {kept} are there");
        for number in 0..50 {
            let value = format!("{round}/{number}");
            assert_eq!(client.produce("cached", 0, &[&value]).error_code, 0);
            assert_eq!(client.produce("forever", 0, &[&value]).error_code, 0);
            // Consumers see it at once.
            let offset = (before + number) as i64;
            assert_eq!(client.consume("cached", 0, offset), [(offset, value)]);
        }
        let all = before + 50;
        match round {
            0 => {
                assert!(broker.stop().success());
                kept = all;
            }
            1 | 2 => {
                // Twice the time that `flush.ms` allows, and the second at most that it is without.
                pause(Duration::from_millis(2200));
                broker.kill();
                kept = all;
            }
            _ => {
                broker.kill();
            }
        }
        broker = Broker::start(directory.path(), &flags);
    }
    let mut client = Client::connect(broker.address);
    let values = client.consume("cached", 0, 0);
    assert!(values.len() >= kept, "{} of {kept}", values.len());
    assert!(values.iter().enumerate().all(|(at, (offset, _))| *offset == at as i64), "no gaps");
    assert!(client.consume("forever", 0, 0).len() >= kept);
}

#[test]
fn many_half_requests_leave_room_for_whole_ones() {
    use std::io::Write;
    let directory = scratch();
    let mut broker = Broker::start(directory.path(), &["--reactors", "2"]);
    let mut client = Client::connect(broker.address);
    client.create_topic("t", 1, &[]);
    // Requests of 8 MiB each, of which a part comes and then nothing: 1.2 GiB in all, if they were let in.
    let half = vec![0; 300_000];
    let mut held: Vec<Client> = (0..150).map(|_| Client::connect(broker.address)).collect();
    for one in &mut held {
        one.stream.write_all(&(8_i32 << 20).to_be_bytes()).unwrap();
        one.stream.write_all(&[0, 0, 0, 9, 0, 0, 0, 1, 0xff, 0xff]).unwrap();
        one.stream.set_write_timeout(Some(Duration::from_millis(100))).unwrap();
        let _ = one.stream.write_all(&half);
    }
    pause(Duration::from_millis(500));
    assert!(broker.is_running(), "under pressure it leaves sockets unread and does not end");
    let json = super::wire::snapshot(&broker);
    let memory = &json["memory"];
    let in_use: u64 = memory["in_use"].as_object().unwrap().values().map(|bytes| bytes.as_u64().unwrap()).sum();
    assert!(in_use <= 300 << 20, "{memory}");
    drop(held);
    let started = Instant::now();
    assert_eq!(client.produce("t", 0, &["v"]).error_code, 0);
    assert!(started.elapsed() < Duration::from_secs(15));
    assert_eq!(client.consume("t", 0, 0).len(), 1);
}

#[test]
fn what_an_operator_asks_for_is_counted() {
    let directory = scratch();
    let broker = Broker::start(directory.path(), &["--reactors", "2"]);
    let mut client = Client::connect(broker.address);
    client.create_topic("t", 4, &[]);
    for number in 0..20 {
        client.produce("t", number % 4, &["value"]);
        client.consume("t", number % 4, 0);
    }
    let json = super::wire::snapshot(&broker);
    let reactors = json["reactors"].as_array().unwrap();
    let sum = |field: &str| reactors.iter().map(|one| one[field].as_u64().unwrap()).sum::<u64>();
    let stored = |field: &str| reactors.iter().map(|one| one["storage"][field].as_u64().unwrap()).sum::<u64>();
    let counted = |field: &str| {
        let all = reactors.iter().flat_map(|one| one["storage"][field].as_array().unwrap());
        all.map(|pair| pair[1].as_u64().unwrap()).sum::<u64>()
    };
    for field in ["bytes_in", "bytes_out", "batches_in", "partitions", "connections", "turns"] {
        assert!(sum(field) > 0, "{field}");
    }
    for field in ["operations_in_flight", "mesh_backlog", "requests_in_flight"] {
        sum(field);
    }
    for field in ["groups", "entries", "journal_bytes"] {
        assert!(stored(field) > 0, "{field}");
    }
    for field in ["device_us", "group_bytes", "staged_us"] {
        assert!(counted(field) > 0, "{field}");
    }
    stored("groups_in_flight");
    assert!(json["memory"]["limit"].as_u64().unwrap() > 0);
    assert!(!json["memory"]["in_use"].as_object().unwrap().is_empty());
    let latencies = reactors.iter().flat_map(|one| one["requests"].as_array().unwrap());
    for api in latencies {
        let recorded: u64 = api["latency_us"].as_array().unwrap().iter().map(|pair| pair[1].as_u64().unwrap()).sum();
        assert_eq!(recorded, api["count"].as_u64().unwrap(), "each request has its latency");
    }
    // The command prints the same, once and as JSON.
    for arguments in [&["--once"][..], &["--json"]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_flumen"));
        let output = command.args(["stats", "--data", broker.data.to_str().unwrap()]).args(arguments).output().unwrap();
        assert!(output.status.success());
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains(if arguments == ["--once"] { "Produce" } else { "\"reactors\"" }), "{text}");
    }
}
