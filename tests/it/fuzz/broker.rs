//! A whole simulated broker under mutated frames: it answers or closes, and goes on serving who is well-behaved.

use core::time::Duration;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use flumen::base::block::Use;
use flumen::broker::config::{Config, MachineFacts};
use flumen::broker::message::Message;
use flumen::broker::startup;
use flumen::io::socket::{Received, Socket};
use flumen::io::{Handle, SocketAddr};
use flumen::protocol::frame::SIZE_FIELD_BYTES;
use flumen::protocol::messages::create_topics_request::CreatableTopic;
use flumen::protocol::messages::{ApiVersionsRequest, CreateTopicsRequest, FetchRequest, ProduceRequest, TopicName};
use flumen::protocol::{StrBytes, client};
use flumen::sim::{MachineConfig, ProcessConfig, World};
use kafka_protocol::protocol::Request;

use super::corpus::{self, TOPIC};
use super::mutate::Mutator;
use super::{rounds, seed};
use crate::backend::slices;

const PORT: u16 = 9092;
/// How long an answer to a frame is waited for.
const ANSWER: Duration = Duration::from_millis(200);
/// Frames that one connection sends at most.
const FRAMES_MAX: u64 = 6;

fn config() -> Config {
    let flags = [
        ("data", "/data"),
        ("listen", "0.0.0.0:9092"),
        ("memory", "64MiB"),
        ("reactors", "2"),
        ("journal-bytes", "16MiB"),
        ("journal-file-bytes", "1MiB"),
        ("disk-reserve-bytes", "1MiB"),
    ];
    let flags: Vec<_> = flags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let machine = MachineFacts { cores: 2, memory_bytes: 1 << 30 };
    Config::load(None, std::iter::empty(), &flags, machine).expect("a configuration")
}

/// One well-behaved request and its answer.
async fn ask<R: Request>(io: &Handle, socket: &Socket, version: i16, request: &R) -> R::Response {
    let frame = client::encode_request(version, 9, Some("probe"), request).expect("encodes");
    socket.send(io, slices(io, &frame), false).await.expect("the broker takes requests");
    let mut received = Vec::new();
    let mut chunks = socket.chunks(io);
    loop {
        if let Some(size) = received.first_chunk::<SIZE_FIELD_BYTES>() {
            let length = i32::from_be_bytes(*size) as usize;
            if received.len() >= SIZE_FIELD_BYTES + length {
                let frame = &received[SIZE_FIELD_BYTES..SIZE_FIELD_BYTES + length];
                return client::decode_response::<R>(version, frame).expect("an answer in its schema").1;
            }
        }
        match chunks.next().await.expect("the connection lives") {
            Received::Chunk(chunk) => received.extend_from_slice(&chunk),
            _ => panic!("the broker closed a connection without a fault"),
        }
    }
}

async fn connect(io: &Handle, address: SocketAddr) -> Socket {
    for _ in 0..10_000 {
        if let Ok(socket) = Socket::connect(io, address).await {
            return socket;
        }
        io.sleep(Duration::from_millis(10)).await;
    }
    panic!("nobody listens");
}

/// Checks that the broker serves: versions, a batch in, the same batch out.
async fn probe(io: &Handle, address: SocketAddr) {
    let socket = connect(io, address).await;
    let versions = ask(io, &socket, 0, &ApiVersionsRequest::default()).await;
    assert!(!versions.api_keys.is_empty());
    let produced = ask::<ProduceRequest>(io, &socket, 9, &corpus::produce(9)).await;
    for answer in produced.responses.iter().flat_map(|topic| &topic.partition_responses) {
        assert_eq!(answer.error_code, 0, "{:?}", answer.error_message);
    }
    let offset = produced.responses[1].partition_responses[2].base_offset;
    let mut wanted = corpus::fetch(12);
    wanted.session_epoch = -1;
    wanted.forgotten_topics_data.clear();
    wanted.topics[0].partitions.drain(..2);
    wanted.topics[0].partitions[0].fetch_offset = offset;
    let fetched = ask::<FetchRequest>(io, &socket, 12, &wanted).await;
    let data = &fetched.responses[0].partitions[0];
    assert_eq!(data.error_code, 0);
    assert!(!data.records.as_ref().expect("records").is_empty());
}

/// Sends a few mutated frames over one connection, listens a little, and leaves.
async fn attack(io: &Handle, address: SocketAddr, frames: Vec<Vec<u8>>) -> bool {
    let socket = connect(io, address).await;
    for frame in frames {
        if socket.send(io, slices(io, &frame), false).await.is_err() {
            return false;
        }
    }
    let mut block = Some(io.pool().try_block(4096, Use::Receive).expect("memory for a test"));
    let (answered, seen) = (Rc::new(Cell::new(false)), Rc::new(Cell::new(false)));
    let (told, noted) = (Rc::clone(&answered), Rc::clone(&seen));
    let socket = Rc::new(socket);
    let (listener, listening) = (Rc::clone(&socket), io.clone());
    io.spawn(async move {
        let block = block.take().expect("given once");
        let (_, count) = listener.receive_into(&listening, block, 0, 4096, false).await;
        told.set(count.is_ok_and(|count| count > 0));
        noted.set(true);
    });
    let deadline = io.now() + ANSWER;
    while !seen.get() && io.now() < deadline {
        io.sleep(Duration::from_millis(5)).await;
    }
    socket.shutdown(io);
    answered.get()
}

