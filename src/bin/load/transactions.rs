//! Transactional producers: each writes to its share of the partitions for a while, commits, and begins again.
//!
//! A request carries a batch to each of the producer's partitions. The first one of a transaction is waited for, and sent again where
//! the broker is not done with the transaction before; the others follow with as many in flight as wanted. A commit is
//! measured from its request to its reply.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use flumen::base::block::Use;
use flumen::base::oneshot;
use flumen::base::time::{Duration, Instant};
use flumen::io::Handle;
use flumen::io::op::Slices;
use flumen::io::socket::Socket;
use flumen::model::error_code::ErrorCode;
use flumen::protocol::StrBytes;
use flumen::protocol::client::{decode_response, encode_request};
use flumen::protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use flumen::protocol::messages::{
    EndTxnRequest, FindCoordinatorRequest, InitProducerIdRequest, ProduceRequest, ProduceResponse, ProducerId,
    TopicName, TransactionalId,
};
use flumen::record::BatchBuilder;
use kafka_protocol::protocol::Request;

use super::frames::SmallFrames;
use super::measure::{Recorder, Series, Work};
use super::options::Transactions;
use super::run::{Plan, connect, spawn};
use super::wire::CLIENT_ID;

/// The versions of transaction version 2 (KIP-890), in which the broker adds partitions by itself.
const INIT_PRODUCER_ID_VERSION: i16 = 5;
const FIND_COORDINATOR_VERSION: i16 = 4;
/// FindCoordinator's number for transactional ids.
const TRANSACTION_KEY: i8 = 1;
const PRODUCE_VERSION: i16 = 12;
const END_TXN_VERSION: i16 = 5;
/// The pause before a request is sent again that came before the broker was done with the transaction before.
const RETRY_PAUSE: Duration = Duration::from_millis(5);
/// How long that may go on.
const RETRY_MAX: Duration = Duration::from_secs(60);
const TRANSACTION_TIMEOUT_MS: i32 = 60_000;
const PRODUCE_TIMEOUT_MS: i32 = 30_000;

/// Starts this thread's producers; the receivers hear of their ends.
pub fn launch(
    io: &Handle,
    plan: &Arc<Plan>,
    recorder: &Rc<RefCell<Recorder>>,
    options: &Transactions,
    own: &impl Fn(usize) -> bool,
) -> Vec<oneshot::Receiver<()>> {
    let producers = options.producers as usize;
    let launched = (0..producers).filter(|index| own(*index)).map(|index| {
        let (task_io, plan, recorder) = (io.clone(), Arc::clone(plan), Rc::clone(recorder));
        let options = options.clone();
        spawn(io, async move {
            if let Err(reason) = produce(&task_io, &plan, &recorder, &options, index).await {
                plan.shared.fail(reason);
            }
        })
    });
    launched.collect()
}

async fn produce(
    io: &Handle,
    plan: &Plan,
    recorder: &Rc<RefCell<Recorder>>,
    options: &Transactions,
    index: usize,
) -> Result<(), String> {
    let [broker] = &plan.cluster.brokers[..] else {
        return Err("transactions are measured against one broker, which leads all partitions".to_owned());
    };
    let partitions = broker.partitions.iter().copied().skip(index).step_by(options.producers as usize).collect();
    let socket = connect(io, plan.addresses[0]).await?;
    let mut producer = Producer {
        io: io.clone(),
        frames: SmallFrames::new(io, &socket),
        socket,
        topic: options.common.topic.clone(),
        transactional_id: format!("{}-{index}", options.common.topic),
        partitions,
        sequences: Vec::new(),
        value: vec![b'v'; options.record_bytes],
        batch_records: options.batch_records,
        id: (-1, -1),
        correlation_id: 0,
    };
    producer.initialise().await?;
    let end = recorder.borrow().window().end;
    while io.now() < end && !plan.shared.is_stopped() {
        producer.transaction(plan, recorder, options).await?;
    }
    Ok(())
}

/// A producer and its connection.
struct Producer {
    io: Handle,
    socket: Socket,
    frames: SmallFrames,
    topic: String,
    transactional_id: String,
    partitions: Vec<i32>,
    /// The next sequence number of each partition.
    sequences: Vec<i32>,
    value: Vec<u8>,
    batch_records: u32,
    /// Producer id and epoch.
    id: (i64, i16),
    correlation_id: i32,
}

