//! What comes over the wire, well-formed or not.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use flumen::base::prng::Prng;
use flumen::protocol::api::{ApiKey, TABLE, advertised};
use flumen::protocol::messages::{ApiVersionsRequest, FetchRequest};

use super::client::{Client, fetch_request};
use super::process::{Broker, pause};

fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

#[test]
fn the_first_request_is_answered_in_any_version() {
    let directory = scratch();
    let broker = Broker::start(directory.path(), &["--reactors", "2"]);
    let mut client = Client::connect(broker.address);
    for version in 0..=4 {
        let request = ApiVersionsRequest::default()
            .with_client_software_name("test".into())
            .with_client_software_version("1.0".into());
        let response = client.ask(version, &request);
        assert_eq!(response.error_code, 0);
        assert_eq!(response.api_keys.len(), advertised().count());
        let produce = response.api_keys.iter().find(|api| api.api_key == 0).unwrap();
        assert_eq!((produce.min_version, produce.max_version), (0, 13));
    }
    // A version from the future is answered in version 0, with what is spoken here (KIP-511).
    client.stream.write_all(&[0, 0, 0, 14, 0, 18, 0, 99, 0, 0, 0, 7, 0xff, 0xff, 0, 1, 1, 0]).unwrap();
    let frame = client.frame().unwrap();
    assert_eq!(frame[..6], [0, 0, 0, 7, 0, 35]);
    let bad = ApiVersionsRequest::default()
        .with_client_software_name("no good".into())
        .with_client_software_version("1.0".into());
    assert_eq!(client.ask(3, &bad).error_code, 42);
}

#[test]
fn garbage_closes_its_connection_and_says_why() {
    let directory = scratch();
    let mut broker = Broker::start(directory.path(), &["--reactors", "2"]);
    let cases: [(&[u8], &str); 8] = [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "TLS"),
        (b"GET / HTTP/1.1\r\n\r\n", "HTTP"),
        (b"\xff\xff\xff\xff", "-1"),
        (b"\x00\x00\x00\x00", "0 bytes"),
        (b"\x7f\xff\xff\xff", "2147483647"),
        // A retired key, an unknown one, a version that is not served.
        (b"\0\0\0\x0a\0\x04\0\0\0\0\0\x01\xff\xff", "key 4"),
        (b"\0\0\0\x0a\x0b\xb8\0\0\0\0\0\x01\xff\xff", "key 3000"),
        (b"\0\0\0\x0a\0\0\0\x02\0\0\0\x01\xff\xff", "Produce version 2"),
    ];
    for (bytes, reason) in cases {
        let mut client = Client::connect(broker.address);
        client.stream.write_all(bytes).unwrap();
        assert!(client.frame().is_none(), "{reason}");
        broker.wait_for_line(reason);
    }
    let mut client = Client::connect(broker.address);
    assert_eq!(client.ask(3, &api_versions()).error_code, 0, "the broker goes on");
}

fn api_versions() -> ApiVersionsRequest {
    ApiVersionsRequest::default().with_client_software_name("test".into()).with_client_software_version("1".into())
}

#[test]
fn no_body_takes_the_broker_down() {
    let directory = scratch();
    let mut broker =
        Broker::start(directory.path(), &["--reactors", "2", "--log-level", "error,flumen::broker::startup=info"]);
    let mut prng = Prng::new(20);
    for round in 0..1500_i32 {
        let api = &TABLE[prng.below(TABLE.len() as u64) as usize];
        let version = prng.between(0, 14) as i16;
        let mut body = vec![0; prng.below(120) as usize];
        prng.fill(&mut body);
        if prng.one_in(2) {
            // Small numbers reach further into the schemas than random ones.
            body.iter_mut().for_each(|byte| *byte %= 4);
        }
        let mut frame = Vec::new();
        frame.extend_from_slice(&(10 + body.len() as i32).to_be_bytes());
        frame.extend_from_slice(&api.key.code().to_be_bytes());
        frame.extend_from_slice(&version.to_be_bytes());
        frame.extend_from_slice(&round.to_be_bytes());
        frame.extend_from_slice(&(-1_i16).to_be_bytes());
        frame.extend_from_slice(&body);
        let mut client = Client::connect(broker.address);
        client.stream.write_all(&frame).unwrap();
        if prng.one_in(4) {
            client.stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
            let mut reply = [0; 64];
            let _ = client.stream.read(&mut reply);
        }
    }
    assert!(broker.is_running());
    let mut client = Client::connect(broker.address);
    assert_eq!(client.ask(3, &api_versions()).error_code, 0);
}

