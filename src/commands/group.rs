//! `flumen group`: how far groups have come, how far they are behind, and why they rebalanced, as the broker itself knows it.

use clap::{Arg, ArgAction, ArgMatches, Command};

use super::{Outcome, lag, text, why};

/// The command's flags.
pub fn command() -> Command {
    let data = || {
        Arg::new("data")
            .long("data")
            .value_name("DIRECTORY")
            .default_value("./data")
            .help("The data directory of the broker, which must run on this machine")
    };
    let json = || Arg::new("json").long("json").action(ArgAction::SetTrue).help("Print JSON");
    let name = || Arg::new("name").value_name("GROUP").required(true).help("The group's id");
    Command::new("group")
        .about("Show how far groups have come, how far they are behind, and why they rebalanced")
        .subcommand_required(true)
        .subcommand(Command::new("list").about("List the groups").arg(data()).arg(json()))
        .subcommand(Command::new("describe").about("Describe a group").arg(data()).arg(json()).arg(name()))
        .subcommand(Command::new("why").about("Show why a group rebalanced lately").arg(data()).arg(json()).arg(name()))
}

/// Runs the subcommand.
pub fn run(matches: &ArgMatches) -> Outcome {
    match matches.subcommand() {
        Some(("list", matches)) => lag::list(text(matches, "data"), matches.get_flag("json")),
        Some(("describe", matches)) => {
            lag::describe(text(matches, "data"), text(matches, "name"), matches.get_flag("json"))
        }
        Some(("why", matches)) => why::why(text(matches, "data"), text(matches, "name"), matches.get_flag("json")),
        _ => Err("name a subcommand".to_owned()),
    }
}
