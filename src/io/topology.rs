//! Threads and the cores they are pinned to.