#[test]
fn frames_may_arrive_byte_by_byte() {
    let directory = scratch();
    let broker = Broker::start(directory.path(), &["--reactors", "1"]);
    let mut client = Client::connect(broker.address);
    let frame = flumen::protocol::client::encode_request(3, 9, Some("slow"), &api_versions()).unwrap();
    for byte in &frame {
        client.stream.write_all(&[*byte]).unwrap();
        pause(Duration::from_millis(1));
    }
    assert_eq!(client.receive::<ApiVersionsRequest>(3, 9).error_code, 0);
}

#[test]
fn a_client_that_does_not_read_is_left_unread() {
    let directory = scratch();
    let broker = Broker::start(directory.path(), &["--reactors", "1"]);
    let mut client = Client::connect(broker.address);
    client.create_topic("t", 1, &[]);
    let value = "x".repeat(900_000);
    for _ in 0..8 {
        assert_eq!(client.produce("t", 0, &[&value]).error_code, 0);
    }
    let mut greedy = Client::connect(broker.address);
    let mut request = fetch_request(&[("t", 0, 0)]);
    request.topics[0].partitions[0].partition_max_bytes = 50 << 20;
    let ids: Vec<i32> = (0..300).map(|_| greedy.send(12, &request)).collect();
    pause(Duration::from_millis(300));
    let held = snapshot(&broker);
    let reactor = &held["reactors"][0];
    assert!(reactor["reads_paused"].as_u64().unwrap() > 0, "{reactor}");
    assert!(reactor["requests_in_flight"].as_u64().unwrap() <= 64);
    let in_use: u64 = held["memory"]["in_use"].as_object().unwrap().values().map(|bytes| bytes.as_u64().unwrap()).sum();
    assert!(in_use < 100 << 20, "{in_use} bytes are held");
    // What it asked for comes, all of it and in order, once it reads.
    for id in ids {
        let response = greedy.receive::<FetchRequest>(12, id);
        let records = response.responses[0].partitions[0].records.as_ref().unwrap();
        assert!(records.len() > 7_000_000);
    }
}

pub fn snapshot(broker: &Broker) -> serde_json::Value {
    let mut socket = UnixStream::connect(broker.data.join("flumen.sock")).unwrap();
    let mut json = String::new();
    socket.read_to_string(&mut json).unwrap();
    serde_json::from_str(&json).unwrap()
}

#[test]
fn statistics_cover_all_reactors() {
    let directory = scratch();
    let broker = Broker::start(directory.path(), &["--reactors", "3"]);
    let mut clients: Vec<Client> = (0..6).map(|_| Client::connect(broker.address)).collect();
    clients[0].create_topic("t", 6, &[]);
    for client in &mut clients {
        for partition in 0..6 {
            client.produce("t", partition, &["v"]);
        }
    }
    let snapshot = snapshot(&broker);
    let reactors = snapshot["reactors"].as_array().unwrap();
    assert_eq!(reactors.len(), 3);
    let sum = |field: &str| reactors.iter().map(|reactor| reactor[field].as_u64().unwrap()).sum::<u64>();
    assert_eq!(sum("connections"), 6);
    assert!(reactors.iter().all(|reactor| reactor["connections"] == 2), "connections are spread: {snapshot}");
    assert_eq!(sum("batches_in"), 36);
    // Beside the topic's there is the partition of the metadata.
    assert_eq!(sum("partitions"), 7);
    assert!(reactors.iter().all(|reactor| reactor["storage"]["groups"].as_u64().unwrap() > 0));
    let produced: u64 = reactors
        .iter()
        .flat_map(|reactor| reactor["requests"].as_array().unwrap())
        .filter(|api| api["key"] == ApiKey::Produce.code())
        .map(|api| api["count"].as_u64().unwrap())
        .sum();
    assert_eq!(produced, 36);
}

#[test]
fn too_many_connections_are_closed() {
    let directory = scratch();
    let mut broker = Broker::start(directory.path(), &["--reactors", "2", "--connections-max", "4"]);
    let mut held: Vec<Client> = (0..4).map(|_| Client::connect(broker.address)).collect();
    for client in &mut held {
        assert_eq!(client.ask(3, &api_versions()).error_code, 0);
    }
    let mut further = Client::connect(broker.address);
    assert!(further.frame().is_none());
    broker.wait_for_line("max.connections");
    held.pop();
    pause(Duration::from_millis(100));
    let mut next = Client::connect(broker.address);
    assert_eq!(next.ask(3, &api_versions()).error_code, 0, "there is room again");
}

#[test]
fn idle_connections_are_closed() {
    let directory = scratch();
    let broker = Broker::start(directory.path(), &["--reactors", "1", "--connection-idle-ms-max", "1000"]);
    let mut client = Client::connect(broker.address);
    assert_eq!(client.ask(3, &api_versions()).error_code, 0);
    assert!(client.frame().is_none(), "closed after a second or two");
}
