//! The turn of a reactor, and the handle through which everything above reaches it.
//!
//! One turn: deliver completions, fire timers, look into the mesh, run ready tasks, run the tasks that asked for the
//! turn's end (the journal submits its group there, so that one write carries what all tasks of the turn appended),
//! then one [`Backend::turn`]. A reactor with nothing to do sleeps in that call.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use slab::Slab;

use super::backend::{Backend, Wait};
use super::clock::Clocks;
use super::op::{Completion, Fd, NOBODY, Op, Submission, Token};
use super::task::Executor;
use super::timer::{self, Timers};
use crate::base::block::Pool;
use crate::base::prng::Prng;
use crate::base::time::{Duration, Instant};
use crate::model::ids::ReactorId;

/// Polls of one turn after which the kernel is looked at again even though tasks are ready.
const POLLS_PER_TURN: u32 = 1024;
/// How soon a reactor with messages for a full ring looks again.
const BACKLOG_RETRY: Duration = Duration::from_micros(100);

/// A reactor: one backend and everything that runs on it.
pub struct Reactor {
    handle: Handle,
    backend: Box<dyn Backend>,
    completions: Vec<Completion>,
}

/// The way to a reactor for all code that runs on it. Cheap to clone; never leaves the reactor's thread.
#[derive(Clone)]
pub struct Handle {
    core: Rc<Core>,
}

struct Core {
    id: ReactorId,
    executor: Executor,
    timers: Timers,
    clocks: Cell<Clocks>,
    operations: RefCell<Operations>,
    submissions: RefCell<VecDeque<Submission>>,
    turn_end: RefCell<Vec<Waker>>,
    links: RefCell<Vec<Rc<dyn Link>>>,
    closing: Closing,
    /// The main task is done: no turn waits any more.
    ending: Cell<bool>,
    pool: Pool,
    random: RefCell<Prng>,
    counters: Cell<Counters>,
}

/// Descriptors whose last owner is gone, perhaps on another reactor's thread.
#[derive(Clone, Default)]
pub(super) struct Closing(std::sync::Arc<std::sync::Mutex<Vec<Fd>>>);

impl Closing {
    pub(super) fn push(&self, fd: Fd) {
        self.0.lock().expect("the list is never left mid-change").push(fd);
    }
}

/// Work counts of one reactor since its start.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counters {
    /// Turns taken.
    pub turns: u64,
    /// Turns that waited in the kernel.
    pub waits: u64,
    /// Nanoseconds spent in turns outside the kernel's wait.
    pub busy_ns: u64,
    /// Completions delivered.
    pub completions: u64,
    /// Operations submitted.
    pub submissions: u64,
    /// Task polls.
    pub polls: u64,
    /// Operations in flight.
    pub in_flight: u64,
}

/// What the mesh asks of the turn.
pub(super) trait Link {
    /// Wakes the receiving task if input is there; tells whether there is any.
    fn deliver(&self) -> bool;
    /// Tells whom of the other side to wake: called once a turn, after the tasks. True when messages still wait for room.
    fn wakes(&self, wake: &mut dyn FnMut(ReactorId)) -> bool;
    /// Announces that this reactor is about to sleep, or that it no longer does.
    fn sleeping(&self, sleeping: bool);
}

#[derive(Default)]
struct Operations {
    entries: Slab<Entry>,
    generation: u32,
}

struct Entry {
    generation: u32,
    brings_fd: bool,
    may_never_end: bool,
    state: State,
}

enum State {
    /// One completion, awaited.
    Single { waker: Option<Waker>, done: Option<Completion> },
    /// Many completions.
    Stream { waker: Option<Waker>, queue: VecDeque<Completion>, ended: bool },
    /// Nobody awaits it any more; what it brings is released when it comes.
    Abandoned,
}

fn index(token: Token) -> usize {
    (token & 0xffff_ffff) as usize
}

impl Operations {
    fn insert(&mut self, op: &Op, state: State) -> Token {
        self.generation = self.generation.wrapping_add(1) & 0x7fff_ffff;
        let generation = self.generation;
        let at = self.entries.insert(Entry {
            generation,
            brings_fd: op.brings_fd(),
            may_never_end: op.may_never_end(),
            state,
        });
        (u64::from(generation) << 32) | at as u64
    }

    fn get(&mut self, token: Token) -> Option<&mut Entry> {
        self.entries.get_mut(index(token)).filter(|entry| u64::from(entry.generation) == token >> 32)
    }

    fn remove(&mut self, token: Token) {
        self.entries.remove(index(token));
    }
}

