//! The program around the broker: its subcommands, its configuration, what it says when something is wrong.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, Command, Output, Stdio};

use flumen::protocol::messages::MetadataRequest;

use super::client::Client;
use super::process::Broker;

fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

fn flumen(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_flumen"))
        .args(arguments)
        .env_remove("FLUMEN_CONFIG")
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn the_version_names_the_commit() {
    let output = flumen(&["--version"]);
    assert!(output.status.success());
    let text = out(&output);
    let commit = text.split("commit ").nth(1).and_then(|rest| rest.split(')').next()).unwrap_or_default();
    assert!(text.starts_with("flumen ") && text.contains(env!("CARGO_PKG_VERSION")), "{text}");
    assert!(commit.len() >= 7 && commit.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'), "{text}");
}

#[test]
fn the_configuration_is_printed_with_origins_and_reads_back() {
    let directory = scratch();
    let path = directory.path().join("flumen.toml");
    std::fs::write(&path, "memory = \"1 GiB\"\n\n[kafka]\n\"log.segment.bytes\" = 2097152\n").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_flumen"))
        .args(["config", "--config", path.to_str().unwrap(), "--reactors", "2"])
        .env("FLUMEN_STORAGE_JOURNAL_BYTES", "128 MiB")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", err(&output));
    let text = out(&output);
    let line =
        |key: &str| text.lines().find(|line| line.contains(key)).unwrap_or_else(|| panic!("{key}: {text}")).to_owned();
    assert!(line("memory =").contains("flumen.toml:1"), "{text}");
    assert!(
        line("log.segment.bytes").contains("2097152") && line("log.segment.bytes").contains("flumen.toml:4"),
        "{text}"
    );
    assert!(line("count =").contains("--reactors"), "{text}");
    assert!(line("journal_bytes =").contains("FLUMEN_STORAGE_JOURNAL_BYTES"), "{text}");
    assert!(line("groups_in_flight_max").contains("default"), "{text}");
    let printed = directory.path().join("printed.toml");
    std::fs::write(&printed, &text).unwrap();
    assert!(flumen(&["config", "--config", printed.to_str().unwrap()]).status.success());
}

#[test]
fn what_is_unknown_is_refused_with_its_line_and_the_nearest_name() {
    let directory = scratch();
    let path = directory.path().join("flumen.toml");
    std::fs::write(&path, "reactors = 2\nmemroy = \"1 GiB\"\n\n[kafka]\n\"log.retention.hour\" = 3\n").unwrap();
    let output =
        flumen(&["--config", path.to_str().unwrap(), "--data", directory.path().join("data").to_str().unwrap()]);
    assert!(!output.status.success());
    let text = err(&output);
    for part in
        ["flumen.toml:2", "'memroy'", "'memory'", "flumen.toml:5", "'log.retention.hour'", "'log.retention.hours'"]
    {
        assert!(text.contains(part), "no {part} in: {text}");
    }
    assert!(!directory.path().join("data").exists(), "it did not start");
    let output = flumen(&["--kafka", "num.partition=3", "config"]);
    assert!(!output.status.success());
    let output = flumen(&["config", "--kafka", "num.partition=3"]);
    assert!(err(&output).contains("num.partitions"), "{}", err(&output));
    assert!(err(&flumen(&["config", "--memory", "lots"])).contains("lots"));
}

#[test]
fn two_brokers_share_neither_a_directory_nor_an_address() {
    let directory = scratch();
    let broker = Broker::start(directory.path(), &[]);
    let output = flumen(&["--data", broker.data.to_str().unwrap(), "--listen", "127.0.0.1:0"]);
    assert!(!output.status.success());
    assert!(err(&output).contains("another broker runs on"), "{}", err(&output));
    // Nor an address.
    let (other, address) = (scratch(), broker.address.to_string());
    let small = ["--journal-bytes", "16MiB", "--disk-reserve-bytes", "1MiB"];
    let output = flumen(&[&["--data", other.path().to_str().unwrap(), "--listen", &address][..], &small].concat());
    assert_eq!(output.status.code(), Some(1));
    let told = err(&output);
    assert!(told.contains(&format!("cannot listen on {address} (listener PLAINTEXT)")), "{told}");
    let mut client = Client::connect(broker.address);
    client.create_topic("t", 1, &[]);
}

#[test]
fn topics_are_managed_from_the_command_line() {
    let directory = scratch();
    let broker = Broker::start(directory.path(), &["--reactors", "2"]);
    let bootstrap = broker.address.to_string();
    let run = |arguments: &[&str]| {
        let mut all = vec!["topic"];
        all.extend(arguments);
        all.extend(["--bootstrap", &bootstrap]);
        flumen(&all)
    };
    let created = run(&["create", "orders", "--partitions", "3"]);
    assert!(created.status.success(), "{}", err(&created));
    assert!(out(&run(&["list"])).contains("orders"));
    let described = out(&run(&["describe", "orders"]));
    assert!(described.contains("orders") && described.matches("  partition ").count() == 3, "{described}");
    let again = run(&["create", "orders", "--partitions", "3"]);
    assert!(!again.status.success() && err(&again).contains("orders"), "{}", err(&again));
    let bad = run(&["create", "other", "--config", "segment.byte=1"]);
    assert!(!bad.status.success() && err(&bad).contains("segment.byte"), "{}", err(&bad));
    assert!(run(&["delete", "orders"]).status.success());
    assert!(!out(&run(&["list"])).contains("orders"));
    let gone = run(&["describe", "orders"]);
    assert!(!gone.status.success(), "{}", out(&gone));
}

/// Starts a broker by this command; gives it, its log so far, and the addresses that it listens on, in order.
fn start_by(command: &mut Command, data: &std::path::Path, listeners: usize) -> (Child, String, Vec<SocketAddr>) {
    let mut child = command
        .args(["--data", data.to_str().unwrap(), "--memory", "256MiB", "--reactors", "2", "--pin-cores", "false"])
        .args(["--journal-bytes", "64MiB", "--journal-file-bytes", "4MiB", "--disk-reserve-bytes", "1MiB"])
        .env("NO_COLOR", "1")
        .env_remove("FLUMEN_CONFIG")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut text, mut addresses) = (String::new(), Vec::new());
    for line in BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok) {
        text += &line;
        text.push('\n');
        if line.contains("listening") {
            addresses.push(line.rsplit("address=").next().unwrap().trim().parse().unwrap());
        }
        if addresses.len() == listeners {
            break;
        }
    }
    assert_eq!(addresses.len(), listeners, "{text}");
    (child, text, addresses)
}

