//! `flumen group list` and `describe`: how far groups have come, and how far they are behind, as the broker itself knows it.

use flumen::broker::lag::{GroupLag, LAG_SOCKET, Page, PartitionLag};

use super::{Outcome, ask, say};

fn page(data: &str, question: &str) -> Result<Page, String> {
    let page: Page = ask::read(&ask::ask(data, LAG_SOCKET, question)?)?;
    match page.error {
        Some(error) => Err(error),
        None => Ok(page),
    }
}

/// Lists all groups of the broker whose data is at `data`.
pub fn list(data: &str, json: bool) -> Outcome {
    let mut groups: Vec<GroupLag> = Vec::new();
    loop {
        let after = groups.last().map(|last| last.group.clone()).unwrap_or_default();
        let Page { groups: some, more, .. } = page(data, &format!("list {after}"))?;
        let ends = !more || some.is_empty();
        groups.extend(some);
        if ends {
            return print_groups(&groups, json);
        }
    }
}

/// Describes one group, partition by partition.
pub fn describe(data: &str, name: &str, json: bool) -> Outcome {
    let found = page(data, &format!("describe {name}"))?.groups.pop();
    print_group(&found.ok_or("the broker tells of no group")?, json)
}

fn print_json<T: serde::Serialize + ?Sized>(value: &T) -> Outcome {
    let json = serde_json::to_string_pretty(value).map_err(|error| error.to_string())?;
    say(&json);
    Ok(())
}

fn print_groups(groups: &[GroupLag], json: bool) -> Outcome {
    if json {
        return print_json(groups);
    }
    say(&format!(
        "{:<40} {:<8} {:<20} {:>7} {:>10} {:>12} {:>12}",
        "GROUP", "TYPE", "STATE", "MEMBERS", "PARTITIONS", "BEHIND", "SECONDS"
    ));
    for group in groups {
        let seconds = seconds(Some(group.ms));
        say(&format!(
            "{:<40} {:<8} {:<20} {:>7} {:>10} {:>12} {seconds:>12}",
            group.group,
            group.kind,
            group.state,
            group.members,
            group.partitions.len(),
            group.records
        ));
    }
    Ok(())
}

fn print_group(group: &GroupLag, json: bool) -> Outcome {
    if json {
        return print_json(group);
    }
    say(&format!(
        "group {}: {}, {}, {} members, {} records behind, {} s",
        group.group,
        group.kind,
        group.state,
        group.members,
        group.records,
        seconds(Some(group.ms))
    ));
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
