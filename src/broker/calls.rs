//! Questions to other reactors: each is named, sent over the mesh, and resolved by the answer of that name.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::broker::Broker;
use super::message::{Answer, Ask, CallId, Message};
use crate::base::map::Map;
use crate::base::oneshot;
use crate::io::mesh::Mesh;
use crate::model::ids::ReactorId;

/// The questions that one reactor has asked, and those of others that wait here.
#[derive(Default)]
pub struct Calls {
    next: Cell<CallId>,
    asked: RefCell<Map<CallId, oneshot::Sender<Answer>>>,
    waiting_here: RefCell<Map<(ReactorId, CallId), Rc<Hurry>>>,
}

/// A question under way: resolves to its answer. Dropped before, it makes the other side stop waiting.
pub struct Call {
    broker: Rc<Broker>,
    to: ReactorId,
    id: CallId,
    answer: oneshot::Receiver<Answer>,
    answered: bool,
    waits: bool,
}

/// Asks reactor `to`, which is not this one. `waits` says that the other side may wait before it answers.
pub fn ask(broker: &Rc<Broker>, to: ReactorId, ask: Ask, waits: bool) -> Call {
    let calls = &broker.calls;
    let id = calls.fresh_id();
    let (sender, answer) = oneshot::channel();
    calls.asked.borrow_mut().insert(id, sender);
    broker.mesh.send(to, Message::Ask { call: id, ask });
    Call { broker: Rc::clone(broker), to, id, answer, answered: false, waits }
}

impl Calls {
    /// Takes in an answer; one that nobody awaits any more is dropped.
    pub fn answered(&self, id: CallId, answer: Answer) {
        let sender = self.asked.borrow_mut().remove(&id);
        if let Some(sender) = sender {
            sender.send(answer);
        }
    }

    /// A name for a question that this reactor asks itself.
    pub fn fresh_id(&self) -> CallId {
        let id = self.next.get();
        self.next.set(id + 1);
        id
    }

    /// Ends every wait.
    pub fn hurry_all(&self) {
        let waiting: Vec<Rc<Hurry>> = self.waiting_here.borrow().values().cloned().collect();
        waiting.iter().for_each(|hurry| hurry.set());
    }

    /// Ends the wait of a question of `from`.
    pub fn hurry(&self, from: ReactorId, id: CallId) {
        let hurry = self.waiting_here.borrow().get(&(from, id)).cloned();
        if let Some(hurry) = hurry {
            hurry.set();
        }
    }

    /// Questions that are not answered yet.
    pub fn open(&self) -> usize {
        self.asked.borrow().len()
    }
}

impl Call {
    /// Asks the other side to answer with what there is.
    pub fn hurry(&mut self) {
        if self.waits && !self.answered {
            self.waits = false;
            self.broker.mesh.send(self.to, Message::Hurry { call: self.id });
        }
    }
}

impl Future for Call {
    type Output = Answer;
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Answer> {
        match Pin::new(&mut self.answer).poll(context) {
            Poll::Ready(Some(answer)) => {
                self.answered = true;
                Poll::Ready(answer)
            }
            // Its sender sits in the table until the answer comes.
            Poll::Ready(None) => unreachable!("a question is forgotten only when its asker is"),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if !self.answered {
            self.hurry();
            self.broker.calls.asked.borrow_mut().remove(&self.id);
        }
    }
}

/// A question of `from` that waits on this reactor, from now until this is dropped.
pub struct WaitingHere {
    /// Set when the wait is to end.
    pub hurry: Rc<Hurry>,
    broker: Rc<Broker>,
    key: (ReactorId, CallId),
}

impl WaitingHere {
    /// Notes that question `id` of `from` waits here.
    pub fn new(broker: &Rc<Broker>, from: ReactorId, id: CallId) -> WaitingHere {
        let hurry = Rc::new(Hurry::default());
        if broker.is_stopping() {
            hurry.set();
        }
        broker.calls.waiting_here.borrow_mut().insert((from, id), Rc::clone(&hurry));
        WaitingHere { hurry, broker: Rc::clone(broker), key: (from, id) }
    }
}

impl Drop for WaitingHere {
    fn drop(&mut self) {
        self.broker.calls.waiting_here.borrow_mut().remove(&self.key);
    }
}

/// Answers a question.
pub fn answer(mesh: &Mesh<Message>, to: ReactorId, call: CallId, answer: Answer) {
    mesh.send(to, Message::Answer { call, answer });
}

/// A wish that a wait end; set once, seen by whoever waits.
#[derive(Default)]
pub struct Hurry {
    set: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Hurry {
    /// Ends the wait.
    pub fn set(&self) {
        self.set.set(true);
        let waker = self.waker.borrow_mut().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Whether the wait is to end; otherwise the waker is kept. One task waits.
    pub fn poll_set(&self, context: &Context<'_>) -> bool {
        if !self.set.get() {
            *self.waker.borrow_mut() = Some(context.waker().clone());
        }
        self.set.get()
    }

    /// Whether the wait is to end.
    pub fn is_set(&self) -> bool {
        self.set.get()
    }
}
