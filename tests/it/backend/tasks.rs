//! Cases about the turn: tasks, timers, clocks.

use core::time::Duration;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

use flumen::base::time::Instant;
use flumen::io::file::File;
use flumen::io::op::OpenMode;

use super::{Harness, slices, start};

pub fn spawn_polls_at_once(harness: impl Harness) {
    harness.one(|io| async move {
        let steps = Rc::new(RefCell::new(Vec::new()));
        let (task_io, task_steps) = (io.clone(), Rc::clone(&steps));
        io.spawn(async move {
            task_steps.borrow_mut().push("before the first wait");
            task_io.yield_now().await;
            task_steps.borrow_mut().push("after it");
        });
        steps.borrow_mut().push("the spawner");
        io.sleep(Duration::from_millis(1)).await;
        assert_eq!(*steps.borrow(), ["before the first wait", "the spawner", "after it"]);
    });
}

pub fn the_turn_ends_after_its_tasks(harness: impl Harness) {
    harness.one(|io| async move {
        let steps = Rc::new(RefCell::new(Vec::new()));
        let ender = {
            let (io, steps) = (io.clone(), Rc::clone(&steps));
            start(&io.clone(), async move {
                io.turn_end().await;
                steps.borrow_mut().push("end".to_owned());
            })
        };
        for number in 0..3 {
            let (task_io, steps) = (io.clone(), Rc::clone(&steps));
            io.spawn(async move {
                task_io.yield_now().await;
                steps.borrow_mut().push(format!("task {number}"));
                task_io.yield_now().await;
                steps.borrow_mut().push(format!("task {number} again"));
            });
        }
        ender.await.expect("it ended");
        assert_eq!(steps.borrow().last().expect("steps"), "end");
        assert_eq!(steps.borrow().len(), 7, "all tasks of the turn ran first: {:?}", steps.borrow());
    });
}

pub fn writes_of_a_turn_start_after_its_end_tasks(harness: impl Harness) {
    let path = harness.scratch().join("file");
    harness.one(move |io| async move {
        let mode = OpenMode { write: true, create: true, ..OpenMode::default() };
        let file = File::open(&io, &path, mode).await.expect("a new file");
        // What tasks of one turn gather, one task writes at the turn's end: the shape of the journal.
        let gathered = Rc::new(RefCell::new(Vec::new()));
        for round in 0..50u8 {
            for _ in 0..10 {
                let (task_io, gathered) = (io.clone(), Rc::clone(&gathered));
                io.spawn(async move {
                    task_io.yield_now().await;
                    gathered.borrow_mut().push(round);
                });
            }
            io.turn_end().await;
            let content = std::mem::take(&mut *gathered.borrow_mut());
            assert_eq!(content, [round; 10]);
            file.write_at(&io, u64::from(round) * 10, slices(&io, &content), false).await.expect("a write");
        }
    });
}

pub fn timers_fire_in_order_and_not_early(harness: impl Harness) {
    harness.one(|io| async move {
        let fired = Rc::new(RefCell::new(Vec::new()));
        let started = io.now();
        let mut waits = Vec::new();
        for millis in [30u64, 10, 20, 11, 10] {
            let (task_io, fired) = (io.clone(), Rc::clone(&fired));
            waits.push(start(&io, async move {
                task_io.sleep(Duration::from_millis(millis)).await;
                assert!(task_io.now().since(started) >= Duration::from_millis(millis), "not early");
                fired.borrow_mut().push(millis);
            }));
        }
        for wait in waits {
            wait.await.expect("it fired");
        }
        assert_eq!(*fired.borrow(), [10, 10, 11, 20, 30]);
    });
}

pub fn a_dropped_timer_is_gone(harness: impl Harness) {
    harness.one(|io| async move {
        drop(io.sleep(Duration::from_millis(5)));
        let far = io.sleep(Duration::from_secs(3600));
        let started = io.now();
        io.sleep(Duration::from_millis(20)).await;
        assert!(io.now().since(started) >= Duration::from_millis(20));
        assert!(io.now().since(started) < Duration::from_secs(30));
        drop(far);
    });
}

pub fn a_deadline_in_the_past_is_now(harness: impl Harness) {
    harness.one(|io| async move {
        io.sleep_until(Instant(0)).await;
        io.sleep(Duration::ZERO).await;
        io.sleep_until(io.now()).await;
    });
}

pub fn a_yielding_task_does_not_starve_input(harness: impl Harness) {
    harness.one(|io| async move {
        let stop = Rc::new(Cell::new(false));
        let (task_io, task_stop) = (io.clone(), Rc::clone(&stop));
        let busy = start(&io, async move {
            let mut polls = 0u64;
            while !task_stop.get() {
                polls += 1;
                task_io.yield_now().await;
            }
            polls
        });
        // A timer fires although a task is always ready.
        io.sleep(Duration::from_millis(20)).await;
        stop.set(true);
        assert!(busy.await.expect("it stopped") > 1);
    });
}

pub fn random_bits_differ(harness: impl Harness) {
    harness.one(|io| async move {
        let drawn: std::collections::BTreeSet<u64> = (0..1000).map(|_| io.random()).collect();
        assert_eq!(drawn.len(), 1000);
    });
}

pub fn clocks_advance(harness: impl Harness) {
    harness.one(|io| async move {
        let (now, wall) = (io.now(), io.wall_ms());
        assert!(wall > 1_577_836_800_000, "after 2020");
        io.sleep(Duration::from_millis(50)).await;
        assert!(io.now().since(now) >= Duration::from_millis(50));
        assert!(io.wall_ms() > wall);
    });
}
