//! `flumen group`: how far groups have come, and how far they are behind, as the broker itself knows it.

use std::path::Path;

use clap::{Arg, ArgAction, ArgMatches, Command};
use flumen::broker::accept::STATS_SOCKET;
use flumen::broker::lag::{GroupLag, PartitionLag};

use super::{Outcome, say, stats, text};

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
    let name = Arg::new("name").value_name("GROUP").required(true).help("The group's id");
    Command::new("group")
        .about("Show how far groups have come and how far they are behind")
        .subcommand_required(true)
        .subcommand(Command::new("list").about("List the groups").arg(data()).arg(json()))
        .subcommand(Command::new("describe").about("Describe a group").arg(data()).arg(json()).arg(name))
}

/// Runs the subcommand.
pub fn run(matches: &ArgMatches) -> Outcome {
    let Some((action, matches)) = matches.subcommand() else { return Err("name a subcommand".to_owned()) };
    let socket = Path::new(text(matches, "data")).join(STATS_SOCKET);
    let groups = stats::snapshot(&socket)?.groups;
    let json = matches.get_flag("json");
    match action {
        "list" => list(&groups, json),
        "describe" => describe(&groups, text(matches, "name"), json),
        other => Err(format!("there is no subcommand '{other}'")),
    }
}

fn print_json<T: serde::Serialize + ?Sized>(value: &T) -> Outcome {
    let json = serde_json::to_string_pretty(value).map_err(|error| error.to_string())?;
    say(&json);
    Ok(())
}

fn list(groups: &[GroupLag], json: bool) -> Outcome {
    if json {
        return print_json(groups);
    }
    say(&format!("{:<40} {:>10} {:>12} {:>12}", "GROUP", "PARTITIONS", "BEHIND", "SECONDS"));
    for group in groups {
        let seconds = seconds(Some(group.ms));
        say(&format!("{:<40} {:>10} {:>12} {seconds:>12}", group.group, group.partitions.len(), group.records));
    }
    Ok(())
}

fn describe(groups: &[GroupLag], name: &str, json: bool) -> Outcome {
    let group = groups.iter().find(|group| group.group == name);
    let group = group.ok_or_else(|| format!("group '{name}' has committed no offset, or there is no such group"))?;
    if json {
        return print_json(group);
    }
    say(&format!("group {}: {} records behind, {} s", group.group, group.records, seconds(Some(group.ms))));
    say(&format!(
        "{:<40} {:>9} {:>14} {:>14} {:>12} {:>12} {:>14}",
        "TOPIC", "PARTITION", "OFFSET", "END", "BEHIND", "SECONDS", "COMMITTED AGO"
    ));
    group.partitions.iter().for_each(print_partition);
    Ok(())
}

fn print_partition(partition: &PartitionLag) {
    let shown = |number: Option<i64>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
    say(&format!(
        "{:<40} {:>9} {:>14} {:>14} {:>12} {:>12} {:>14}",
        partition.topic,
        partition.partition,
        partition.offset,
        shown(partition.end),
        shown(partition.records),
        seconds(partition.ms),
        seconds(Some(partition.committed_ago_ms)),
    ));
}

/// Milliseconds as seconds with one digit behind the point.
fn seconds(ms: Option<i64>) -> String {
    ms.map_or_else(|| "-".to_owned(), |ms| format!("{}.{}", ms / 1000, ms % 1000 / 100))
}
