//! The local executor: tasks of one reactor, run in the order in which they were woken, or (in a simulated world) in one
//! that is drawn.
//!
//! A task is polled once, inline, when it is spawned: what a request does before its first wait happens in the order of
//! arrival. Wakers must not leave the reactor's thread (the mesh carries ids, never wakers); one that does is a bug in
//! the broker and aborts.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use async_task::Runnable;
use slab::Slab;

use crate::base::prng::Prng;

/// The queue of woken tasks of one reactor.
pub(super) struct Executor {
    ready: Rc<Ready>,
    /// Which of the woken tasks is next; the first if there is no such stream.
    order: Option<RefCell<Prng>>,
}

struct Ready {
    queue: RefCell<VecDeque<Runnable>>,
    /// Every task that is not done, so that none outlives the reactor.
    tasks: RefCell<Slab<Waker>>,
    owner: u64,
    polls: Cell<u64>,
}

thread_local! {
    /// This thread's number, never used again (asking for the thread's own id costs more than a poll).
    static THREAD: u64 = {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        NEXT.fetch_add(1, Ordering::Relaxed)
    };
}

fn this_thread() -> u64 {
    THREAD.with(|thread| *thread)
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
        assert!(this_thread() == self.0.owner, "a waker left its reactor's thread");
        self.0.queue.borrow_mut().push_back(runnable);
    }
}

impl Executor {
    pub(super) fn new(order: Option<Prng>) -> Executor {
        let ready =
            Ready { queue: RefCell::default(), tasks: RefCell::default(), owner: this_thread(), polls: Cell::new(0) };
        Executor { ready: Rc::new(ready), order: order.map(RefCell::new) }
    }

    /// Starts `future`: polls it once, now, and then whenever it is woken.
    pub(super) fn spawn(&self, future: impl Future<Output = ()> + 'static) {
        let schedule = Schedule(Rc::clone(&self.ready));
        let mut tasks = self.ready.tasks.borrow_mut();
        let entry = tasks.vacant_entry();
        let future = Registered { future, key: entry.key(), ready: Rc::clone(&self.ready) };
        // SAFETY: the future is 'static; it and its output stay on this thread because runnables only ever sit in the
        // queue of the owner's thread and run there (see Schedule).
        let (runnable, task) = unsafe { async_task::spawn_unchecked(future, move |runnable| schedule.push(runnable)) };
        entry.insert(runnable.waker());
        drop(tasks);
        task.detach();
        self.ready.polls.set(self.ready.polls.get() + 1);
        runnable.run();
    }

    /// Polls woken tasks until none is left or `budget` polls were made; tells how many were made.
    pub(super) fn run(&self, budget: u32) -> u32 {
        let mut polls = 0;
        while polls < budget {
            let Some(runnable) = self.next() else { break };
            runnable.run();
            polls += 1;
        }
        self.ready.polls.set(self.ready.polls.get() + u64::from(polls));
        polls
    }

    fn next(&self) -> Option<Runnable> {
        let mut queue = self.ready.queue.borrow_mut();
        match &self.order {
            None => queue.pop_front(),
            Some(_) if queue.is_empty() => None,
            Some(order) => {
                let drawn = order.borrow_mut().below(queue.len() as u64) as usize;
                queue.swap_remove_front(drawn)
            }
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.ready.queue.borrow().is_empty()
    }

    pub(super) fn polls(&self) -> u64 {
        self.ready.polls.get()
    }

    /// Drops all tasks; used when the reactor ends.
    pub(super) fn clear(&self) {
        loop {
            // Dropping a task may wake others and even start some, so nothing is borrowed while it happens.
            let woken = self.ready.queue.borrow_mut().pop_front();
            if let Some(runnable) = woken {
                drop(runnable);
                continue;
            }
            let waiting = {
                let mut tasks = self.ready.tasks.borrow_mut();
                let key = tasks.iter().next().map(|(key, _)| key);
                key.map(|key| tasks.remove(key))
            };
            match waiting {
                Some(waker) => waker.wake(),
                None => return,
            }
        }
    }
}

/// A task's future, which leaves the list of tasks when it is dropped.
struct Registered<F> {
    future: F,
    key: usize,
    ready: Rc<Ready>,
}

impl<F: Future<Output = ()>> Future for Registered<F> {
    type Output = ();
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        // SAFETY: `future` is never moved out of the pinned whole, and `drop` does not touch it.
        unsafe { self.map_unchecked_mut(|whole| &mut whole.future) }.poll(context)
    }
}

impl<F> Drop for Registered<F> {
    fn drop(&mut self) {
        let waker = self.ready.tasks.borrow_mut().try_remove(self.key);
        drop(waker);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;
    use std::task::Waker;

    use super::Executor;
    use crate::base::prng::Prng;

    #[test]
    fn clear_drops_a_task_that_waits_for_what_only_it_holds() {
        let executor = Executor::new(None);
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
        let executor = Executor::new(None);
        executor.spawn(std::future::ready(()));
        assert!(executor.ready.tasks.borrow().is_empty());
    }

    /// The order in which ten tasks run that were woken one after the other.
    fn order_of_ten(order: Option<Prng>) -> Vec<u32> {
        let executor = Executor::new(order);
        let ran: Rc<RefCell<Vec<u32>>> = Rc::default();
        for number in 0..10 {
            let ran = Rc::clone(&ran);
            let mut woken = false;
            executor.spawn(std::future::poll_fn(move |context| {
                if woken {
                    ran.borrow_mut().push(number);
                    return std::task::Poll::Ready(());
                }
                woken = true;
                context.waker().wake_by_ref();
                std::task::Poll::Pending
            }));
        }
        assert_eq!(executor.run(100), 10);
        assert!(executor.is_idle());
        ran.take()
    }

    #[test]
    fn woken_tasks_run_in_order_unless_another_is_drawn() {
        let in_order: Vec<u32> = (0..10).collect();
        assert_eq!(order_of_ten(None), in_order);
        let drawn = order_of_ten(Some(Prng::new(1)));
        assert_eq!(drawn, order_of_ten(Some(Prng::new(1))), "one seed is one order");
        assert_ne!(drawn, in_order);
        assert_ne!(drawn, order_of_ten(Some(Prng::new(2))));
        let mut all = drawn;
        all.sort_unstable();
        assert_eq!(all, in_order, "each ran once");
    }
}
