use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use super::{Passage, Turnstile};

type Entering<'a> = Pin<Box<dyn Future<Output = Passage> + 'a>>;

fn one_through_and_two_waiting<'a>(
    turnstile: &'a Turnstile,
    context: &mut Context<'_>,
) -> (Passage, Entering<'a>, Entering<'a>) {
    let Poll::Ready(first) = pin!(turnstile.enter()).poll(context) else { panic!("it is free") };
    let (mut second, mut third): (Entering<'a>, Entering<'a>) =
        (Box::pin(turnstile.enter()), Box::pin(turnstile.enter()));
    assert!(second.as_mut().poll(context).is_pending());
    assert!(third.as_mut().poll(context).is_pending());
    (first, second, third)
}

#[test]
fn one_goes_through_at_a_time_in_order() {
    let turnstile = Turnstile::default();
    let context = &mut Context::from_waker(Waker::noop());
    let (first, mut second, mut third) = one_through_and_two_waiting(&turnstile, context);
    drop(first);
    assert!(third.as_mut().poll(context).is_pending(), "the second came before it");
    let Poll::Ready(passage) = second.as_mut().poll(context) else { panic!("it is the second's turn") };
    drop(passage);
    drop(second);
    assert!(third.as_mut().poll(context).is_ready());
}

#[test]
fn who_gives_up_after_its_turn_has_come_lets_the_next_one_through() {
    let turnstile = Turnstile::default();
    let context = &mut Context::from_waker(Waker::noop());
    let (first, second, mut third) = one_through_and_two_waiting(&turnstile, context);
    drop(first);
    // It has been handed the right of way, and never looks.
    drop(second);
    assert!(third.as_mut().poll(context).is_ready());
}

#[test]
fn who_gives_up_waiting_is_passed_over() {
    let turnstile = Turnstile::default();
    let context = &mut Context::from_waker(Waker::noop());
    let Poll::Ready(first) = pin!(turnstile.enter()).poll(context) else { panic!("it is free") };
    let mut second = Box::pin(turnstile.enter());
    assert!(second.as_mut().poll(context).is_pending());
    drop(second);
    drop(first);
    assert!(pin!(turnstile.enter()).poll(context).is_ready());
}
