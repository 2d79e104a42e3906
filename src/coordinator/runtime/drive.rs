//! The coordinator's task: it loads, releases what is durable, keeps the machine's time, and loads again after a failure.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::{Coordinator, Stage};
use crate::base::time::Duration;
use crate::coordinator::machine::Machine;
use crate::io::reactor::Sleep;
use crate::model::error_code::ClientError;
use crate::shard::Appended;

/// The pause after a failed append, before the log is replayed again.
const RELOAD_PAUSE: Duration = Duration::from_millis(500);
/// The pause after a log that could not be read.
const UNREADABLE_PAUSE: Duration = Duration::from_secs(10);
/// A load that takes this long is worth a line.
const LOAD_WORTH_A_LINE: Duration = Duration::from_millis(200);

/// What the task wakes up for.
enum Event {
    /// The front of the line is durable, or has failed.
    Front(Result<Option<Appended>, ClientError>),
    /// The machine's deadline has passed.
    Due,
    /// Something else may have become next.
    News,
    /// The machine was dropped.
    Ended,
}

impl<M: Machine> Coordinator<M> {
    pub(super) async fn drive(self: Rc<Self>) {
        loop {
            self.settle_abandoned().await;
            if self.is_closed() {
                return;
            }
            if self.load_and_activate().await {
                self.serve().await;
                if self.is_closed() {
                    continue;
                }
                self.io.sleep(RELOAD_PAUSE).await;
            } else if !self.is_closed() {
                self.io.sleep(UNREADABLE_PAUSE).await;
            }
        }
    }

    fn is_closed(&self) -> bool {
        matches!(self.state.borrow().stage, Stage::Closed)
    }

    /// Waits until it is known what came of the appends of a machine that was dropped: some may have reached the log.
    async fn settle_abandoned(&self) {
        loop {
            let append = self.state.borrow_mut().abandoned.pop_front();
            let Some(append) = append else { return };
            // Whatever it is: the log tells when it is replayed.
            let _ = append.await;
        }
    }

    /// Loads a machine and puts it in charge; false when the log cannot be read, or the coordinator was closed meanwhile.
    async fn load_and_activate(self: &Rc<Self>) -> bool {
        let began = self.io.now();
        let loaded = self.load().await;
        if self.is_closed() {
            return false;
        }
        match loaded {
            Ok(loaded) => {
                let took = self.io.now().since(began);
                if took >= LOAD_WORTH_A_LINE {
                    let (records, bytes) = (loaded.records, loaded.bytes);
                    tracing::info!(coordinator = self.name, records, bytes, took_ms = took.as_millis(), "loaded");
                }
                {
                    let mut state = self.state.borrow_mut();
                    state.growth.loaded(loaded.bytes, loaded.unknown > 0);
                    state.stage = Stage::Active(Box::new(loaded.machine));
                }
                self.call(|machine, situation| machine.loaded(situation));
                true
            }
            Err(reason) => {
                tracing::error!(coordinator = self.name, "cannot be loaded: {reason}");
                self.state.borrow_mut().stage = Stage::Loading(Some(reason));
                false
            }
        }
    }

    /// Until the machine is dropped.
    async fn serve(self: &Rc<Self>) {
        loop {
            self.compact_if_grown();
            let deadline = self.next_deadline();
            self.driver.asleep_until.set(deadline);
            let sleep = deadline.map(|deadline| self.io.sleep_until(deadline));
            match (Next { coordinator: self, sleep }).await {
                Event::Front(result) => self.settle_front(result),
                Event::Due => {
                    self.call(|machine, situation| machine.on_time(situation));
                    if self.next_deadline().is_some_and(|next| next <= self.io.now()) {
                        // A machine that is never done must not keep the reactor to itself.
                        self.io.yield_now().await;
                    }
                }
                Event::News => {}
                Event::Ended => return,
            }
        }
    }
}

struct Next<'a, M: Machine> {
    coordinator: &'a Coordinator<M>,
    sleep: Option<Sleep>,
}

impl<M: Machine> Future for Next<'_, M> {
    type Output = Event;
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Event> {
        let coordinator = self.coordinator;
        let driver = &coordinator.driver;
        *driver.waker.borrow_mut() = Some(context.waker().clone());
        {
            let mut state = coordinator.state.borrow_mut();
            if !matches!(state.stage, Stage::Active(_)) {
                return Poll::Ready(Event::Ended);
            }
            if let Some(front) = state.held.front_mut() {
                let Some(append) = &mut front.append else { return Poll::Ready(Event::Front(Ok(None))) };
                if let Poll::Ready(result) = Pin::new(append).poll(context) {
                    return Poll::Ready(Event::Front(result.map(Some)));
                }
            }
        }
        if let Some(sleep) = &mut self.sleep
            && Pin::new(sleep).poll(context).is_ready()
        {
            return Poll::Ready(Event::Due);
        }
        if driver.news.take() { Poll::Ready(Event::News) } else { Poll::Pending }
    }
}
