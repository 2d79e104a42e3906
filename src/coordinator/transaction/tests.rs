//! The rules of transactions as plain calls: each input is decided, its records replayed, and the log is all that a machine
//! which is loaded later knows.

use super::describe::Filter;
use super::machine::{Begin, End, Enlist, Input, Reply, TransactionConfig, TransactionMachine};
use super::markers::Markers;
use super::record::{decode_key, decode_value, record};
use super::state::{Client, Status, Touched, Transaction};
use crate::base::time::{Duration, Instant};
use crate::coordinator::machine::{
    CoordinatorRecord, DECISION_BYTES_MAX, Effects, Machine, ReplyTo, Situation, bytes_of,
};
use crate::metadata::image::Image;
use crate::model::error_code::ErrorCode;

const ID: &str = "orders";
const TIMEOUT_MS: i32 = 10_000;

struct Fixture {
    machine: TransactionMachine,
    image: Image,
    wall_ms: i64,
    log: Vec<CoordinatorRecord>,
    next_reply: u64,
    replies: Vec<(ReplyTo, Reply)>,
}

fn config() -> TransactionConfig {
    TransactionConfig { timeout_ms_max: 60_000, expiration_ms: 100_000, expiry_interval_ms: 5_000, ids_max: 3 }
}

fn touched(index: i32) -> Touched {
    ("topic".into(), index)
}

impl Fixture {
    fn new() -> Fixture {
        let mut fixture = Fixture {
            machine: TransactionMachine::new(config()),
            image: Image::empty(),
            wall_ms: 1_000_000,
            log: Vec::new(),
            next_reply: 0,
            replies: Vec::new(),
        };
        fixture.call(|machine, situation| machine.loaded(situation));
        fixture
    }

    /// A machine that knows the log alone, as after a crash.
    fn crash(&mut self) {
        self.machine = TransactionMachine::new(config());
        for record in &self.log {
            self.machine.replay(&record.key, record.value.as_deref(), None).unwrap();
        }
        self.call(|machine, situation| machine.loaded(situation));
    }

