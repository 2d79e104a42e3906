//! `flumen txn`: which transaction holds back the consumers of a partition, and its safe end.

use clap::{Arg, ArgAction, ArgMatches, Command};
use flumen::broker::holder::{ABORT, HeldTransaction, Holder, StableOffset, TRANSACTIONS_SOCKET, WHY};

use super::{Outcome, ask, say, text};

/// The command's flags.
pub fn command() -> Command {
    let data = Arg::new("data")
        .long("data")
        .value_name("DIRECTORY")
        .default_value("./data")
        .help("The data directory of the broker, which must run on this machine");
    let json = Arg::new("json").long("json").action(ArgAction::SetTrue).help("Print JSON");
    let abort = Arg::new("abort")
        .long("abort")
        .action(ArgAction::SetTrue)
        .help("Abort that transaction, as its coordinator does when its time is over: its producer is fenced");
    let name = Arg::new("name").value_name("TOPIC-PARTITION").required(true).help("The partition");
    let why = Command::new("why").about("Show which transaction holds the last stable offset of a partition");
    Command::new("txn")
        .about("Show which transaction holds back the consumers of a partition, and abort it")
        .subcommand_required(true)
        .subcommand(why.arg(data).arg(json).arg(abort).arg(name))
}

/// Runs the subcommand.
pub fn run(matches: &ArgMatches) -> Outcome {
    let Some(("why", matches)) = matches.subcommand() else { return Err("name a subcommand".to_owned()) };
    let verb = if matches.get_flag("abort") { ABORT } else { WHY };
    let question = format!("{verb} {}", text(matches, "name"));
    let json = ask::ask(text(matches, "data"), TRANSACTIONS_SOCKET, &question)?;
    let answer: StableOffset = ask::read(&json)?;
    if matches.get_flag("json") {
        say(&json);
        return answer.error.map_or(Ok(()), Err);
    }
    if let Some(error) = answer.error {
        return Err(error);
    }
    let StableOffset { high_watermark, last_stable_offset, .. } = answer;
    let name = format!("{}-{}", answer.topic, answer.partition);
    let Some(holder) = &answer.holder else {
        say(&format!("{name}: no transaction is open; read_committed reads up to {last_stable_offset}"));
        return Ok(());
    };
    say(&format!(
        "{name}: read_committed reads up to {last_stable_offset} of {high_watermark}{}",
        if answer.aborted { ", after this transaction was aborted:" } else { ", held back by" }
    ));
    shown(holder).iter().for_each(|line| say(line));
    let others = answer.open.saturating_sub(usize::from(!answer.aborted));
    if others > 0 {
        say(&format!("  {others} more transactions are open in the partition"));
    }
    Ok(())
}

fn shown(holder: &Holder) -> Vec<String> {
    let mut lines = vec![format!(
        "  producer {} at epoch {}: open from offset {}, last batch {}",
        holder.producer_id,
        holder.producer_epoch,
        holder.first_offset,
        seconds_of_day(holder.last_timestamp)
    )];
    match &holder.transaction {
        Some(transaction) => lines.extend(shown_transaction(transaction)),
        None => lines.push("  no coordinator knows this producer".to_owned()),
    }
    if holder.hangs {
        lines.push("  it hangs: no coordinator will end it here; only --abort does".to_owned());
    }
    lines
}

fn shown_transaction(transaction: &HeldTransaction) -> Vec<String> {
    let client = if transaction.client_id.is_empty() && transaction.client_host.is_empty() {
        "a client that was not heard of since the broker started".to_owned()
    } else {
        format!("client {} at {}", transaction.client_id, transaction.client_host)
    };
    let since = if transaction.started_ms < 0 {
        "no transaction is open there".to_owned()
    } else {
        format!(
            "begun {}, {} s ago, of {} s that it may take",
            seconds_of_day(transaction.started_ms),
            transaction.open_ms / 1000,
            transaction.timeout_ms / 1000
        )
    };
    vec![
        format!("  transactional id {}, from {client}", transaction.transactional_id),
        format!(
            "  coordinator: {} at epoch {}, over {} partitions; {since}",
            transaction.state, transaction.producer_epoch, transaction.partitions
        ),
    ]
}

/// A time in milliseconds since 1970, as seconds, as other commands print it.
fn seconds_of_day(ms: i64) -> String {
    format!("at {}", ms.div_euclid(1000))
}