impl Reactor {
    /// A reactor over `backend`. To be made on the thread that will run it.
    pub fn new(id: ReactorId, mut backend: Box<dyn Backend>, pool: Pool) -> Reactor {
        let mut seed = [0; 8];
        backend.random(&mut seed);
        let core = Core {
            id,
            executor: Executor::new(backend.order()),
            timers: Timers::default(),
            clocks: Cell::new(backend.clocks()),
            operations: RefCell::default(),
            submissions: RefCell::default(),
            turn_end: RefCell::default(),
            links: RefCell::default(),
            closing: Closing::default(),
            ending: Cell::new(false),
            pool,
            random: RefCell::new(Prng::new(u64::from_le_bytes(seed))),
            counters: Cell::default(),
        };
        Reactor { handle: Handle { core: Rc::new(core) }, backend, completions: Vec::with_capacity(256) }
    }

    /// The way to this reactor.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Takes turns until `main` is done, and returns what it returned. Tasks that still run then are dropped.
    pub fn run<T: 'static>(mut self, main: impl Future<Output = T> + 'static) -> T {
        let result = Rc::new(RefCell::new(None));
        let (slot, core) = (Rc::clone(&result), Rc::clone(&self.handle.core));
        self.handle.spawn(async move {
            let value = main.await;
            *slot.borrow_mut() = Some(value);
            core.ending.set(true);
        });
        loop {
            self.turn();
            if let Some(value) = result.borrow_mut().take() {
                self.finish();
                return value;
            }
        }
    }

    /// Drops all tasks, and hands over what they leave behind (closes, wakes) in one more turn.
    pub fn finish(&mut self) {
        self.handle.core.ending.set(true);
        self.handle.core.executor.clear();
        self.turn();
    }

    /// Takes in what has completed since the last turn. For a world that decides itself when a turn is due; a backend
    /// that waits has done this by waiting.
    pub fn collect(&mut self) {
        self.backend.turn(&mut VecDeque::new(), &mut self.completions, Wait::Not);
    }

    /// Takes one turn; sleeps in the backend if there is nothing to do.
    pub fn turn(&mut self) {
        let core = Rc::clone(&self.handle.core);
        let started = self.backend.clocks();
        core.clocks.set(started);
        // A backend that does not wait itself returns before the sleep is over: it ends here.
        for link in core.links.borrow().iter() {
            link.sleeping(false);
        }
        let mut counters = core.counters.get();
        counters.turns += 1;
        counters.completions += self.completions.len() as u64;
        for completion in self.completions.drain(..) {
            core.complete(completion);
        }
        core.timers.fire(started.now);
        core.deliver();
        core.executor.run(POLLS_PER_TURN);
        let ending = std::mem::take(&mut *core.turn_end.borrow_mut());
        for waker in ending {
            waker.wake();
        }
        core.executor.run(POLLS_PER_TURN);
        core.close_dropped();

        let links = core.links.borrow().clone();
        let mut backlog = false;
        for link in &links {
            backlog |= link.wakes(&mut |reactor| core.submit_for_nobody(Op::Wake { reactor }));
        }
        let deadline = match core.timers.next_deadline() {
            deadline if !backlog => deadline,
            deadline => Some((started.now + BACKLOG_RETRY).min(deadline.unwrap_or(Instant(u64::MAX)))),
        };
        let mut wait = match (core.executor.is_idle() && core.turn_end.borrow().is_empty(), deadline) {
            (false, _) => Wait::Not,
            (true, Some(deadline)) => Wait::Until(deadline),
            (true, None) => Wait::Forever,
        };
        if core.ending.get() {
            wait = Wait::Not;
        }
        if wait != Wait::Not {
            // Announce the sleep first and look again after: a message pushed in between is seen here or wakes us.
            for link in &links {
                link.sleeping(true);
            }
            if core.deliver() {
                wait = Wait::Not;
            }
        }
        let mut submissions = core.submissions.take();
        counters.submissions += submissions.len() as u64;
        counters.waits += u64::from(wait != Wait::Not);
        counters.polls = core.executor.polls();
        counters.in_flight = core.operations.borrow().entries.len() as u64;
        counters.busy_ns += self.backend.clocks().now.since(started.now).as_nanos() as u64;
        core.counters.set(counters);
        self.backend.turn(&mut submissions, &mut self.completions, wait);
        assert!(submissions.is_empty(), "a backend takes every submission");
        *core.submissions.borrow_mut() = submissions;
    }

    /// Whether the next turn would have something to do without waiting.
    pub fn is_ready(&self) -> bool {
        let core = &self.handle.core;
        !self.completions.is_empty()
            || !core.executor.is_idle()
            || !core.submissions.borrow().is_empty()
            || core.deliver()
    }

    /// When the next timer fires.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.handle.core.timers.next_deadline()
    }
}

