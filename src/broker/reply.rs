//! Replies on their way out: one ring a connection keeps them in the order of their requests.
//!
//! A slot is reserved when a request is read and filled when its reply is ready, in any order. The writer takes every
//! leading filled slot at once, so that replies which became ready together leave in one send.
//!
//! A request is either worked on by a task of its own, which fills the slot, or there is nothing left to do for it but to
//! wait: then the slot holds what it waits for ([`ReplyRing::follow`]), and the writer looks when the slot's turn has
//! come. So a small produce request costs neither a task nor a wake of its own.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use smallvec::SmallVec;

use crate::shard::Piece;

/// Requests of one connection that may wait for their replies to leave. Kafka handles one at a time; clients keep 5
/// (Java) to a few dozen in flight, and what exceeds this stays in the socket.
pub const REQUESTS_IN_FLIGHT_MAX: usize = 64;
/// Bytes of ready replies that one connection may hold before its next request is left unread.
pub const UNSENT_BYTES_MAX: u64 = 4 << 20;

/// A part of a reply.
#[derive(Debug)]
pub enum Part {
    /// Encoded bytes.
    Bytes(Vec<u8>),
    /// Record batches, wherever they are.
    Piece(Piece),
}

/// A complete reply frame, size prefix included.
#[derive(Debug, Default)]
pub struct Reply {
    /// The parts, in order.
    pub parts: SmallVec<[Part; 1]>,
    bytes: u64,
}

impl Reply {
    /// A reply of encoded bytes alone.
    pub fn encoded(bytes: Vec<u8>) -> Reply {
        let mut reply = Reply::default();
        reply.push(Part::Bytes(bytes));
        reply
    }

    /// Appends a part.
    pub fn push(&mut self, part: Part) {
        self.bytes += match &part {
            Part::Bytes(bytes) => bytes.len() as u64,
            Part::Piece(piece) => u64::from(piece.bytes()),
        };
        self.parts.push(part);
    }

    /// Size of the frame in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// What a handler came to.
#[derive(Debug)]
pub enum Outcome {
    /// A reply to send.
    Reply(Reply),
    /// Nothing to send (produce with `acks=0`).
    Nothing,
    /// The connection is to be closed once earlier replies have left; the sentence says why.
    Close(String),
}

/// Names a slot of one ring; rises by one a request.
pub type SlotId = u64;

/// The outcome of a request for which nothing is left to do but to wait.
pub type Following = Pin<Box<dyn Future<Output = Outcome>>>;

enum Slot {
    /// Somebody works on it.
    Waiting { request_bytes: u64, handler: Option<Waker> },
    /// Nobody does; `None` while it is being looked at.
    Following { request_bytes: u64, reply: Option<Following> },
    /// Ready.
    Filled(Outcome),
}

/// The reply ring of one connection.
pub struct ReplyRing {
    state: RefCell<State>,
    /// Bytes of requests in flight beyond which the next request is left unread; a single one may be larger.
    request_bytes_max: u64,
}

#[derive(Default)]
struct State {
    slots: VecDeque<Slot>,
    /// The id of the front slot.
    first: SlotId,
    /// Bytes of filled slots and of replies taken but not yet sent.
    unsent_bytes: u64,
    request_bytes: u64,
    writer: Option<Waker>,
    reader: Option<Waker>,
    closed: bool,
    /// No further request will come; the writer ends once all slots have left.
    draining: bool,
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

impl State {
    fn has_room(&self, next_bytes: u64, request_bytes_max: u64) -> bool {
        self.slots.len() < REQUESTS_IN_FLIGHT_MAX
            && self.unsent_bytes < UNSENT_BYTES_MAX
            && (self.request_bytes == 0 || self.request_bytes.saturating_add(next_bytes) <= request_bytes_max)
    }

    fn slot(&mut self, id: SlotId) -> Option<&mut Slot> {
        let at = id.checked_sub(self.first)?;
        self.slots.get_mut(usize::try_from(at).ok()?)
    }

    fn is_ready(&self) -> bool {
        matches!(self.slots.front(), Some(Slot::Filled(_)))
    }

