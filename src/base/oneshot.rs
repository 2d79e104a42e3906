//! A one-shot cell between two tasks of one reactor: the promise of a value and the place to await it.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

struct Cell<T> {
    value: Option<T>,
    waker: Option<Waker>,
    sender_gone: bool,
}

/// The side that provides the value.
pub struct Sender<T>(Rc<RefCell<Cell<T>>>);

/// The side that awaits it: resolves to `None` when the sender was dropped without a value.
pub struct Receiver<T>(Rc<RefCell<Cell<T>>>);

/// A connected pair.
pub fn channel<T>() -> (Sender<T>, Receiver<T>) {
    let cell = Rc::new(RefCell::new(Cell { value: None, waker: None, sender_gone: false }));
    (Sender(Rc::clone(&cell)), Receiver(cell))
}

impl<T> Sender<T> {
    /// Provides the value and wakes the receiver.
    pub fn send(self, value: T) {
        self.0.borrow_mut().value = Some(value);
    }

    /// Whether nobody awaits the value any more.
    pub fn is_abandoned(&self) -> bool {
        Rc::strong_count(&self.0) == 1
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let waker = {
            let mut cell = self.0.borrow_mut();
            cell.sender_gone = true;
            cell.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> Future for Receiver<T> {
    type Output = Option<T>;
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        let mut cell = self.0.borrow_mut();
        if let Some(value) = cell.value.take() {
            return Poll::Ready(Some(value));
        }
        if cell.sender_gone {
            return Poll::Ready(None);
        }
        cell.waker = Some(context.waker().clone());
        Poll::Pending
    }
}
