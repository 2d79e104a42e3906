//! Why a group rebalanced lately, for `flumen group why`.

use flumen::broker::why::{GROUPS_SOCKET, RebalanceReport, Rebalances};

use super::{Outcome, ask, say};

/// Prints the last rebalances of a group.
pub fn why(data: &str, group: &str, as_json: bool) -> Outcome {
    let json = ask::ask(data, GROUPS_SOCKET, group)?;
    let answer: Rebalances = ask::read(&json)?;
    if as_json {
        say(&json);
        return Ok(());
    }
    if let Some(error) = answer.error {
        return Err(error);
    }
    if answer.rebalances.is_empty() {
        say("no rebalance since the broker started");
    }
    answer.rebalances.iter().for_each(|rebalance| say(&shown(rebalance)));
    Ok(())
}

fn shown(rebalance: &RebalanceReport) -> String {
    let seconds = rebalance.started_ms.div_euclid(1000);
    let mut line = format!(
        "{seconds}  generation {}  {} members  {} after {} ms: {}",
        rebalance.generation, rebalance.members, rebalance.outcome, rebalance.duration_ms, rebalance.cause
    );
    if !rebalance.member_id.is_empty() {
        line += &format!("  (client {} at {})", rebalance.client_id, rebalance.client_host);
    }
    line
}