    /// Fills the slot; false when it is gone, because the ring was closed.
    fn fill(&mut self, id: SlotId, outcome: Outcome) -> bool {
        let bytes = if let Outcome::Reply(reply) = &outcome { reply.bytes() } else { 0 };
        let Some(slot) = self.slot(id) else { return false };
        let request_bytes = match *slot {
            Slot::Waiting { request_bytes, .. } | Slot::Following { request_bytes, .. } => request_bytes,
            Slot::Filled(_) => unreachable!("a slot is filled once"),
        };
        *slot = Slot::Filled(outcome);
        self.unsent_bytes += bytes;
        self.request_bytes -= request_bytes;
        true
    }
}

impl ReplyRing {
    /// An empty ring that takes on requests of `request_bytes_max` together, or one.
    pub fn new(request_bytes_max: u64) -> ReplyRing {
        ReplyRing { state: RefCell::default(), request_bytes_max }
    }

    /// Whether a request of `request_bytes` may be taken on now.
    pub fn has_room(&self, request_bytes: u64) -> bool {
        let state = self.state.borrow();
        state.closed || state.has_room(request_bytes, self.request_bytes_max)
    }

    /// Resolves when a request of `request_bytes` may be taken on, or the ring is closed. One task waits.
    pub async fn room(&self, request_bytes: u64) {
        std::future::poll_fn(|context: &mut Context<'_>| {
            if self.has_room(request_bytes) {
                return Poll::Ready(());
            }
            self.state.borrow_mut().reader = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Reserves the next slot for a request of `request_bytes`.
    pub fn reserve(&self, request_bytes: u64) -> SlotId {
        let mut state = self.state.borrow_mut();
        state.slots.push_back(Slot::Waiting { request_bytes, handler: None });
        state.request_bytes += request_bytes;
        state.first + state.slots.len() as u64 - 1
    }

    /// Fills a slot; without effect once the ring is closed.
    pub fn fill(&self, id: SlotId, outcome: Outcome) {
        let (writer, reader) = {
            let mut state = self.state.borrow_mut();
            if !state.fill(id, outcome) {
                return;
            }
            let writer = if state.is_ready() { state.writer.take() } else { None };
            (writer, if state.has_room(0, self.request_bytes_max) { state.reader.take() } else { None })
        };
        wake(writer);
        wake(reader);
    }

    /// Fills a slot with what `reply` resolves to, once everything before it has left. Until then nobody polls `reply`,
    /// so it must not need that to make progress. Without effect once the ring is closed.
    pub fn follow(&self, id: SlotId, reply: Following) {
        let writer = {
            let mut state = self.state.borrow_mut();
            let is_front = id == state.first;
            let Some(slot) = state.slot(id) else { return };
            let Slot::Waiting { request_bytes, .. } = *slot else { unreachable!("a slot is filled once") };
            *slot = Slot::Following { request_bytes, reply: Some(reply) };
            // Where the writer sleeps because there was nothing before this, `reply` is to wake it.
            if is_front { state.writer.clone() } else { None }
        };
        if let Some(writer) = writer
            && self.look(id, &mut Context::from_waker(&writer))
        {
            writer.wake();
        }
    }

    /// Looks whether the slot is filled, or can be.
    fn look(&self, id: SlotId, context: &mut Context<'_>) -> bool {
        let taken = match self.state.borrow_mut().slot(id) {
            Some(Slot::Filled(_)) => return true,
            Some(Slot::Following { reply, .. }) => reply.take(),
            Some(Slot::Waiting { .. }) | None => None,
        };
        let Some(mut reply) = taken else { return false };
        // Nothing is borrowed meanwhile: whatever it does, it may do it to this ring.
        let polled = reply.as_mut().poll(context);
        let mut state = self.state.borrow_mut();
        match polled {
            Poll::Ready(outcome) => state.fill(id, outcome),
            Poll::Pending => {
                if let Some(Slot::Following { reply: kept, .. }) = state.slot(id) {
                    *kept = Some(reply);
                }
                false
            }
        }
    }

    /// Leaves the handler's waker with its slot, so that closing reaches it. False when the ring is closed.
    pub fn park(&self, id: SlotId, waker: &Waker) -> bool {
        let mut state = self.state.borrow_mut();
        if state.closed {
            return false;
        }
        if let Some(Slot::Waiting { handler, .. }) = state.slot(id)
            && handler.is_none()
        {
            *handler = Some(waker.clone());
        }
        true
    }

    /// Resolves when the front slot is filled, and those behind it as far as they can be; false when the ring is closed or
    /// drained. One task waits.
    pub async fn ready(&self) -> bool {
        std::future::poll_fn(|context: &mut Context<'_>| {
            let mut next = self.state.borrow().first;
            while self.look(next, context) {
                next += 1;
            }
            let mut state = self.state.borrow_mut();
            if state.closed || (state.draining && state.slots.is_empty()) {
                return Poll::Ready(false);
            }
            if state.is_ready() {
                return Poll::Ready(true);
            }
            state.writer = Some(context.waker().clone());
            Poll::Pending
        })
        .await
    }

    /// Whether a task works on the reply that comes after those that are ready: it may be done within this turn.
    pub fn may_grow(&self) -> bool {
        let state = self.state.borrow();
        let next = state.slots.iter().find(|slot| !matches!(slot, Slot::Filled(_)));
        matches!(next, Some(Slot::Waiting { .. }))
    }

    /// Takes all leading filled slots, up to `bytes_max` of replies (one at least), and hands them to `each` until that
    /// says `false`.
    pub fn take(&self, bytes_max: u64, mut each: impl FnMut(Outcome) -> bool) {
        let mut bytes = 0;
        while bytes < bytes_max {
            let outcome = {
                let mut state = self.state.borrow_mut();
                if !state.is_ready() {
                    break;
                }
                let Some(Slot::Filled(outcome)) = state.slots.pop_front() else { unreachable!("ready") };
                state.first += 1;
                outcome
            };
            if let Outcome::Reply(reply) = &outcome {
                bytes += reply.bytes();
            }
            if !each(outcome) {
                break;
            }
        }
        let reader = {
            let mut state = self.state.borrow_mut();
            if state.has_room(0, self.request_bytes_max) { state.reader.take() } else { None }
        };
        wake(reader);
    }

    /// Says that `bytes` of taken replies have left.
    pub fn sent(&self, bytes: u64) {
        let reader = {
            let mut state = self.state.borrow_mut();
            state.unsent_bytes -= bytes;
            if state.has_room(0, self.request_bytes_max) { state.reader.take() } else { None }
        };
        wake(reader);
    }

    /// Ends it: what waits is given up, and its handlers are woken to notice.
    pub fn close(&self) {
        let (slots, writer, reader) = {
            let mut state = self.state.borrow_mut();
            state.closed = true;
            (std::mem::take(&mut state.slots), state.writer.take(), state.reader.take())
        };
        wake(writer);
        wake(reader);
        for slot in slots {
            if let Slot::Waiting { handler, .. } = slot {
                wake(handler);
            }
        }
    }

    /// Says that no further request comes: the writer ends when the last reply has left.
    pub fn drain(&self) {
        let writer = {
            let mut state = self.state.borrow_mut();
            state.draining = true;
            state.writer.take()
        };
        wake(writer);
    }

    /// Resolves when the ring is closed. Only the task that waits for room may wait for this.
    pub async fn closed(&self) {
        std::future::poll_fn(|context: &mut Context<'_>| {
            let mut state = self.state.borrow_mut();
            if state.closed {
                return Poll::Ready(());
            }
            state.reader = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Whether [`ReplyRing::close`] was called.
    pub fn is_closed(&self) -> bool {
        self.state.borrow().closed
    }

    /// Requests whose replies were not taken yet.
    pub fn in_flight(&self) -> usize {
        self.state.borrow().slots.len()
    }

    /// Whether nothing waits and nothing is on its way out.
    pub fn is_idle(&self) -> bool {
        let state = self.state.borrow();
        state.slots.is_empty() && state.unsent_bytes == 0
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::base::oneshot;

    fn reply(text: &str) -> Outcome {
        Outcome::Reply(Reply::encoded(text.as_bytes().to_vec()))
    }

    fn take(ring: &ReplyRing, bytes_max: u64) -> Vec<String> {
        let mut outcomes = Vec::new();
        ring.take(bytes_max, |outcome| {
            outcomes.push(outcome);
            true
        });
        let text = |outcome| match outcome {
            Outcome::Reply(reply) => match &reply.parts[0] {
                Part::Bytes(bytes) => String::from_utf8(bytes.clone()).unwrap(),
                Part::Piece(_) => panic!("no pieces here"),
            },
            Outcome::Nothing => "-".to_owned(),
            Outcome::Close(reason) => reason,
        };
        outcomes.into_iter().map(text).collect()
    }

    #[test]
    fn replies_leave_in_the_order_of_requests() {
        let ring = ReplyRing::new(1 << 20);
        let (first, second, third) = (ring.reserve(10), ring.reserve(10), ring.reserve(10));
        ring.fill(second, Outcome::Nothing);
        assert!(take(&ring, 100).is_empty(), "the first is not there yet");
        ring.fill(first, reply("one"));
        assert_eq!(take(&ring, 100), ["one", "-"]);
        ring.fill(third, reply("three"));
        assert_eq!(take(&ring, 100), ["three"]);
        ring.sent(8);
        assert!(ring.is_idle());
    }

    #[test]
    fn room_is_bounded_by_slots_by_request_bytes_and_by_unsent_bytes() {
        let ring = ReplyRing::new(1 << 20);
        assert!(ring.has_room(u64::MAX), "one request may have any size");
        let big = ring.reserve(1 << 20);
        assert!(!ring.has_room(1));
        ring.fill(big, reply("x"));
        assert!(ring.has_room(1));
        for _ in 1..REQUESTS_IN_FLIGHT_MAX {
            ring.reserve(1);
        }
        assert!(!ring.has_room(0));
        assert_eq!(take(&ring, 1).len(), 1);
        assert!(ring.has_room(0));
        let ring = ReplyRing::new(1 << 20);
        let slot = ring.reserve(1);
        ring.fill(slot, Outcome::Reply(Reply::encoded(vec![0; UNSENT_BYTES_MAX as usize])));
        assert_eq!(take(&ring, 1).len(), 1);
        assert!(!ring.has_room(0), "taken is not sent");
        ring.sent(UNSENT_BYTES_MAX);
        assert!(ring.has_room(0));
    }

    #[test]
    fn closing_gives_up_what_waits() {
        let ring = ReplyRing::new(1 << 20);
        let slot = ring.reserve(1);
        ring.close();
        assert!(!ring.park(slot, Waker::noop()));
        ring.fill(slot, reply("late"));
        assert!(take(&ring, 100).is_empty());
    }

    /// Polls whether the ring's writer has something to send.
    fn ready(ring: &ReplyRing) -> bool {
        std::pin::pin!(ring.ready()).poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    fn following() -> (oneshot::Sender<&'static str>, Following) {
        let (sender, receiver) = oneshot::channel();
        (sender, Box::pin(async move { reply(receiver.await.expect("something to say")) }))
    }

    #[test]
    fn what_is_followed_is_looked_at_when_its_turn_has_come() {
        let ring = ReplyRing::new(1 << 20);
        let (first, second, third) = (ring.reserve(10), ring.reserve(10), ring.reserve(10));
        let ((say_second, to_second), (say_third, to_third)) = (following(), following());
        ring.follow(second, to_second);
        ring.follow(third, to_third);
        say_third.send("three");
        assert!(!ready(&ring) && ring.may_grow());
        ring.fill(first, reply("one"));
        assert!(ready(&ring) && !ring.may_grow());
        assert_eq!(take(&ring, 100), ["one"]);
        assert!(!ready(&ring));
        say_second.send("two");
        assert!(ready(&ring));
        assert_eq!(take(&ring, 100), ["two", "three"]);
    }

    #[test]
    fn a_sleeping_writer_is_woken_by_what_is_followed() {
        let ring = ReplyRing::new(1 << 20);
        let (woken, waker) = counted_waker();
        assert!(std::pin::pin!(ring.ready()).poll(&mut Context::from_waker(&waker)).is_pending());
        let (say, to) = following();
        ring.follow(ring.reserve(10), to);
        assert_eq!(woken.load(Ordering::Relaxed), 0);
        say.send("one");
        assert_eq!(woken.load(Ordering::Relaxed), 1);
        assert!(ready(&ring));
        assert_eq!(take(&ring, 100), ["one"]);
        // What is ready at once wakes it at once.
        assert!(std::pin::pin!(ring.ready()).poll(&mut Context::from_waker(&waker)).is_pending());
        ring.follow(ring.reserve(10), Box::pin(std::future::ready(Outcome::Nothing)));
        assert_eq!(woken.load(Ordering::Relaxed), 2);
        assert_eq!(take(&ring, 100), ["-"]);
    }

    #[test]
    fn closing_drops_what_is_followed() {
        let ring = ReplyRing::new(1 << 20);
        let (say, to) = following();
        let slot = ring.reserve(1);
        ring.follow(slot, to);
        ring.close();
        assert!(say.is_abandoned());
    }

    /// A waker that counts how often it is used.
    fn counted_waker() -> (Arc<AtomicUsize>, Waker) {
        struct Count(Arc<AtomicUsize>);
        impl std::task::Wake for Count {
            fn wake(self: Arc<Self>) {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }
        let count = Arc::new(AtomicUsize::new(0));
        (Arc::clone(&count), Arc::new(Count(count)).into())
    }
}