impl Producer {
    fn transactional_id(&self) -> TransactionalId {
        TransactionalId(StrBytes::from_string(self.transactional_id.clone()))
    }

    async fn initialise(&mut self) -> Result<(), String> {
        let request = InitProducerIdRequest::default()
            .with_transactional_id(Some(self.transactional_id()))
            .with_transaction_timeout_ms(TRANSACTION_TIMEOUT_MS)
            .with_producer_id(ProducerId(-1))
            .with_producer_epoch(-1);
        let until = self.io.now() + RETRY_MAX;
        // Who is asked for the coordinator makes the topic of transactions, where nobody has used it yet.
        let find = FindCoordinatorRequest::default()
            .with_key_type(TRANSACTION_KEY)
            .with_coordinator_keys(vec![StrBytes::from_string(self.transactional_id.clone())]);
        self.send(FIND_COORDINATOR_VERSION, &find).await?;
        self.receive::<FindCoordinatorRequest>(FIND_COORDINATOR_VERSION).await?;
        loop {
            self.send(INIT_PRODUCER_ID_VERSION, &request).await?;
            let response = self.receive::<InitProducerIdRequest>(INIT_PRODUCER_ID_VERSION).await?;
            match response.error_code {
                0 => {
                    self.become_producer(response.producer_id.0, response.producer_epoch);
                    return Ok(());
                }
                code if is_early(code) && self.io.now() < until => self.io.sleep(RETRY_PAUSE).await,
                code => return Err(format!("no producer id: {}", named(code))),
            }
        }
    }

    fn become_producer(&mut self, id: i64, epoch: i16) {
        self.id = (id, epoch);
        self.sequences = vec![0; self.partitions.len()];
    }

    async fn transaction(
        &mut self,
        plan: &Plan,
        recorder: &Rc<RefCell<Recorder>>,
        options: &Transactions,
    ) -> Result<(), String> {
        let began = self.io.now();
        let until = began + Duration::from_millis(options.commit_ms);
        self.first(plan, recorder).await?;
        let mut sent: Vec<Instant> = Vec::new();
        loop {
            while sent.len() < usize::from(options.in_flight) && self.io.now() < until {
                let request = self.request(0..self.partitions.len());
                sent.push(self.io.now());
                self.advance();
                self.send(PRODUCE_VERSION, &request).await?;
            }
            if sent.is_empty() {
                break;
            }
            let refused = refused(&self.receive::<ProduceRequest>(PRODUCE_VERSION).await?);
            if let Some((partition, code)) = refused.first() {
                return Err(format!("partition {partition} refused a batch: {}", named(*code)));
            }
            self.acknowledged(plan, recorder, sent.remove(0));
        }
        self.commit(plan, recorder).await
    }

    /// The batches that open the transaction in each partition.
    async fn first(&mut self, plan: &Plan, recorder: &Rc<RefCell<Recorder>>) -> Result<(), String> {
        let began = self.io.now();
        let mut open: Vec<usize> = (0..self.partitions.len()).collect();
        loop {
            let request = self.request(open.iter().copied());
            self.send(PRODUCE_VERSION, &request).await?;
            let refused = refused(&self.receive::<ProduceRequest>(PRODUCE_VERSION).await?);
            if let Some((partition, code)) = refused.iter().find(|(_, code)| !is_early(*code)) {
                return Err(format!("partition {partition} refused the first batch: {}", named(*code)));
            }
            if refused.is_empty() {
                break;
            }
            if self.io.now().since(began) > RETRY_MAX {
                return Err(format!("the transaction before does not end: {}", named(refused[0].1)));
            }
            open.retain(|at| refused.iter().any(|(partition, _)| *partition == self.partitions[*at]));
            self.io.sleep(RETRY_PAUSE).await;
        }
        self.advance();
        self.acknowledged(plan, recorder, began);
        Ok(())
    }

    fn acknowledged(&self, plan: &Plan, recorder: &Rc<RefCell<Recorder>>, sent: Instant) {
        let records = self.partitions.len() as u64 * u64::from(self.batch_records);
        let bytes = records * self.value.len() as u64;
        let mut recorder = recorder.borrow_mut();
        recorder.latency(Series::Acknowledge, sent, self.io.now(), 1);
        recorder.done(self.io.now(), Work { records, bytes }, false);
        plan.shared.count(records, bytes);
    }

