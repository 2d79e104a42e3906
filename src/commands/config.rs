//! `flumen config`: the configuration in effect, each value with where it comes from.

use clap::{Arg, ArgAction, ArgMatches, Command};

use super::{Outcome, options, say};

/// The command's flags: those of the broker.
pub fn command() -> Command {
    options::add(
        Command::new("config").about("Print the configuration in effect, as a file, with the origin of each value"),
    )
    .arg(Arg::new("reference").long("reference").action(ArgAction::SetTrue).help("Print what every key means instead"))
}

/// Prints it.
pub fn run(matches: &ArgMatches) -> Outcome {
    if matches.get_flag("reference") {
        say(&flumen::broker::config::reference());
        return Ok(());
    }
    options::load(matches)?.print().iter().for_each(|line| say(line));
    Ok(())
}
