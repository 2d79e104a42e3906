//! The `flumen` program: the broker and the commands around it.

use std::process::ExitCode;

mod commands;

/// The C library's allocator had a sixth of the CPU time of a small produce request, which allocates about ten times.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    commands::run()
}
