//! The load generator against the broker: what it sends is stored, what it measures is there, what it checks holds.

use std::process::{Command, Output};

use flumen::record;
use serde_json::Value;

use super::client::Client;
use super::process::Broker;

fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

fn run(broker: &Broker, arguments: &[&str]) -> Output {
    let (mode, rest) = arguments.split_first().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_flumen-load"));
    command.args([mode, "--bootstrap", &broker.address.to_string(), "--json"]).args(rest);
    command.output().expect("the program was built")
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
    assert!(text.contains("<svg") && text.contains("</html>"));

    let caught_up = load(&broker, &["fetch", "--topic", "t", "--verify", "--consumers", "2"]);
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
