//! Which mutation is in force: one of `tests/mutations`, named by the variable FLUMEN_MUTATION; none without it.
//!
//! In the tree that `scripts/mutations.sh` builds this is a module of `base`, and each patch there asks it. The shipped
//! sources have nothing of it.

#![allow(clippy::disallowed_methods, reason = "only ever built for the proof that the simulated world bites")]

use std::sync::LazyLock;

static IN_FORCE: LazyLock<Option<String>> = LazyLock::new(|| std::env::var("FLUMEN_MUTATION").ok());

/// Whether the mutation `name` is in force.
pub fn on(name: &str) -> bool {
    IN_FORCE.as_deref() == Some(name)
}