#[test]
fn several_listeners_tell_their_own_addresses() {
    let directory = scratch();
    let listeners = "INSIDE=127.0.0.1:0,OUTSIDE=127.0.0.1:0@kafka.example.org:19092";
    let mut command = Command::new(env!("CARGO_BIN_EXE_flumen"));
    let (mut child, _, addresses) = start_by(command.args(["--listen", listeners]), directory.path(), 2);
    let mut told = addresses.iter().map(|address| {
        let response = Client::connect(*address).ask(9, &MetadataRequest::default().with_topics(Some(Vec::new())));
        (response.brokers[0].host.to_string(), response.brokers[0].port)
    });
    let inside = told.next().unwrap();
    assert_eq!(inside, ("127.0.0.1".to_owned(), i32::from(addresses[0].port())), "the address it connected to");
    assert_eq!(told.next().unwrap(), ("kafka.example.org".to_owned(), 19092));
    let _ = child.kill();
    let _ = child.wait();
}

#[test]
fn a_memlock_limit_that_is_too_low_is_a_warning_and_no_end() {
    let directory = scratch();
    let data = directory.path().join("data");
    // As a user has it: 64 KiB, and no capability to pass the limit.
    let mut command = Command::new("setpriv");
    let command = command.args(["--bounding-set=-ipc_lock,-sys_resource", "--inh-caps=-ipc_lock,-sys_resource"]);
    let command = command.args(["prlimit", "--memlock=65536:65536", env!("CARGO_BIN_EXE_flumen")]);
    let (mut child, text, addresses) = start_by(command.args(["--listen", "127.0.0.1:0"]), &data, 1);
    let mut client = Client::connect(addresses[0]);
    client.create_topic("t", 2, &[]);
    for partition in 0..2 {
        assert_eq!(client.produce("t", partition, &["v"]).error_code, 0);
        assert_eq!(client.consume("t", partition, 0), [(0, "v".to_owned())]);
    }
    let _ = child.kill();
    let _ = child.wait();
    let warned = text.lines().find(|line| line.contains("WARN")).unwrap_or_default();
    assert!(warned.contains("LimitMEMLOCK") && warned.contains("ulimit -l"), "the warning names the remedy: {text}");
}

