//! The `flumen` program: the broker and the commands around it.

use std::process::ExitCode;

mod commands;

fn main() -> ExitCode {
    commands::run()
}
