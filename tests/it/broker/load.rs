//! The load generator against the broker: what it sends is stored, what it measures is there, what it checks holds.

use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use flumen::record;
use serde_json::Value;

use super::client::Client;
use super::process::Broker;

fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

fn start(broker: &Broker, arguments: &[&str]) -> Child {
    let (mode, rest) = arguments.split_first().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_flumen-load"));
    command.args([mode, "--bootstrap", &broker.address.to_string(), "--json"]).args(rest);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("the program was built")
}

fn run(broker: &Broker, arguments: &[&str]) -> Output {
    start(broker, arguments).wait_with_output().unwrap()
}

/// Waits for the end of one that was started, and gives its summary.
fn summary_of(started: Child) -> Value {
    let output = started.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    serde_json::from_str(text.lines().last().unwrap()).unwrap()
}

/// Runs it for a short while and gives its summary.
fn load(broker: &Broker, arguments: &[&str]) -> Value {
    let mut all = arguments.to_vec();
    all.extend(["--warm-up", "0.1", "--duration", "1.2"]);
    let output = run(broker, &all);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{arguments:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (summary, progress) = lines.split_last().unwrap();
    assert!(progress.iter().all(|line| line["type"] == "progress"));
    assert_eq!(summary["type"], "summary");
    assert_eq!(summary["errors"], 0, "{arguments:?}");
    summary.clone()
}

fn number(summary: &Value, path: &[&str]) -> f64 {
    let found = path.iter().fold(summary, |value, name| &value[*name]);
    found.as_f64().unwrap_or_else(|| panic!("{path:?} is no number in {summary}"))
}

#[test]
fn everything_that_it_produces_is_read_back() {
    let directory = scratch();
    let broker = Broker::start(directory.path(), &["--reactors", "2"]);
    let shapes: [&[&str]; 5] = [
        &["--record-bytes", "100", "--batch-records", "1", "--connections", "8"],
        &["--record-bytes", "1024", "--batch-bytes", "64KiB", "--idempotent"],
        &["--compression", "none,gzip,snappy,lz4,zstd", "--batch-records", "20", "--acks", "1", "--rate", "200"],
        &["--keys", "1000", "--record-bytes", "64", "--partitions-per-request", "5", "--connections", "2"],
        &["--threads", "2", "--connections", "3", "--partitions-per-request", "2", "--in-flight", "1"],
    ];
    for (number_of_shape, shape) in shapes.iter().enumerate() {
        let topic = format!("shape-{number_of_shape}");
        let mut arguments = vec!["produce", "--topic", &topic, "--partitions", "5", "--verify"];
        arguments.extend(*shape);
        let summary = load(&broker, &arguments);
        let records = number(&summary, &["produced", "records"]);
        assert!(records > 0.0);
        assert_eq!(number(&summary, &["verified", "faults"]), 0.0);
        assert!(number(&summary, &["verified", "acknowledged"]) >= records, "the warm-up is verified, too");
        let latency = &summary["latencies"][0];
        assert_eq!(latency["name"], "acknowledge");
        let quantiles = ["p50_ms", "p90_ms", "p99_ms", "p99_9_ms", "p99_99_ms", "max_ms"];
        let quantiles: Vec<f64> = quantiles.iter().map(|name| number(latency, &[name])).collect();
        assert!(quantiles[0] > 0.0 && quantiles.is_sorted(), "{quantiles:?}");
    }
}

#[test]
fn records_have_the_size_and_the_keys_that_were_asked_for() {
    let directory = scratch();
    let broker = Broker::start(directory.path(), &["--reactors", "1"]);
    load(
        &broker,
        &[
            "produce",
            "--topic",
            "t",
            "--partitions",
            "1",
            "--record-bytes",
            "300",
            "--batch-records",
            "7",
            "--keys",
            "9",
            "--rate",
            "20",
        ],
    );
    let mut client = Client::connect(broker.address);
    let response = client.ask(12, &super::client::fetch_request(&[("t", 0, 0)]));
    let bytes = response.responses[0].partitions[0].records.clone().unwrap();
    let (mut batches, mut records) = (0, 0);
    for batch in record::batches(&bytes) {
        let (header, batch) = batch.unwrap();
        assert_eq!(header.records_count(), 7);
        batches += 1;
        for stored in &record::records(batch).unwrap() {
            let stored = stored.unwrap();
            assert_eq!(stored.value.unwrap().len(), 300);
            assert!(stored.key.unwrap().starts_with(b"key-0000000"));
            records += 1;
        }
    }
    assert!(batches >= 10, "about 26 requests were due, {batches} were stored");
    assert_eq!(records, batches * 7);
}

#[test]
fn it_measures_readers_and_the_broker() {
    let directory = scratch();
    let broker = Broker::start(directory.path(), &["--reactors", "1"]);
    let pid = broker.pid().to_string();
    let page = directory.path().join("page.html");
    let produced = load(
        &broker,
        &[
            "produce",
            "--topic",
            "t",
            "--partitions",
            "3",
            "--record-bytes",
            "1000",
            "--pid",
            &pid,
            "--report",
            page.to_str().unwrap(),
        ],
    );
    assert!(number(&produced, &["broker", "cpu_us_per_request"]) > 0.0);
    assert!(number(&produced, &["broker", "resident_bytes"]) > 1e6);
    assert!(number(&produced, &["broker", "written_bytes"]) > 0.0);
    let text = std::fs::read_to_string(&page).unwrap();
    assert!(text.starts_with("<!doctype html>") && text.trim_end().ends_with("</html>"));
    // Whole by itself, and with what was measured in it.
    let loads = text.replace("http://www.w3.org/", "");
    for outside in ["<script src", "<link", "http://", "https://"] {
        assert!(!loads.contains(outside), "{outside}");
    }
    for told in ["<svg", "acknowledge", "p99", "--record-bytes 1000"] {
        assert!(text.contains(told), "{told}");
    }

    // Ends when all is read, however long that takes.
    let all = ["fetch", "--topic", "t", "--verify", "--consumers", "2", "--duration", "120"];
    let caught_up = summary_of(start(&broker, &all));
    assert_eq!(number(&caught_up, &["errors"]), 0.0);
    assert_eq!(number(&caught_up, &["verified", "faults"]), 0.0);
    assert!(number(&caught_up, &["consumed", "records"]) >= number(&produced, &["produced", "records"]));
    let repeated = load(&broker, &["fetch", "--topic", "t", "--repeat"]);
    assert!(number(&repeated, &["consumed", "bytes"]) > 0.0);

    let ends: [&[&str]; 2] = [&["--consumers", "3", "--fan-out"], &["--verify"]];
    for more in ends {
        let mut arguments = vec![
            "end-to-end",
            "--topic",
            "e",
            "--partitions",
            "4",
            "--record-bytes",
            "100",
            "--batch-records",
            "1",
            "--rate",
            "300",
        ];
        arguments.extend(more);
        let summary = load(&broker, &arguments);
        let names: Vec<_> = summary["latencies"].as_array().unwrap().iter().map(|one| one["name"].clone()).collect();
        assert_eq!(names, ["acknowledge", "end to end", "fetch"]);
        let times = if more.contains(&"--fan-out") { 3.0 } else { 1.0 };
        // What is produced last may reach its consumers after the end.
        assert!(number(&summary, &["consumed", "records"]) > number(&summary, &["produced", "records"]) * times * 0.5);
    }

    let idle = load(&broker, &["connections", "--topic", "t", "--connections", "50", "--pid", &pid]);
    assert_eq!(number(&idle["latencies"][0], &["count"]), 50.0);
}

#[test]
fn without_acknowledgements_it_counts_what_it_sent() {
    let directory = scratch();
    let broker = Broker::start(directory.path(), &["--reactors", "1"]);
    let shape = ["--partitions", "2", "--acks", "0", "--record-bytes", "100", "--batch-records", "3", "--rate", "400"];
    let summary = load(&broker, &[&["produce", "--topic", "t", "--verify"][..], &shape].concat());
    assert!(number(&summary, &["produced", "requests"]) > 300.0, "{summary}");
    assert_eq!(number(&summary, &["verified", "faults"]), 0.0);
    let read = summary_of(start(&broker, &["fetch", "--topic", "t", "--warm-up", "0", "--duration", "120"]));
    let (sent, there) = (number(&summary, &["produced", "records"]), number(&read, &["consumed", "records"]));
    // What was sent in the warm-up is in the log, too; none of it was answered.
    assert!(there >= sent, "{sent} were sent and {there} are there");
}

#[test]
fn a_tail_begins_at_the_end() {
    let directory = scratch();
    let broker = Broker::start(directory.path(), &["--reactors", "1"]);
    load(&broker, &["produce", "--topic", "t", "--partitions", "2", "--record-bytes", "100"]);
    let old = load(&broker, &["fetch", "--topic", "t", "--tail"]);
    assert_eq!(number(&old, &["consumed", "records"]), 0.0, "what was there before is not read");
    let tail = start(&broker, &["fetch", "--topic", "t", "--tail", "--warm-up", "0.1", "--duration", "6"]);
    super::process::pause(Duration::from_millis(300));
    let produced = load(&broker, &["produce", "--topic", "t", "--record-bytes", "100", "--rate", "200"]);
    let new = summary_of(tail);
    assert!(number(&new, &["consumed", "records"]) >= number(&produced, &["produced", "records"]), "{new}");
}

#[test]
fn transactions_are_committed_and_measured() {
    let directory = scratch();
    let broker = Broker::start(directory.path(), &["--reactors", "1"]);
    let shape = ["--partitions", "6", "--producers", "2", "--commit-ms", "50", "--record-bytes", "100"];
    let summary = load(&broker, &[&["transactions", "--topic", "t"][..], &shape].concat());
    let commits = summary["latencies"].as_array().unwrap().iter().find(|one| one["name"] == "commit").unwrap();
    let count = number(commits, &["count"]);
    assert!(count >= 10.0, "two producers commit every 50 ms or so: {summary}");
    assert!(number(commits, &["p50_ms"]) > 0.0);
    assert!(number(&summary, &["produced", "records"]) > count);
}

/// Latencies run from when a request was to be sent: a broker that stands still is seen in all that waited meanwhile, not in
/// the few requests that were in flight.
#[test]
fn requests_that_wait_behind_a_halt_count_from_when_they_were_due() {
    const RATE: u32 = 500;
    const HALT: Duration = Duration::from_millis(800);
    let directory = scratch();
    let broker = Broker::start(directory.path(), &["--reactors", "1"]);
    let one = ["--topic", "t", "--partitions", "1", "--connections", "1", "--in-flight", "1", "--batch-records", "1"];
    let (rate, time) = (RATE.to_string(), ["--warm-up", "0.5", "--duration", "3"]);
    let running = start(&broker, &[&["produce", "--record-bytes", "100", "--rate", &rate][..], &one, &time].concat());
    super::process::pause(Duration::from_millis(1500));
    broker.signal("STOP");
    super::process::pause(HALT);
    broker.signal("CONT");
    let summary = summary_of(running);
    let latency = &summary["latencies"][0];
    // All that were due in the halt's first half waited for half of it or more: with those alone the curve is above it there.
    let halt_ms = HALT.as_secs_f64() * 1000.0;
    let waited = f64::from(RATE) * HALT.as_secs_f64() / 2.0 / number(latency, &["count"]);
    let curve = latency["curve"].as_array().unwrap();
    let at = curve.iter().rfind(|point| point[0].as_f64().unwrap() <= 1.0 - waited).expect("the curve begins at 0");
    let after = curve.iter().find(|point| point[0].as_f64().unwrap() > 1.0 - waited).unwrap_or(at);
    assert!(after[1].as_f64().unwrap() >= halt_ms / 2.0 * 0.9, "{waited}: {at} {after}");
    assert!(number(latency, &["max_ms"]) >= halt_ms * 0.9, "{latency}");
}

#[test]
fn it_says_what_it_cannot_do() {
    let directory = scratch();
    let broker = Broker::start(directory.path(), &["--reactors", "1", "--auto-create-topics", "false"]);
    let cases: [(&[&str], &str); 4] = [
        (&["produce", "--topic", "absent"], "there is no topic 'absent'"),
        (&["produce", "--topic", "t", "--partitions", "1", "--record-bytes", "4", "--verify"], "no room"),
        (&["produce", "--topic", "u", "--partitions", "50", "--keys", "3"], "more keys are needed"),
        (&["fetch", "--topic", "t", "--pid", "999999999"], "/proc/999999999"),
    ];
    for (arguments, reason) in cases {
        let output = run(&broker, arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(reason), "{arguments:?}: {said}");
    }
}