    async fn commit(&mut self, plan: &Plan, recorder: &Rc<RefCell<Recorder>>) -> Result<(), String> {
        let sent = self.io.now();
        let request = EndTxnRequest::default()
            .with_transactional_id(self.transactional_id())
            .with_producer_id(ProducerId(self.id.0))
            .with_producer_epoch(self.id.1)
            .with_committed(true);
        loop {
            self.send(END_TXN_VERSION, &request).await?;
            let response = self.receive::<EndTxnRequest>(END_TXN_VERSION).await?;
            match response.error_code {
                0 => {
                    recorder.borrow_mut().latency(Series::Commit, sent, self.io.now(), 1);
                    self.become_producer(response.producer_id.0, response.producer_epoch);
                    return Ok(());
                }
                code if is_early(code) && self.io.now().since(sent) < RETRY_MAX => {
                    plan.shared.error(|| format!("a commit was put off: {}", named(code)));
                    self.io.sleep(RETRY_PAUSE).await;
                }
                code => return Err(format!("a commit was refused: {}", named(code))),
            }
        }
    }

    /// A batch for each of the partitions at these places.
    fn request(&self, places: impl Iterator<Item = usize>) -> ProduceRequest {
        let data = places.map(|at| {
            let mut batch = BatchBuilder::new().producer(self.id.0, self.id.1, self.sequences[at]).transactional();
            for _ in 0..self.batch_records {
                batch.append(self.io.wall_ms(), None, Some(&self.value), &[]);
            }
            PartitionProduceData::default().with_index(self.partitions[at]).with_records(Some(batch.build(0).into()))
        });
        let topic = TopicProduceData::default()
            .with_name(TopicName(StrBytes::from_string(self.topic.clone())))
            .with_partition_data(data.collect());
        ProduceRequest::default()
            .with_transactional_id(Some(self.transactional_id()))
            .with_acks(-1)
            .with_timeout_ms(PRODUCE_TIMEOUT_MS)
            .with_topic_data(vec![topic])
    }

    fn advance(&mut self) {
        self.sequences.iter_mut().for_each(|sequence| *sequence += self.batch_records as i32);
    }

    async fn send<R: Request>(&mut self, version: i16, request: &R) -> Result<(), String> {
        self.correlation_id += 1;
        let frame = encode_request(version, self.correlation_id, Some(CLIENT_ID), request);
        let frame = frame.map_err(|error| error.to_string())?;
        let mut block = self.io.pool().block_unlimited(frame.len(), Use::Reply).ok_or("no memory for a request")?;
        block[..frame.len()].copy_from_slice(&frame);
        let slices = Slices::from_iter([block.into_slice(frame.len())]);
        self.socket.send(&self.io, slices, false).await.map(drop).map_err(|error| error.to_string())
    }

    async fn receive<R: Request>(&mut self, version: i16) -> Result<R::Response, String> {
        loop {
            if let Some(frame) = self.frames.try_next()? {
                return decode_response::<R>(version, frame).map(|(_, body)| body).map_err(|error| error.to_string());
            }
            self.frames.receive(&self.io, &self.socket).await?;
        }
    }
}

/// The partitions that refused their batches, and why.
fn refused(response: &ProduceResponse) -> Vec<(i32, i16)> {
    let partitions = response.responses.iter().flat_map(|topic| &topic.partition_responses);
    partitions.filter(|one| one.error_code != 0).map(|one| (one.index, one.error_code)).collect()
}

/// Whether a request came too early: the transaction before is not complete, or the coordinator not ready.
fn is_early(code: i16) -> bool {
    let early = [
        ErrorCode::ConcurrentTransactions,
        ErrorCode::CoordinatorLoadInProgress,
        ErrorCode::CoordinatorNotAvailable,
        ErrorCode::NotCoordinator,
        ErrorCode::NotEnoughReplicas,
    ];
    early.iter().any(|one| one.code() == code)
}

fn named(code: i16) -> String {
    ErrorCode::from_code(code).map_or_else(|| format!("error {code}"), |known| known.name().to_owned())
}
