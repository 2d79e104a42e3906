//! Why a group rebalanced lately, for `flumen group why`.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use flumen::broker::why::{GROUPS_SOCKET, RebalanceReport, Rebalances};

use super::{Outcome, say};

/// How long the broker may take to answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Prints the last rebalances of a group.
pub fn why(data: &str, group: &str, as_json: bool) -> Outcome {
    let json = ask(&Path::new(data).join(GROUPS_SOCKET), group)?;
    let answer: Rebalances =
        serde_json::from_str(&json).map_err(|error| format!("the broker's answer cannot be read: {error}"))?;
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

fn ask(socket: &Path, group: &str) -> Result<String, String> {
    let failed = |error: std::io::Error| format!("{}: {error}: does the broker run?", socket.display());
    let mut stream = UnixStream::connect(socket).map_err(failed)?;
    stream.set_read_timeout(Some(TIMEOUT)).map_err(failed)?;
    stream.write_all(format!("{group}\n").as_bytes()).map_err(failed)?;
    let mut json = String::new();
    stream.read_to_string(&mut json).map_err(failed)?;
    Ok(json)
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