impl Drop for Reactor {
    fn drop(&mut self) {
        self.handle.core.executor.clear();
        self.handle.core.links.borrow_mut().clear();
    }
}

impl Core {
    fn deliver(&self) -> bool {
        let links = self.links.borrow();
        // All of them, not only up to the first that has something.
        links.iter().filter(|link| link.deliver()).count() > 0
    }

    fn submit_for_nobody(&self, op: Op) {
        self.submissions.borrow_mut().push_back(Submission { token: NOBODY, op });
    }

    fn close_dropped(&self) {
        let dropped = std::mem::take(&mut *self.closing.0.lock().expect("the list is never left mid-change"));
        for fd in dropped {
            self.submit_for_nobody(Op::Close { fd });
        }
    }

    fn complete(&self, completion: Completion) {
        if completion.token == NOBODY {
            return;
        }
        let mut operations = self.operations.borrow_mut();
        let token = completion.token;
        let Some(entry) = operations.get(token) else {
            unreachable!("a completion without its operation: the backend completed {token:#x} twice")
        };
        let waker = match &mut entry.state {
            State::Single { waker, done } => {
                assert!(!completion.more, "one completion was promised");
                *done = Some(completion);
                waker.take()
            }
            State::Stream { waker, queue, ended } => {
                *ended = !completion.more;
                queue.push_back(completion);
                waker.take()
            }
            State::Abandoned => {
                if entry.brings_fd && completion.result >= 0 {
                    self.submit_for_nobody(Op::Close { fd: Fd(completion.result) });
                }
                if !completion.more {
                    operations.remove(token);
                }
                None
            }
        };
        drop(operations);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Handle {
    /// The reactor's number.
    pub fn reactor_id(&self) -> ReactorId {
        self.core.id
    }

    /// The monotonic clock at the start of this turn.
    pub fn now(&self) -> Instant {
        self.core.clocks.get().now
    }

    /// The wall clock at the start of this turn, in milliseconds since 1970-01-01 UTC.
    pub fn wall_ms(&self) -> i64 {
        self.core.clocks.get().wall_ms
    }

    /// Where this process's blocks come from.
    pub fn pool(&self) -> &Pool {
        &self.core.pool
    }

    /// 64 random bits, from a stream that the backend seeded.
    pub fn random(&self) -> u64 {
        self.core.random.borrow_mut().bits()
    }

    /// Work counts since the start.
    pub fn counters(&self) -> Counters {
        self.core.counters.get()
    }

    /// Starts a task: polled once now, then whenever it is woken.
    pub fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        self.core.executor.spawn(task);
    }

    /// Submits an operation with one completion. Dropping the future abandons it: the operation goes on (unless it might
    /// do so for ever: [`Op::may_never_end`]), what it brings is released.
    pub fn submit(&self, op: Op) -> Operation {
        let token = self.core.operations.borrow_mut().insert(&op, State::Single { waker: None, done: None });
        self.core.submissions.borrow_mut().push_back(Submission { token, op });
        Operation { core: Rc::clone(&self.core), token, finished: false }
    }

    /// Submits an operation with many completions. Dropping the stream cancels it.
    pub fn submit_stream(&self, op: Op) -> OperationStream {
        let state = State::Stream { waker: None, queue: VecDeque::new(), ended: false };
        let token = self.core.operations.borrow_mut().insert(&op, state);
        self.core.submissions.borrow_mut().push_back(Submission { token, op });
        OperationStream { core: Rc::clone(&self.core), token, finished: false }
    }

    /// Resolves at `deadline`.
    pub fn sleep_until(&self, deadline: Instant) -> Sleep {
        Sleep { key: self.core.timers.insert(deadline), core: Rc::clone(&self.core) }
    }

    /// Resolves after `duration`.
    pub fn sleep(&self, duration: Duration) -> Sleep {
        self.sleep_until(self.now() + duration)
    }

    /// Resolves when the other tasks of this turn have run, before its operations go to the kernel.
    pub fn turn_end(&self) -> TurnEnd {
        TurnEnd { core: Rc::clone(&self.core), registered: false }
    }

    /// Gives the other ready tasks a turn.
    pub fn yield_now(&self) -> YieldNow {
        YieldNow { yielded: false }
    }

    pub(super) fn attach(&self, link: Rc<dyn Link>) {
        self.core.links.borrow_mut().push(link);
    }

    pub(super) fn closing(&self) -> Closing {
        self.core.closing.clone()
    }
}

/// Turns a completion's result into Rust's.
///
/// # Errors
/// The errno, when the result is negative.
pub fn result_of(result: i32) -> super::Result<u32> {
    if result < 0 { Err(super::Error::from_raw_os_error(-result)) } else { Ok(result as u32) }
}

/// A submitted operation with one completion.
pub struct Operation {
    core: Rc<Core>,
    token: Token,
    finished: bool,
}

impl Future for Operation {
    type Output = Completion;
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Completion> {
        let core = Rc::clone(&self.core);
        let mut operations = core.operations.borrow_mut();
        let entry = operations.get(self.token).expect("kept until its completion is taken");
        let State::Single { waker, done } = &mut entry.state else { unreachable!("submitted as single") };
        match done.take() {
            Some(completion) => {
                operations.remove(self.token);
                self.finished = true;
                Poll::Ready(completion)
            }
            None => {
                *waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        if !self.finished {
            abandon(&self.core, self.token);
        }
    }
}

/// Leaves an operation to itself, or cancels it if it might run for ever.
fn abandon(core: &Core, token: Token) {
    let mut operations = core.operations.borrow_mut();
    let Some(entry) = operations.get(token) else { return };
    let (brings_fd, may_never_end) = (entry.brings_fd, entry.may_never_end);
    let state = std::mem::replace(&mut entry.state, State::Abandoned);
    let over = match &state {
        State::Single { done, .. } => done.is_some(),
        State::Stream { ended, .. } => *ended,
        State::Abandoned => unreachable!("abandoned once"),
    };
    if over {
        operations.remove(token);
    }
    drop(operations);
    let unread = match state {
        State::Single { done, .. } => done.into_iter().collect(),
        State::Stream { queue, .. } => queue,
        State::Abandoned => VecDeque::new(),
    };
    for completion in unread {
        if brings_fd && completion.result >= 0 {
            core.submit_for_nobody(Op::Close { fd: Fd(completion.result) });
        }
    }
    if !over && may_never_end {
        core.submit_for_nobody(Op::Cancel { token });
    }
}

/// A submitted operation with many completions.
pub struct OperationStream {
    core: Rc<Core>,
    token: Token,
    finished: bool,
}

impl OperationStream {
    /// The next completion; `None` after the last one.
    pub async fn next(&mut self) -> Option<Completion> {
        std::future::poll_fn(|context| self.poll_next(context)).await
    }

    /// The next completion if it is there already.
    pub fn try_next(&mut self) -> Option<Completion> {
        let mut noop = Context::from_waker(Waker::noop());
        match self.poll_next(&mut noop) {
            Poll::Ready(completion) => completion,
            Poll::Pending => None,
        }
    }

    /// Polls for the next completion; `None` after the last one.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Completion>> {
        if self.finished {
            return Poll::Ready(None);
        }
        let mut operations = self.core.operations.borrow_mut();
        let entry = operations.get(self.token).expect("kept until its last completion is taken");
        let State::Stream { waker, queue, ended } = &mut entry.state else { unreachable!("submitted as a stream") };
        match queue.pop_front() {
            Some(completion) => {
                if *ended && queue.is_empty() {
                    operations.remove(self.token);
                    self.finished = true;
                }
                Poll::Ready(Some(completion))
            }
            None => {
                *waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }

    /// Asks for the end; what was under way still arrives through [`OperationStream::next`].
    pub fn cancel(&self) {
        if !self.finished {
            self.core.submit_for_nobody(Op::Cancel { token: self.token });
        }
    }

    /// Whether the last completion was taken.
    pub fn is_finished(&self) -> bool {
        self.finished
    }
}

impl Drop for OperationStream {
    fn drop(&mut self) {
        if !self.finished {
            abandon(&self.core, self.token);
        }
    }
}

/// A pending timer; dropping it removes it.
pub struct Sleep {
    core: Rc<Core>,
    key: timer::Key,
}

impl Future for Sleep {
    type Output = ();
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.core.timers.wait(self.key, context.waker()) { Poll::Pending } else { Poll::Ready(()) }
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.core.timers.remove(self.key);
    }
}

/// See [`Handle::turn_end`].
pub struct TurnEnd {
    core: Rc<Core>,
    registered: bool,
}

impl Future for TurnEnd {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.registered {
            return Poll::Ready(());
        }
        self.registered = true;
        self.core.turn_end.borrow_mut().push(context.waker().clone());
        Poll::Pending
    }
}

/// See [`Handle::yield_now`].
pub struct YieldNow {
    yielded: bool,
}

impl Future for YieldNow {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.yielded {
            return Poll::Ready(());
        }
        self.yielded = true;
        context.waker().wake_by_ref();
        Poll::Pending
    }
}