#[test]
fn a_broker_whose_log_nobody_reads_goes_on() {
    let directory = scratch();
    let mut command = Command::new(env!("CARGO_BIN_EXE_flumen"));
    let (mut child, _, addresses) = start_by(command.args(["--listen", "127.0.0.1:0"]), directory.path(), 1);
    // The reader of its log is gone by now; each connection with garbage is worth a line.
    for _ in 0..10 {
        let mut client = Client::connect(addresses[0]);
        client.stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
        assert!(client.frame().is_none());
    }
    Client::connect(addresses[0]).create_topic("t", 1, &[]);
    assert!(child.try_wait().unwrap().is_none());
    let _ = child.kill();
    let _ = child.wait();
}

#[test]
fn a_closed_pipe_ends_what_prints_without_a_word() {
    let directory = scratch();
    let path = directory.path().join("00000000000000000000.log");
    let mut batch = flumen::record::BatchBuilder::new();
    batch.append(1, None, Some(b"v"), &[]);
    let one = batch.build(0);
    let mut file = std::fs::File::create(&path).unwrap();
    for offset in 0..20_000_i64 {
        file.write_all(&[&offset.to_be_bytes(), &one[8..]].concat()).unwrap();
    }
    let mut child = Command::new(env!("CARGO_BIN_EXE_flumen"))
        .args(["dump", path.to_str().unwrap()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), err(&output).as_str()), (Some(0), ""));
}

/// What `tune disk` measured is a configuration that the broker takes, and its scratch file is gone.
#[test]
fn what_the_device_was_tuned_to_starts_the_broker() {
    let directory = scratch();
    let data = directory.path().join("data");
    let (data, file) = (data.to_str().unwrap(), directory.path().join("tuned.toml"));
    let output = flumen(&["tune", "disk", "--data", data, "--seconds", "2", "--write", file.to_str().unwrap()]);
    assert!(output.status.success(), "{}", err(&output));
    let (table, settings) = (out(&output), std::fs::read_to_string(&file).unwrap());
    assert!(table.contains("durable writes") && table.contains("reads past the page cache"), "{table}");
    assert!(table.ends_with(&settings), "what is printed is what is written");
    assert_eq!(std::fs::read_dir(data).unwrap().count(), 0, "the scratch file is gone");
    let effective = out(&flumen(&["config", "--config", file.to_str().unwrap()]));
    for key in ["groups_in_flight_max", "group_bytes_max", "direct_run_bytes_min"] {
        let set = settings.lines().find(|line| line.starts_with(key)).unwrap_or_else(|| panic!("{key}: {settings}"));
        let line = effective.lines().find(|line| line.starts_with(set)).unwrap_or_else(|| panic!("{set}: {effective}"));
        assert!(line.contains("tuned.toml:"), "{line}");
    }
    let mut broker = Broker::start(std::path::Path::new(data), &["--config", file.to_str().unwrap()]);
    assert!(broker.is_running());
}