    fn call(&mut self, call: impl FnOnce(&mut TransactionMachine, &Situation<'_>) -> Effects<Reply>) {
        let now = Instant(self.wall_ms as u64 * 1_000_000);
        let situation = Situation { now, wall_ms: self.wall_ms, image: &self.image, random: 0 };
        let mut effects = call(&mut self.machine, &situation);
        loop {
            assert!(bytes_of(&effects.records) < DECISION_BYTES_MAX as usize, "one batch holds it");
            for record in effects.records {
                self.machine.replay(&record.key, record.value.as_deref(), None).unwrap();
                self.log.push(record);
            }
            self.replies.extend(effects.replies);
            // The shell calls again as long as something is due.
            if self.machine.next_deadline().is_none_or(|at| at > now) {
                return;
            }
            effects = self.machine.on_time(&situation);
        }
    }

    fn pass(&mut self, duration: Duration) {
        self.wall_ms += duration.as_millis() as i64;
        self.call(|machine, situation| machine.on_time(situation));
    }

    fn start(&mut self, input: Input) -> ReplyTo {
        self.next_reply += 1;
        let to = ReplyTo(self.next_reply);
        self.call(|machine, situation| machine.decide(situation, input, to));
        to
    }

    fn reply(&mut self, to: ReplyTo) -> Option<Reply> {
        let at = self.replies.iter().position(|(other, _)| *other == to)?;
        Some(self.replies.remove(at).1)
    }

    fn ask(&mut self, input: Input) -> Reply {
        let to = self.start(input);
        self.reply(to).expect("answered at once")
    }

    fn begin(&mut self, expected: Option<(i64, i16)>, fresh: Option<i64>) -> Input {
        let transactional_id = ID.to_owned();
        Input::Begin(Begin { transactional_id, timeout_ms: TIMEOUT_MS, expected, fresh, client: Client::default() })
    }

    /// The producer that stands for the id from now on.
    fn init(&mut self) -> (i64, i16) {
        let input = self.begin(None, Some(500));
        producer(self.ask(input))
    }

    fn add(&mut self, (producer_id, producer_epoch): (i64, i16), index: i32, client_version: i16) -> Option<ErrorCode> {
        let input = enlist((producer_id, producer_epoch), index, false, client_version);
        enlisted(self.ask(input))
    }

    fn verify(&mut self, producer: (i64, i16), index: i32) -> Option<ErrorCode> {
        enlisted(self.ask(enlist(producer, index, true, 0)))
    }

    /// Takes the markers that are to be written, and says that they are.
    fn write_markers(&mut self) -> Vec<Markers> {
        let Reply::Markers(taken) = self.ask(Input::TakeMarkers) else { panic!("markers") };
        for markers in &taken {
            assert!(matches!(self.ask(Input::MarkersWritten(markers.clone())), Reply::Noted));
        }
        taken
    }

    /// Gives the producer the last epoch that clients may have.
    fn wear_out(&mut self) {
        let last = Transaction { producer_epoch: i16::MAX - 1, ..self.machine.get(ID).unwrap().clone() };
        let worn = record(ID, &last);
        self.machine.replay(&worn.key, worn.value.as_deref(), None).unwrap();
    }

    fn status(&self) -> Status {
        self.machine.get(ID).unwrap().status
    }
}

fn enlist((producer_id, producer_epoch): (i64, i16), index: i32, verify_only: bool, client_version: i16) -> Input {
    let partitions = vec![touched(index)];
    let transactional_id = ID.to_owned();
    let client = Client { id: "enlister".into(), host: "/127.0.0.1".into() };
    Input::Enlist(Enlist {
        transactional_id,
        producer_id,
        producer_epoch,
        partitions,
        verify_only,
        client_version,
        client,
    })
}

fn end((producer_id, producer_epoch): (i64, i16), commit: bool, client_version: i16, fresh: Option<i64>) -> Input {
    let transactional_id = ID.to_owned();
    Input::End(End { transactional_id, producer_id, producer_epoch, commit, client_version, fresh })
}

fn producer(reply: Reply) -> (i64, i16) {
    match reply {
        Reply::Producer(id, epoch) => (id, epoch),
        other => panic!("{other:?}"),
    }
}

fn enlisted(reply: Reply) -> Option<ErrorCode> {
    match reply {
        Reply::Enlisted(answers) => answers.into_iter().next().unwrap().map(|error| error.code),
        other => panic!("{other:?}"),
    }
}

fn refusal(reply: Reply) -> ErrorCode {
    match reply {
        Reply::Refused(error) => error.code,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_producer_asks_for_an_id_once_and_then_for_epochs() {
    let mut fixture = Fixture::new();
    let without = fixture.begin(None, None);
    assert!(matches!(fixture.ask(without), Reply::NeedsProducerId));
    assert_eq!(fixture.init(), (500, 0));
    let next = fixture.begin(None, None);
    assert_eq!(producer(fixture.ask(next)), (500, 1));
    // KIP-360: who says what it holds goes on from there, may ask again, and is fenced by another.
    let bump = fixture.begin(Some((500, 1)), None);
    assert_eq!(producer(fixture.ask(bump)), (500, 2));
    let again = fixture.begin(Some((500, 1)), None);
    assert_eq!(producer(fixture.ask(again)), (500, 2));
    let stale = fixture.begin(Some((500, 0)), None);
    assert_eq!(refusal(fixture.ask(stale)), ErrorCode::ProducerFenced);
}

#[test]
fn timeouts_are_bounded() {
    let mut fixture = Fixture::new();
    for timeout_ms in [0, -1, 60_001] {
        let input = Input::Begin(Begin {
            transactional_id: ID.to_owned(),
            timeout_ms,
            expected: None,
            fresh: Some(1),
            client: Client::default(),
        });
        assert_eq!(refusal(fixture.ask(input)), ErrorCode::InvalidTransactionTimeout);
    }
}

#[test]
fn version_1_commits_and_aborts_in_one_epoch() {
    let mut fixture = Fixture::new();
    let owner = fixture.init();
    assert_eq!(fixture.verify(owner, 0), Some(ErrorCode::TransactionAbortable));
    assert_eq!(fixture.add(owner, 0, 0), None);
    assert_eq!(fixture.add(owner, 1, 0), None);
    assert_eq!((fixture.verify(owner, 1), fixture.verify(owner, 2)), (None, Some(ErrorCode::TransactionAbortable)));
    assert_eq!(producer(fixture.ask(end(owner, true, 0, None))), owner);
    assert_eq!(fixture.status(), Status::PrepareCommit);
    let written = fixture.write_markers();
    assert_eq!((written.len(), written[0].producer_epoch, written[0].is_commit), (1, 0, true));
    assert_eq!(written[0].partitions, [touched(0), touched(1)]);
    assert_eq!(fixture.status(), Status::CompleteCommit);
    // A repeated end is answered as the first one, its opposite is refused.
    assert_eq!(producer(fixture.ask(end(owner, true, 0, None))), owner);
    assert_eq!(refusal(fixture.ask(end(owner, false, 0, None))), ErrorCode::InvalidTxnState);
    assert_eq!(fixture.add(owner, 0, 0), None);
    assert_eq!(producer(fixture.ask(end(owner, false, 0, None))), owner);
    assert!(!fixture.write_markers()[0].is_commit);
    assert_eq!(fixture.status(), Status::CompleteAbort);
}

#[test]
fn version_2_takes_each_end_to_the_next_epoch() {
    let mut fixture = Fixture::new();
    let owner = fixture.init();
    assert_eq!(fixture.add(owner, 0, 2), None);
    let next = producer(fixture.ask(end(owner, true, 2, None)));
    assert_eq!(next, (500, 1));
    let written = fixture.write_markers();
    assert_eq!((written[0].producer_epoch, written[0].transaction_version), (1, 2));
    // The answer was lost: the same request comes again and decides nothing else (KAFKA-17754).
    assert_eq!(producer(fixture.ask(end(owner, true, 2, None))), next);
    assert_eq!(fixture.add(next, 0, 2), None);
    assert_eq!(refusal(fixture.ask(end(owner, true, 2, None))), ErrorCode::ProducerFenced);
    assert_eq!(fixture.status(), Status::Ongoing);
    assert_eq!(producer(fixture.ask(end(next, false, 2, None))), (500, 2));
    fixture.write_markers();
    // Nothing to commit; aborting nothing bumps all the same.
    assert_eq!(refusal(fixture.ask(end((500, 2), true, 2, None))), ErrorCode::InvalidTxnState);
    assert_eq!(producer(fixture.ask(end((500, 2), false, 2, None))), (500, 3));
    assert_eq!(fixture.status(), Status::CompleteAbort);
}

#[test]
fn used_up_epochs_lead_to_another_producer_id() {
    let mut fixture = Fixture::new();
    fixture.init();
    fixture.wear_out();
    let owner = (500, i16::MAX - 1);
    assert_eq!(fixture.add(owner, 0, 2), None);
    assert!(matches!(fixture.ask(end(owner, true, 2, None)), Reply::NeedsProducerId));
    assert_eq!(producer(fixture.ask(end(owner, true, 2, Some(501)))), (501, 0));
    // What it was told to go on with is known from then on, and waits for the markers like any other.
    let early = fixture.begin(Some((501, 0)), None);
    let early = [enlist((501, 0), 0, false, 2), end((501, 0), false, 2, None), early].map(|input| fixture.start(input));
    assert_eq!(fixture.add((502, 0), 0, 2), Some(ErrorCode::InvalidProducerIdMapping));
    let written = fixture.write_markers();
    assert_eq!((written[0].producer_id, written[0].producer_epoch), (500, i16::MAX));
    assert_eq!(enlisted(fixture.reply(early[0]).unwrap()), None);
    assert_eq!(producer(fixture.reply(early[1]).unwrap()), (501, 1));
    fixture.write_markers();
    assert_eq!(producer(fixture.reply(early[2]).unwrap()), (501, 1), "asked with the epoch before");
    let known = fixture.machine.get(ID).unwrap();
    assert_eq!((known.previous_producer_id, known.next_producer_id), (500, -1));
}

#[test]
fn a_rotation_gives_the_new_id_again_to_who_asked_for_it_and_to_nobody_else() {
    let held = (500, i16::MAX - 1);
    for (expected, again) in [(None, Err(ErrorCode::ProducerFenced)), (Some(held), Ok((501, 0)))] {
        let mut fixture = Fixture::new();
        fixture.init();
        fixture.wear_out();
        let rotating = fixture.begin(expected, Some(501));
        assert_eq!(producer(fixture.ask(rotating)), (501, 0));
        let repeated = fixture.begin(Some(held), None);
        let answer = match fixture.ask(repeated) {
            Reply::Producer(id, epoch) => Ok((id, epoch)),
            other => Err(refusal(other)),
        };
        assert_eq!(answer, again);
        // Whoever opens a transaction has had the answer.
        assert_eq!(fixture.add((501, 0), 0, 0), None);
        let zombie = fixture.begin(Some(held), None);
        assert_eq!(refusal(fixture.ask(zombie)), ErrorCode::ProducerFenced);
        assert_eq!(fixture.status(), Status::Ongoing);
    }
}

#[test]
fn a_new_instance_aborts_what_the_old_one_left_and_fences_it() {
    let mut fixture = Fixture::new();
    let old = fixture.init();
    assert_eq!(fixture.add(old, 0, 0), None);
    let input = fixture.begin(None, None);
    let waiting = fixture.start(input);
    assert!(fixture.reply(waiting).is_none(), "the old transaction is aborted first");
    assert_eq!(fixture.status(), Status::PrepareAbort);
    let written = fixture.write_markers();
    assert_eq!((written[0].producer_epoch, written[0].is_commit), (1, false));
    assert_eq!(producer(fixture.reply(waiting).unwrap()), (500, 2));
    assert_eq!(refusal(fixture.ask(end(old, true, 0, None))), ErrorCode::ProducerFenced);
    assert_eq!(fixture.add(old, 0, 0), Some(ErrorCode::ProducerFenced));
    // A fenced instance that asks for the next epoch harms nobody.
    assert_eq!(fixture.add((500, 2), 0, 0), None);
    let zombie = fixture.begin(Some(old), None);
    assert_eq!(refusal(fixture.ask(zombie)), ErrorCode::ProducerFenced);
    assert_eq!(fixture.status(), Status::Ongoing);
}

#[test]
fn requests_wait_for_markers_and_give_up_in_time() {
    let mut fixture = Fixture::new();
    let owner = fixture.init();
    fixture.add(owner, 0, 0);
    fixture.ask(end(owner, true, 0, None));
    let early = fixture.start(enlist(owner, 1, false, 0));
    let repeated = fixture.start(end(owner, true, 0, None));
    fixture.pass(Duration::from_secs(6));
    assert_eq!(enlisted(fixture.reply(early).unwrap()), Some(ErrorCode::ConcurrentTransactions));
    assert_eq!(refusal(fixture.reply(repeated).unwrap()), ErrorCode::ConcurrentTransactions);
    let patient = fixture.start(enlist(owner, 1, false, 0));
    fixture.write_markers();
    assert_eq!(enlisted(fixture.reply(patient).unwrap()), None);
    assert_eq!(fixture.status(), Status::Ongoing);
}

#[test]
fn a_decision_outlives_a_crash_and_its_absence_too() {
    let mut fixture = Fixture::new();
    let owner = fixture.init();
    fixture.add(owner, 0, 2);
    fixture.crash();
    assert_eq!(fixture.status(), Status::Ongoing);
    let next = producer(fixture.ask(end(owner, true, 2, None)));
    // Taken by a writer that the crash ends before it has written any.
    let taker = fixture.start(Input::TakeMarkers);
    assert!(matches!(fixture.reply(taker), Some(Reply::Markers(_))));
    fixture.crash();
    let written = fixture.write_markers();
    assert_eq!((written.len(), written[0].is_commit, written[0].producer_epoch), (1, true, next.1));
    assert_eq!(fixture.status(), Status::CompleteCommit);
    fixture.crash();
    let idle = fixture.start(Input::TakeMarkers);
    assert!(fixture.reply(idle).is_none(), "nothing is left to write");
}

#[test]
fn whoever_waits_for_markers_is_given_them_with_the_decision() {
    let mut fixture = Fixture::new();
    let owner = fixture.init();
    fixture.add(owner, 3, 0);
    let taker = fixture.start(Input::TakeMarkers);
    assert!(fixture.reply(taker).is_none());
    fixture.ask(end(owner, false, 0, None));
    let Some(Reply::Markers(taken)) = fixture.reply(taker) else { panic!("markers") };
    assert_eq!(taken[0].partitions, [touched(3)]);
    // Markers of another transaction change nothing.
    let other = Markers { producer_epoch: 7, ..taken[0].clone() };
    assert!(matches!(fixture.ask(Input::MarkersWritten(other)), Reply::Noted));
    assert_eq!(fixture.status(), Status::PrepareAbort);
}

#[test]
fn transactions_that_take_too_long_are_aborted_also_after_a_crash() {
    for crash in [false, true] {
        let mut fixture = Fixture::new();
        let owner = fixture.init();
        fixture.add(owner, 0, 2);
        fixture.pass(Duration::from_millis(TIMEOUT_MS as u64 - 1));
        if crash {
            fixture.crash();
        }
        assert_eq!(fixture.status(), Status::Ongoing);
        fixture.pass(Duration::from_millis(1));
        assert_eq!(fixture.status(), Status::PrepareAbort);
        assert_eq!(fixture.write_markers()[0].producer_epoch, 1);
        assert_eq!(refusal(fixture.ask(end(owner, true, 2, None))), ErrorCode::ProducerFenced);
        assert_eq!(fixture.add(owner, 0, 2), Some(ErrorCode::ProducerFenced));
    }
}

#[test]
fn a_transaction_whose_record_the_log_would_not_take_is_refused() {
    let mut fixture = Fixture::new();
    let (producer_id, producer_epoch) = fixture.init();
    let name = |number: i32| format!("{number:0>249}");
    let partitions = |numbers: std::ops::Range<i32>| numbers.map(|number| (name(number).into(), 0)).collect();
    let mut enlist = |partitions| {
        let transactional_id = ID.to_owned();
        let enlist = Enlist {
            transactional_id,
            producer_id,
            producer_epoch,
            partitions,
            verify_only: false,
            client_version: 2,
            client: Client::default(),
        };
        enlisted(fixture.ask(Input::Enlist(enlist)))
    };
    assert_eq!(enlist(partitions(0..16_000)), None);
    assert_eq!(enlist(partitions(16_000..17_000)), Some(ErrorCode::InvalidRequest));
    assert_eq!(enlist(partitions(0..10)), None, "it goes on with what it has");
}

#[test]
fn large_transactions_that_are_overdue_at_once_are_aborted_one_decision_after_another() {
    let mut fixture = Fixture::new();
    let partitions: Vec<Touched> = (0..12_000).map(|number| (format!("{number:0>249}").into(), 0)).collect();
    let ids: Vec<String> = (0..3).map(|number| format!("large-{number}")).collect();
    for id in &ids {
        let begin = Begin {
            transactional_id: id.clone(),
            timeout_ms: TIMEOUT_MS,
            expected: None,
            fresh: Some(500),
            client: Client::default(),
        };
        let (producer_id, producer_epoch) = producer(fixture.ask(Input::Begin(begin)));
        let (transactional_id, partitions) = (id.clone(), partitions.clone());
        let enlist = Enlist {
            transactional_id,
            producer_id,
            producer_epoch,
            partitions,
            verify_only: false,
            client_version: 2,
            client: Client::default(),
        };
        assert_eq!(enlisted(fixture.ask(Input::Enlist(enlist))), None);
    }
    fixture.pass(Duration::from_millis(TIMEOUT_MS as u64));
    for id in &ids {
        assert_eq!(fixture.machine.get(id).unwrap().status, Status::PrepareAbort);
    }
}

#[test]
fn one_transactional_id_has_one_timeout_however_many_transactions_it_sees() {
    let mut fixture = Fixture::new();
    let mut owner = fixture.init();
    for _ in 0..1000 {
        assert_eq!(fixture.add(owner, 0, 2), None);
        owner = producer(fixture.ask(end(owner, true, 2, None)));
        fixture.write_markers();
        fixture.wall_ms += 1;
    }
    assert_eq!(fixture.machine.timeouts.len(), 1);
    // It is the last one's.
    assert_eq!(fixture.add(owner, 0, 2), None);
    fixture.pass(Duration::from_millis(TIMEOUT_MS as u64 - 1));
    assert_eq!(fixture.status(), Status::Ongoing);
    fixture.pass(Duration::from_millis(1));
    assert_eq!(fixture.status(), Status::PrepareAbort);
    assert!(fixture.machine.timeouts.is_empty());
}

#[test]
fn an_administrator_aborts_the_transaction_that_was_looked_at_and_no_other() {
    let mut fixture = Fixture::new();
    let owner = fixture.init();
    let abort = |producer_epoch| Input::Abort { transactional_id: ID.to_owned(), producer_id: 500, producer_epoch };
    assert_eq!(refusal(fixture.ask(abort(0))), ErrorCode::InvalidTxnState);
    fixture.add(owner, 0, 0);
    assert_eq!(refusal(fixture.ask(abort(1))), ErrorCode::InvalidTxnState);
    assert!(matches!(fixture.ask(abort(0)), Reply::Aborting));
    assert_eq!(fixture.status(), Status::PrepareAbort);
}

#[test]
fn ids_that_nobody_uses_are_forgotten() {
    let mut fixture = Fixture::new();
    let owner = fixture.init();
    fixture.pass(Duration::from_millis(99_999));
    assert!(fixture.machine.get(ID).is_some());
    fixture.add(owner, 0, 0);
    fixture.ask(end(owner, true, 0, None));
    fixture.pass(Duration::from_secs(200));
    assert!(fixture.machine.get(ID).is_some(), "its markers are not written");
    fixture.write_markers();
    fixture.pass(Duration::from_secs(106));
    assert!(fixture.machine.get(ID).is_none());
    fixture.crash();
    assert!(fixture.machine.get(ID).is_none());
}

#[test]
fn lists_are_filtered() {
    let mut fixture = Fixture::new();
    let owner = fixture.init();
    let mut list = |filter: Filter| match fixture.ask(Input::List(filter)) {
        Reply::Listed(listed) => listed.len(),
        other => panic!("{other:?}"),
    };
    let any = Filter { longer_than_ms: -1, ..Filter::default() };
    assert_eq!(list(any.clone()), 1);
    assert_eq!(list(Filter { producer_ids: vec![owner.0], ..any.clone() }), 1);
    assert_eq!(list(Filter { producer_ids: vec![9], ..any.clone() }), 0);
    assert_eq!(list(Filter { statuses: vec![Status::Ongoing], ..any.clone() }), 0);
    assert_eq!(list(Filter { no_status: true, ..any.clone() }), 0);
    assert_eq!(list(Filter { longer_than_ms: 0, ..any }), 0);
    fixture.add(owner, 0, 0);
    fixture.pass(Duration::from_millis(50));
    let running = Filter { longer_than_ms: 49, statuses: vec![Status::Ongoing], ..Filter::default() };
    assert!(matches!(fixture.ask(Input::List(running.clone())), Reply::Listed(listed) if listed.len() == 1));
    let longer = Filter { longer_than_ms: 50, ..running };
    assert!(matches!(fixture.ask(Input::List(longer)), Reply::Listed(listed) if listed.is_empty()));
}

#[test]
fn records_are_kafkas() {
    let mut transaction = Transaction::new(7, 60_000, 1_234);
    let empty = record("a", &transaction);
    assert_eq!(empty.key, [0, 0, 0, 1, b'a']);
    let mut expected = vec![0, 1];
    expected.extend_from_slice(&7_i64.to_be_bytes());
    expected.extend_from_slice(&0_i16.to_be_bytes());
    expected.extend_from_slice(&60_000_i32.to_be_bytes());
    expected.extend_from_slice(&[0, 0]); // Empty, and no partitions at all
    expected.extend_from_slice(&1_234_i64.to_be_bytes());
    expected.extend_from_slice(&(-1_i64).to_be_bytes());
    expected.push(0);
    assert_eq!(empty.value.as_deref(), Some(&expected[..]));
    transaction.status = Status::PrepareAbort;
    transaction.partitions = [touched(0), touched(5), ("other".into(), 2)].into_iter().collect();
    (transaction.previous_producer_id, transaction.next_producer_id, transaction.client_version) = (3, 9, 2);
    let full = record("a", &transaction);
    assert_eq!(decode_key(&full.key), Ok("a"));
    assert_eq!(decode_value(full.value.as_deref().unwrap()), Ok(transaction));
    assert!(decode_key(&[0, 1, 0, 0]).is_err());
    assert!(decode_value(&[0, 2]).is_err());
}

#[test]
fn version_0_of_a_record_is_read() {
    let mut bytes = vec![0, 0];
    bytes.extend_from_slice(&7_i64.to_be_bytes());
    bytes.extend_from_slice(&2_i16.to_be_bytes());
    bytes.extend_from_slice(&60_000_i32.to_be_bytes());
    bytes.push(1);
    bytes.extend_from_slice(&1_i32.to_be_bytes());
    bytes.extend_from_slice(&[0, 5]);
    bytes.extend_from_slice(b"topic");
    bytes.extend_from_slice(&1_i32.to_be_bytes());
    bytes.extend_from_slice(&4_i32.to_be_bytes());
    bytes.extend_from_slice(&10_i64.to_be_bytes());
    bytes.extend_from_slice(&9_i64.to_be_bytes());
    let transaction = decode_value(&bytes).unwrap();
    assert_eq!((transaction.status, transaction.producer_epoch, transaction.started_ms), (Status::Ongoing, 2, 9));
    assert_eq!(transaction.partitions.into_iter().collect::<Vec<_>>(), [touched(4)]);
}

#[test]
fn an_id_too_many_is_refused_and_those_that_are_known_go_on() {
    let mut fixture = Fixture::new();
    let begin = |id: &str| {
        Input::Begin(Begin {
            transactional_id: id.to_owned(),
            timeout_ms: TIMEOUT_MS,
            expected: None,
            fresh: Some(7),
            client: Client { id: "app".into(), host: "/10.0.0.1".into() },
        })
    };
    for id in ["a", "b", "c"] {
        assert_eq!(producer(fixture.ask(begin(id))), (7, 0));
    }
    assert_eq!(refusal(fixture.ask(begin("d"))), ErrorCode::PolicyViolation);
    assert_eq!(producer(fixture.ask(begin("b"))), (7, 1));
}

#[test]
fn who_uses_an_id_is_known_from_its_first_request_on() {
    let mut fixture = Fixture::new();
    let client = Client { id: "app".into(), host: "/10.0.0.1".into() };
    let first = Begin {
        transactional_id: ID.to_owned(),
        timeout_ms: TIMEOUT_MS,
        expected: None,
        fresh: Some(7),
        client: client.clone(),
    };
    let owner = producer(fixture.ask(Input::Begin(first)));
    let told = |fixture: &mut Fixture| match fixture.ask(Input::Describe(vec![ID.to_owned()])) {
        Reply::Described(mut described) => described.remove(0).unwrap().client,
        other => panic!("{other:?}"),
    };
    assert_eq!(told(&mut fixture), client);
    fixture.crash();
    assert_eq!(told(&mut fixture), Client::default(), "it is not in the log");
    assert_eq!(fixture.add(owner, 1, 2), None);
    assert_eq!(&*told(&mut fixture).id, "enlister");
}
