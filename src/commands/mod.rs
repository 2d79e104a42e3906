//! The command line.
//!
//! **Owns:** flags, what is printed, and what only a process as a whole can do: reading the configuration's file and the
//! environment, locking the data directory, starting the reactors.
//!
//! **Never:** decides anything about data; talks to a broker but through its protocol or its statistics socket.
//!
//! **Start reading at** [`serve`].

use std::process::ExitCode;

use clap::{Arg, ArgMatches, Command};

mod ask;
mod client;
mod config;
mod dump;
mod group;
mod lag;
mod options;
mod serve;
mod stats;
mod topic;
mod tune;
mod txn;
mod why;

/// What a command came to: nothing, or the sentence to print before the process ends with an error.
type Outcome = Result<(), String>;

/// Runs the command that the arguments name.
pub fn run() -> ExitCode {
    let matches = command().get_matches();
    let outcome = match matches.subcommand() {
        None => serve::run(&matches),
        Some(("serve", matches)) => serve::run(matches),
        Some(("config", matches)) => config::run(matches),
        Some(("dump", matches)) => dump::run(matches),
        Some(("group", matches)) => group::run(matches),
        Some(("stats", matches)) => stats::run(matches),
        Some(("topic", matches)) => topic::run(matches),
        Some(("txn", matches)) => txn::run(matches),
        Some(("tune", matches)) => tune::run(matches),
        Some((other, _)) => Err(format!("there is no command '{other}'")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            say_error(&format!("flumen: {message}"));
            ExitCode::FAILURE
        }
    }
}

fn command() -> Command {
    options::add(Command::new("flumen"))
        .about("A Kafka-protocol log broker. Without a command it serves.")
        .version(flumen::broker::VERSION)
        .args_conflicts_with_subcommands(true)
        .subcommand(options::add(Command::new("serve").about("Run the broker (the same as no command)")))
        .subcommand(config::command())
        .subcommand(dump::command())
        .subcommand(group::command())
        .subcommand(stats::command())
        .subcommand(topic::command())
        .subcommand(tune::command())
        .subcommand(txn::command())
}

/// The flag that names the brokers to ask.
fn bootstrap() -> Arg {
    Arg::new("bootstrap")
        .long("bootstrap")
        .value_name("HOST:PORT")
        .default_value("127.0.0.1:9092")
        .help("A broker to ask")
}

fn text<'a>(matches: &'a ArgMatches, name: &str) -> &'a str {
    matches.get_one::<String>(name).map_or("", String::as_str)
}

/// Prints a line.
#[allow(clippy::print_stdout, reason = "the command line prints")]
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
