//! The local executor: tasks of one reactor, run in the order in which they were woken.
//!
//! A task is polled once, inline, when it is spawned: what a request does before its first wait happens in the order of
//! arrival. Wakers must not leave the reactor's thread (the mesh carries ids, never wakers); one that does is a bug in
//! the broker and aborts.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::rc::Rc;
use std::task::Waker;
use std::thread::ThreadId;

use async_task::Runnable;
use slab::Slab;

/// How often [`Executor::clear`] looks again for tasks that were started while others were dropped.
const CLEAR_ROUNDS_MAX: u32 = 16;

/// The tasks of one reactor and the queue of those that were woken.
pub(super) struct Executor {
    ready: Rc<Ready>,
    /// A waker of each unfinished task: the way to drop tasks that wait for something only they hold.
    tasks: Rc<RefCell<Slab<Waker>>>,
}

/// Strikes a task off the list when its future is dropped, finished or not.
struct Listed {
    tasks: Rc<RefCell<Slab<Waker>>>,
    key: usize,
}

impl Drop for Listed {
    fn drop(&mut self) {
        let waker = self.tasks.borrow_mut().try_remove(self.key);
        drop(waker);
    }
}

struct Ready {
    queue: RefCell<VecDeque<Runnable>>,
    owner: ThreadId,
    polls: Cell<u64>,
}

/// The schedule function of every task: a reference to the queue that only its own thread may follow.
struct Schedule(Rc<Ready>);

// SAFETY: a waker is Send and Sync by type, so async-task may call the schedule function from any thread by type as
// well; `push` asserts that it is the owner's thread before it touches the Rc or the queue. `Rc` counts change only
// when a task is made or freed; a task is freed by its last waker, and wakers stay on this thread (module doc).
unsafe impl Send for Schedule {}
// SAFETY: as above.
unsafe impl Sync for Schedule {}

impl Schedule {
    fn push(&self, runnable: Runnable) {
        assert!(std::thread::current().id() == self.0.owner, "a waker left its reactor's thread");
        self.0.queue.borrow_mut().push_back(runnable);
    }
}

impl Executor {
    pub(super) fn new() -> Executor {
        let ready = Ready { queue: RefCell::default(), owner: std::thread::current().id(), polls: Cell::new(0) };
        Executor { ready: Rc::new(ready), tasks: Rc::default() }
    }

    /// Starts `future`: polls it once, now, and then whenever it is woken.
    pub(super) fn spawn(&self, future: impl Future<Output = ()> + 'static) {
        let schedule = Schedule(Rc::clone(&self.ready));
        let listed = Listed { tasks: Rc::clone(&self.tasks), key: self.tasks.borrow().vacant_key() };
        let future = async move {
            let _listed = listed;
            future.await;
        };
        // SAFETY: the future is 'static; it and its output stay on this thread because runnables only ever sit in the
        // queue of the owner's thread and run there (see Schedule).
        let (runnable, task) = unsafe { async_task::spawn_unchecked(future, move |runnable| schedule.push(runnable)) };
        task.detach();
        self.tasks.borrow_mut().insert(runnable.waker());
        self.ready.polls.set(self.ready.polls.get() + 1);
        runnable.run();
    }

    /// Polls woken tasks until none is left or `budget` polls were made; tells how many were made.
    pub(super) fn run(&self, budget: u32) -> u32 {
        let mut polls = 0;
        while polls < budget {
            let Some(runnable) = self.ready.queue.borrow_mut().pop_front() else { break };
            runnable.run();
            polls += 1;
        }
        self.ready.polls.set(self.ready.polls.get() + u64::from(polls));
        polls
    }

    pub(super) fn is_idle(&self) -> bool {
        self.ready.queue.borrow().is_empty()
    }

    pub(super) fn polls(&self) -> u64 {
        self.ready.polls.get()
    }

    /// Drops all tasks; used when the reactor ends.
    pub(super) fn clear(&self) {
        for _ in 0..CLEAR_ROUNDS_MAX {
            // Dropping a task may wake or start others, so nothing is borrowed while it happens.
            let tasks = std::mem::take(&mut *self.tasks.borrow_mut());
            for (_, waker) in tasks {
                waker.wake();
            }
            loop {
                let Some(runnable) = self.ready.queue.borrow_mut().pop_front() else { break };
                drop(runnable);
            }
            if self.tasks.borrow().is_empty() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;
    use std::task::Waker;

    use super::Executor;

    #[test]
    fn clear_drops_a_task_that_waits_for_what_only_it_holds() {
        let executor = Executor::new();
        let witness = Rc::new(());
        let held = Rc::clone(&witness);
        let own_waker: Rc<RefCell<Option<Waker>>> = Rc::default();
        executor.spawn(async move {
            let _held = held;
            std::future::poll_fn::<(), _>(|context| {
                *own_waker.borrow_mut() = Some(context.waker().clone());
                std::task::Poll::Pending
            })
            .await;
        });
        assert_eq!(executor.run(10), 0);
        assert_eq!(Rc::strong_count(&witness), 2);
        executor.clear();
        assert_eq!(Rc::strong_count(&witness), 1);
    }

    #[test]
    fn a_finished_task_is_off_the_list() {
        let executor = Executor::new();
        executor.spawn(std::future::ready(()));
        assert!(executor.tasks.borrow().is_empty());
    }
}
