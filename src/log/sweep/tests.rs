use super::{is_partition, is_temporary, is_unique};

#[test]
fn only_own_temporary_names_are_taken() {
    assert!(is_temporary("leader-epoch-checkpoint.tmp"));
    assert!(is_temporary("00000000000000004711.tmp"));
    for other in ["notes.tmp", "4711.tmp", "00000000000000004711.log", "leader-epoch-checkpoint", ".tmp"] {
        assert!(!is_temporary(other), "{other}");
    }
}

#[test]
fn names_of_directories_are_told_apart() {
    assert!(is_unique("AAAAAAAAAAAAAAAAAAAABw-3") && is_unique("_-AAAAAAAAAAAAAAAAAABw-0"));
    for other in ["orders-0.AAAAAAAAAAAAAAAAAAAABw", "AAAAAAAAAAAAAAAAAAAABw", "AAAAAAAAAAAAAAAAAAAABw-x", "", "ä"] {
        assert!(!is_unique(other), "{other}");
    }
    assert!(is_partition("orders-0") && is_partition("a-b-12"));
    for other in ["orders", "orders-", "-0", "orders-0.bak", "checkpoint"] {
        assert!(!is_partition(other), "{other}");
    }
}