async fn attacker(io: Handle, address: SocketAddr, told: Rc<RefCell<Told>>) {
    // The broker is there when it has taken the topic.
    let socket = connect(&io, address).await;
    let topic = CreatableTopic::default()
        .with_name(TopicName(StrBytes::from_static_str(TOPIC)))
        .with_num_partitions(3)
        .with_replication_factor(1);
    let request = CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(5000);
    let created = ask(&io, &socket, 5, &request).await;
    assert_eq!(created.topics[0].error_code, 0);
    let all = corpus::requests();
    let mut mutator = Mutator::new(seed());
    for round in 0..rounds(300) {
        let count = mutator.random.between(1, FRAMES_MAX);
        let frames = (0..count).map(|_| mutated(&mut mutator, &all)).collect();
        let answered = attack(&io, address, frames).await;
        {
            let mut told = told.borrow_mut();
            told.attacks += 1;
            told.answered += u64::from(answered);
        }
        if round % 50 == 0 {
            restore(&io, address).await;
            probe(&io, address).await;
        }
    }
    restore(&io, address).await;
    probe(&io, address).await;
    told.borrow_mut().done = true;
}

/// Mutated requests may well delete the topic or change it, for they may be valid ones: it is made anew.
async fn restore(io: &Handle, address: SocketAddr) {
    use flumen::protocol::messages::DeleteTopicsRequest;
    let socket = connect(io, address).await;
    let name = TopicName(StrBytes::from_static_str(TOPIC));
    let delete = DeleteTopicsRequest::default().with_topic_names(vec![name.clone()]).with_timeout_ms(5000);
    ask(io, &socket, 4, &delete).await;
    let topic = CreatableTopic::default().with_name(name).with_num_partitions(3).with_replication_factor(1);
    let request = CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(5000);
    let created = ask(io, &socket, 5, &request).await;
    assert_eq!(created.topics[0].error_code, 0, "{:?}", created.topics[0].error_message);
}

/// A mutated frame; its size field is right in most cases, so that what lies behind is reached.
fn mutated(mutator: &mut Mutator, all: &[Vec<u8>]) -> Vec<u8> {
    let pick = mutator.random.below(all.len() as u64) as usize;
    let other = mutator.random.below(all.len() as u64) as usize;
    let mut frame = all[pick].clone();
    // Rarely in the header: a key or a version that is not known ends the connection before anything is decoded.
    let from = if mutator.random.one_in(8) { SIZE_FIELD_BYTES } else { SIZE_FIELD_BYTES + 14 };
    let from = from.min(frame.len());
    mutator.mutate(&mut frame, from, &all[other]);
    if !mutator.random.one_in(20) {
        let length = (frame.len().saturating_sub(SIZE_FIELD_BYTES)) as i32;
        frame[..SIZE_FIELD_BYTES].copy_from_slice(&length.to_be_bytes());
    }
    frame
}

#[derive(Default)]
struct Told {
    attacks: u64,
    answered: u64,
    done: bool,
    refused: Option<String>,
}

#[test]
fn a_broker_under_mutated_frames_goes_on_serving() {
    let mut world = World::new(seed());
    let (here, there) = (world.machine(&MachineConfig::default()), world.machine(&MachineConfig::default()));
    let config = Arc::new(config());
    let told = Rc::new(RefCell::new(Told::default()));
    let process_config = ProcessConfig { reactors: 2, pool_bytes: 64 << 20, descriptors_max: 4096 };
    let refused = Rc::clone(&told);
    let process = world.process::<Message, _>(here, process_config, move |io, port| {
        let (config, refused) = (Arc::clone(&config), Rc::clone(&refused));
        async move {
            flumen::io::file::create_directory(&io, &config.data_directory).await.expect("a directory");
            if let Err(error) = startup::run(io, port, config).await {
                refused.borrow_mut().refused = Some(error.to_string());
            }
        }
    });
    let address = SocketAddr::new(world.address(here), PORT);
    let attacks = Rc::clone(&told);
    world.client(there, move |io| attacker(io, address, Rc::clone(&attacks)));
    let done = world.run_until(Duration::from_secs(100_000), |_| told.borrow().done || told.borrow().refused.is_some());
    let told = told.borrow();
    assert!(done && told.refused.is_none(), "{} attacks, {:?}", told.attacks, told.refused);
    assert!(told.answered > told.attacks / 8, "{} of {} answered", told.answered, told.attacks);
    assert!(world.is_running(process));
}
