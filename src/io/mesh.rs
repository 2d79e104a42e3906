//! The mesh: one bounded single-producer single-consumer ring from each reactor to each other one.
//!
//! A message is pushed without a lock and costs a cache line or two; a reactor that sleeps is woken once a turn, however
//! many messages it got. When a ring is full the sender keeps the rest, in order, in an outbox of its own and tries again
//! each turn; how much can pile up there is bounded by what the sender admits (connections stop being read first).

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::task::{Context, Poll, Waker};

use rtrb::{Consumer, Producer, RingBuffer};

use super::reactor::{Handle, Link};
use crate::model::ids::ReactorId;

/// Messages that one ring holds.
const RING_MESSAGES: usize = 1024;

/// One reactor's end of the mesh, before it reaches its thread.
pub struct Port<M> {
    id: ReactorId,
    outgoing: Vec<Option<Producer<M>>>,
    incoming: Vec<Option<Consumer<M>>>,
    sleeping: Arc<[AtomicBool]>,
}

/// Makes the mesh of `reactors` reactors: their ports, in order.
pub fn ports<M: Send>(reactors: usize) -> Vec<Port<M>> {
    let sleeping: Arc<[AtomicBool]> = (0..reactors).map(|_| AtomicBool::new(false)).collect();
    let mut ports: Vec<Port<M>> = (0..reactors)
        .map(|id| Port {
            id: id as ReactorId,
            outgoing: (0..reactors).map(|_| None).collect(),
            incoming: (0..reactors).map(|_| None).collect(),
            sleeping: Arc::clone(&sleeping),
        })
        .collect();
    for from in 0..reactors {
        for to in (0..reactors).filter(|to| *to != from) {
            let (producer, consumer) = RingBuffer::new(RING_MESSAGES);
            ports[from].outgoing[to] = Some(producer);
            ports[to].incoming[from] = Some(consumer);
        }
    }
    ports
}

/// One reactor's end of the mesh.
pub struct Mesh<M> {
    state: Rc<RefCell<State<M>>>,
}

impl<M> Clone for Mesh<M> {
    fn clone(&self) -> Self {
        Mesh { state: Rc::clone(&self.state) }
    }
}

struct State<M> {
    port: Port<M>,
    outboxes: Vec<VecDeque<M>>,
    /// Reactors that got a message since the last turn's end.
    touched: Vec<bool>,
    receiver: Option<Waker>,
    /// The ring to look into first, so that no sender is served last for ever.
    first: usize,
}

impl<M: Send + 'static> Mesh<M> {
    /// Joins the mesh on this reactor's thread.
    pub fn join(io: &Handle, port: Port<M>) -> Mesh<M> {
        assert_eq!(io.reactor_id(), port.id);
        let reactors = port.outgoing.len();
        let state = State {
            port,
            outboxes: (0..reactors).map(|_| VecDeque::new()).collect(),
            touched: vec![false; reactors],
            receiver: None,
            first: 0,
        };
        let state = Rc::new(RefCell::new(state));
        io.attach(Rc::new(Attachment(Rc::clone(&state))));
        Mesh { state }
    }

    /// Reactors in the mesh.
    pub fn reactors(&self) -> usize {
        self.state.borrow().outboxes.len()
    }

    /// Sends `message` to another reactor; messages from one reactor to another arrive in order.
    ///
    /// # Panics
    /// When sent to the sender itself or to a reactor that does not exist.
    pub fn send(&self, to: ReactorId, message: M) {
        let mut state = self.state.borrow_mut();
        let to = usize::from(to);
        assert_ne!(to, usize::from(state.port.id), "a reactor calls its own shards directly");
        state.outboxes[to].push_back(message);
        state.flush(to);
    }

    /// Messages that wait for room in a ring.
    pub fn backlog(&self) -> usize {
        self.state.borrow().outboxes.iter().map(VecDeque::len).sum()
    }

    /// The next message and its sender. One task of the reactor receives.
    pub async fn receive(&self) -> (ReactorId, M) {
        std::future::poll_fn(|context: &mut Context<'_>| {
            let mut state = self.state.borrow_mut();
            match state.pop() {
                Some(message) => Poll::Ready(message),
                None => {
                    state.receiver = Some(context.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }
}

impl<M> State<M> {
    fn flush(&mut self, to: usize) {
        let Some(ring) = &mut self.port.outgoing[to] else { unreachable!("no ring to the sender itself") };
        while let Some(message) = self.outboxes[to].pop_front() {
            match ring.push(message) {
                Ok(()) => self.touched[to] = true,
                Err(rtrb::PushError::Full(message)) => {
                    self.outboxes[to].push_front(message);
                    return;
                }
            }
        }
    }

    fn pop(&mut self) -> Option<(ReactorId, M)> {
        let rings = self.port.incoming.len();
        for step in 0..rings {
            let from = (self.first + step) % rings;
            if let Some(ring) = &mut self.port.incoming[from]
                && let Ok(message) = ring.pop()
            {
                self.first = (from + 1) % rings;
                return Some((from as ReactorId, message));
            }
        }
        None
    }
}

struct Attachment<M>(Rc<RefCell<State<M>>>);

impl<M> Link for Attachment<M> {
    fn deliver(&self) -> bool {
        let (waker, any) = {
            let mut state = self.0.borrow_mut();
            let any = state.port.incoming.iter().flatten().any(|ring| !ring.is_empty());
            (if any { state.receiver.take() } else { None }, any)
        };
        if let Some(waker) = waker {
            waker.wake();
        }
        any
    }

    fn wakes(&self, wake: &mut dyn FnMut(ReactorId)) -> bool {
        let mut state = self.0.borrow_mut();
        for to in 0..state.outboxes.len() {
            if !state.outboxes[to].is_empty() {
                state.flush(to);
            }
            if std::mem::take(&mut state.touched[to]) {
                // Pairs with the fence in `sleeping`: either we see the flag, or the sleeper sees the message.
                fence(Ordering::SeqCst);
                if state.port.sleeping[to].swap(false, Ordering::AcqRel) {
                    wake(to as ReactorId);
                }
            }
        }
        state.outboxes.iter().any(|outbox| !outbox.is_empty())
    }

    fn sleeping(&self, sleeping: bool) {
        let state = self.0.borrow();
        state.port.sleeping[usize::from(state.port.id)].store(sleeping, Ordering::Release);
        if sleeping {
            fence(Ordering::SeqCst);
        }
    }
}
