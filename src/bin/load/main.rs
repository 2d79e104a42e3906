//! `flumen-load`: an open-loop load generator over the Kafka protocol, for any broker.
//!
//! It runs on the library's own reactor, so that it takes as little of the machine as it can from the broker beside it.
//! `options.rs` says what it can do; `run.rs` ties it together; `produce.rs` and `fetch.rs` are the two hot loops.

use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;

#[path = "../../commands/client.rs"]
mod client;
mod cluster;
mod fetch;
mod frames;
mod idle;
mod measure;
mod options;
mod page;
mod process;
mod produce;
mod run;
mod shared;
mod summary;
mod template;
#[cfg(test)]
mod tests;
mod transactions;
mod verify;
mod wire;

use options::{Common, Mode, Options, Page};
use summary::Summary;

/// Where this process's timers may be told to fire on time: the kernel lets them be 50 us late otherwise.
const TIMER_SLACK: &str = "/proc/self/timerslack_ns";

fn main() -> ExitCode {
    let options = Options::parse();
    let outcome = match &options.mode {
        Mode::Page(page) => draw(page),
        mode => measure(mode, mode.common().expect("a run has them")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            say_error(&format!("flumen-load: {message}"));
            ExitCode::FAILURE
        }
    }
}

/// Runs `mode`, and prints and draws what it came to.
fn measure(mode: &Mode, common: &Common) -> Result<(), String> {
    // Where that is not allowed, all latencies are up to 50 us longer, with every broker.
    let _ = std::fs::write(TIMER_SLACK, "1");
    let plan = Arc::new(run::Plan::new(mode.clone(), common)?);
    let outcome = run::run(&plan)?;
    if let Some(failure) = outcome.failure {
        return Err(failure);
    }
    let summary = Summary::new(&plan, &outcome);
    if common.json {
        say(&serde_json::to_string(&summary).map_err(|error| error.to_string())?);
    } else {
        summary.print();
    }
    if let Some(path) = &common.report {
        write(path, &page::render(std::slice::from_ref(&summary)))?;
    }
    match summary.verified {
        Some(verified) if verified.faults > 0 => Err(format!("{} faults were found", verified.faults)),
        _ => Ok(()),
    }
}

/// Draws what earlier runs came to.
fn draw(options: &Page) -> Result<(), String> {
    let mut summaries = Vec::new();
    for path in &options.files {
        let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        for line in text.lines().filter(|line| line.contains("\"type\":\"summary\"")) {
            let summary: Summary =
                serde_json::from_str(line).map_err(|error| format!("{}: {error}", path.display()))?;
            summaries.push(summary);
        }
    }
    if summaries.is_empty() {
        return Err("the files hold no summary: make them with --json".to_owned());
    }
    write(&options.report, &page::render(&summaries))
}

fn write(path: &std::path::Path, text: &str) -> Result<(), String> {
    std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

/// Prints a line.
fn say(line: &str) {
    use std::io::Write;
    // A reader that is gone (a closed pipe) is no error worth a word.
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Prints a line to standard error.
fn say_error(line: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{line}");
}
