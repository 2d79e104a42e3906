//! A blocking client that says exactly what a test wants said.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use bytes::Bytes;
use flumen::protocol::StrBytes;
use flumen::protocol::client::{decode_response, encode_request};
use flumen::protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use flumen::protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use flumen::protocol::messages::fetch_response::PartitionData;
use flumen::protocol::messages::metadata_request::MetadataRequestTopic;
use flumen::protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use flumen::protocol::messages::produce_response::PartitionProduceResponse;
use flumen::protocol::messages::{
    CreateTopicsRequest, FetchRequest, FetchResponse, MetadataRequest, ProduceRequest, TopicName,
};
use flumen::record::{self, BatchBuilder};
use kafka_protocol::protocol::Request;
use uuid::Uuid;

const PATIENCE: Duration = Duration::from_secs(20);

pub struct Client {
    pub stream: TcpStream,
    next_id: i32,
}

pub fn name(text: &str) -> TopicName {
    TopicName(StrBytes::from_string(text.to_owned()))
}

/// A batch of records with these values.
pub fn batch(values: &[&str]) -> Vec<u8> {
    let mut batch = BatchBuilder::new();
    for (at, value) in values.iter().enumerate() {
        batch.append(1000 + at as i64, Some(b"key"), Some(value.as_bytes()), &[]);
    }
    batch.build(0)
}

/// The offsets and values of all records in `bytes`.
pub fn values(bytes: &[u8]) -> Vec<(i64, String)> {
    let mut values = Vec::new();
    for batch in record::batches(bytes) {
        let (_, batch) = batch.unwrap();
        record::check_stored(batch).unwrap();
        let records = record::records(batch).unwrap();
        for stored in &records {
            let stored = stored.unwrap();
            values.push((stored.offset, String::from_utf8(stored.value.unwrap().to_vec()).unwrap()));
        }
    }
    values
}

impl Client {
    pub fn connect(address: SocketAddr) -> Client {
        Client::try_connect(address).unwrap()
    }

