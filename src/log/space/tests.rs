use super::DiskSpace;

const RESERVE: u64 = 100;

/// A disk of which a look of reactor 0 found `free`.
fn disk(free: u64) -> DiskSpace {
    let space = DiskSpace::default();
    space.end_look(space.begin_look(0, 0), free);
    space
}

#[test]
fn what_one_reactor_takes_is_gone_for_all_until_its_own_look() {
    let space = disk(1000);
    space.take(1, 300);
    space.take(0, 50);
    assert_eq!(space.left_bytes(), 650);
    // Reactor 0 has written its part back; it cannot know how far reactor 1 is.
    space.end_look(space.begin_look(0, 0), 950);
    assert_eq!(space.left_bytes(), 650);
    space.end_look(space.begin_look(1, 0), 650);
    assert_eq!(space.left_bytes(), 650);
}

#[test]
fn an_older_look_does_not_replace_a_newer_one() {
    let space = disk(1000);
    let (older, newer) = (space.begin_look(0, 10), space.begin_look(1, 0));
    space.end_look(newer, 400);
    space.end_look(older, 900);
    assert_eq!(space.left_bytes(), 390);
}

#[test]
fn what_is_taken_during_a_look_is_owed_after_it() {
    let space = disk(1000);
    space.reserve(0, 100);
    let look = space.begin_look(0, 20);
    space.take(0, 30);
    space.reserved(0, 100);
    space.end_look(look, 1000);
    assert_eq!(space.left_bytes(), 850, "whether the look saw the reservation is not known");
    space.end_look(space.begin_look(0, 50), 900);
    assert_eq!(space.left_bytes(), 850);
}

#[test]
fn a_reservation_leaves_the_reserve_alone() {
    let space = disk(150);
    assert!(!space.reserve_beyond(RESERVE, 0, 51));
    assert_eq!(space.left_bytes(), 150);
    assert!(space.reserve_beyond(RESERVE, 0, 50));
    assert!(!space.reserve_beyond(RESERVE, 1, 1));
    assert_eq!(space.left_bytes(), RESERVE);
}

#[test]
fn more_may_be_owed_than_is_free() {
    let space = disk(100);
    space.take(0, 1000);
    assert_eq!(space.left_bytes(), 0);
}