    /// As `connect`, to a broker that may end meanwhile.
    pub fn try_connect(address: SocketAddr) -> std::io::Result<Client> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Client { stream, next_id: 0 })
    }

    pub fn send<R: Request>(&mut self, version: i16, request: &R) -> i32 {
        self.try_send(version, request).unwrap()
    }

    /// As `send`, to a broker that may end meanwhile.
    pub fn try_send<R: Request>(&mut self, version: i16, request: &R) -> std::io::Result<i32> {
        self.next_id += 1;
        let frame = encode_request(version, self.next_id, Some("test"), request).unwrap();
        self.stream.write_all(&frame)?;
        Ok(self.next_id)
    }

    /// Sends a body of a flexible version as it is; gives the reply's body, behind its header.
    pub fn ask_raw(&mut self, key: i16, version: i16, body: &[u8]) -> Vec<u8> {
        self.next_id += 1;
        let mut frame = [key.to_be_bytes(), version.to_be_bytes()].concat();
        frame.extend(self.next_id.to_be_bytes());
        // No client id, no tagged fields.
        frame.extend([0xff, 0xff, 0]);
        frame.extend(body);
        let size = u32::try_from(frame.len()).unwrap().to_be_bytes();
        self.stream.write_all(&[&size, &frame[..]].concat()).unwrap();
        let reply = self.frame().unwrap_or_else(|| panic!("the broker closed the connection: key {key} {version}"));
        assert_eq!(reply[..4], self.next_id.to_be_bytes());
        assert_eq!(reply[4], 0, "no tagged fields in the header");
        reply[5..].to_vec()
    }

    /// The next reply frame, without its size; `None` when the broker has closed the connection.
    pub fn frame(&mut self) -> Option<Vec<u8>> {
        let mut size = [0; 4];
        match self.stream.read_exact(&mut size) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => panic!("no reply within {PATIENCE:?}"),
            Err(_) => return None,
        }
        let mut frame = vec![0; usize::try_from(i32::from_be_bytes(size)).unwrap()];
        self.stream.read_exact(&mut frame).ok()?;
        Some(frame)
    }

    pub fn receive<R: Request>(&mut self, version: i16, id: i32) -> R::Response {
        let received = self.try_receive::<R>(version, id);
        received.unwrap_or_else(|| panic!("the broker closed the connection: key {} {version}", R::KEY))
    }

    /// As `receive`, from a broker that may end meanwhile: `None` when it has.
    pub fn try_receive<R: Request>(&mut self, version: i16, id: i32) -> Option<R::Response> {
        let frame = self.frame()?;
        let (answered, response) =
            decode_response::<R>(version, &frame).unwrap_or_else(|error| panic!("{error}: {frame:?}"));
        assert_eq!(answered, id, "replies come in the order of requests");
        Some(response)
    }

    pub fn ask<R: Request>(&mut self, version: i16, request: &R) -> R::Response {
        let id = self.send(version, request);
        self.receive::<R>(version, id)
    }

    pub fn create_topic(&mut self, topic: &str, partitions: i32, configs: &[(&str, &str)]) -> Uuid {
        let configs = configs.iter().map(|(key, value)| {
            let config = CreatableTopicConfig::default().with_name(StrBytes::from_string((*key).to_owned()));
            config.with_value(Some(StrBytes::from_string((*value).to_owned())))
        });
        let topic = CreatableTopic::default()
            .with_name(name(topic))
            .with_num_partitions(partitions)
            .with_replication_factor(-1)
            .with_configs(configs.collect());
        let request = CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(10_000);
        let response = self.ask(7, &request);
        assert_eq!(response.topics[0].error_code, 0, "{:?}", response.topics[0].error_message);
        response.topics[0].topic_id
    }

    pub fn topic_id(&mut self, topic: &str) -> Option<Uuid> {
        let wanted = MetadataRequestTopic::default().with_name(Some(name(topic)));
        let request = MetadataRequest::default().with_topics(Some(vec![wanted])).with_allow_auto_topic_creation(false);
        let response = self.ask(12, &request);
        (response.topics[0].error_code == 0).then_some(response.topics[0].topic_id)
    }

    pub fn produce(&mut self, topic: &str, partition: i32, values: &[&str]) -> PartitionProduceResponse {
        let request = produce_request(-1, &[(topic, partition, batch(values))]);
        let mut response = self.ask(11, &request);
        response.responses.remove(0).partition_responses.remove(0)
    }

    /// Everything from `offset` on in one partition, in as many fetches as it takes.
    pub fn consume(&mut self, topic: &str, partition: i32, mut offset: i64) -> Vec<(i64, String)> {
        let mut all = Vec::new();
        loop {
            let response = self.ask(12, &fetch_request(&[(topic, partition, offset)]));
            let data = &response.responses[0].partitions[0];
            assert_eq!(data.error_code, 0);
            let found = values(data.records.as_deref().unwrap_or_default());
            let found: Vec<_> = found.into_iter().filter(|(at, _)| *at >= offset).collect();
            match found.last() {
                None => return all,
                Some((last, _)) => offset = last + 1,
            }
            all.extend(found);
        }
    }
}

pub fn produce_request(acks: i16, batches: &[(&str, i32, Vec<u8>)]) -> ProduceRequest {
    let topics = batches.iter().map(|(topic, partition, batch)| {
        let data =
            PartitionProduceData::default().with_index(*partition).with_records(Some(Bytes::copy_from_slice(batch)));
        TopicProduceData::default().with_name(name(topic)).with_partition_data(vec![data])
    });
    ProduceRequest::default().with_acks(acks).with_timeout_ms(10_000).with_topic_data(topics.collect())
}

/// A fetch outside any session that does not wait.
pub fn fetch_request(partitions: &[(&str, i32, i64)]) -> FetchRequest {
    let topics = partitions.iter().map(|(topic, partition, offset)| {
        let partition = FetchPartition::default()
            .with_partition(*partition)
            .with_fetch_offset(*offset)
            .with_partition_max_bytes(1 << 20);
        FetchTopic::default().with_topic(name(topic)).with_partitions(vec![partition])
    });
    FetchRequest::default()
        .with_max_wait_ms(0)
        .with_min_bytes(1)
        .with_max_bytes(50 << 20)
        .with_session_epoch(-1)
        .with_topics(topics.collect())
}

/// The partitions of a reply, in its order, with the names of their topics.
pub fn fetched(response: &FetchResponse) -> Vec<(String, &PartitionData)> {
    let topics = response.responses.iter();
    topics.flat_map(|topic| topic.partitions.iter().map(|data| (topic.topic.to_string(), data))).collect()
}
