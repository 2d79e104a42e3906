//! What the kernel counts for a process on this machine.

use std::fs;

use serde::{Deserialize, Serialize};

/// Ticks of `/proc/PID/stat` in a second: `USER_HZ`, which is 100 on every Linux architecture in use.
const TICKS_PER_SECOND: f64 = 100.0;

/// One look at a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// CPU seconds, in user mode and in the kernel, of all its threads; kernel workers of its rings are threads of it.
    pub cpu_s: f64,
    /// Resident bytes now, and at most so far.
    pub resident_bytes: u64,
    pub resident_bytes_peak: u64,
    /// Bytes that went to and came from the disk.
    pub written_bytes: u64,
    pub read_bytes: u64,
    /// Threads.
    pub threads: u64,
}

/// Looks at process `pid`.
///
/// # Errors
/// What cannot be read, with the reason.
pub fn usage(pid: &str) -> Result<Usage, String> {
    let read = |name: &str| {
        let path = format!("/proc/{pid}/{name}");
        fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))
    };
    let (stat, status) = (read("stat")?, read("status")?);
    // The traffic of other users' processes may be hidden; the rest is worth having.
    let traffic = read("io").unwrap_or_default();
    Ok(Usage {
        cpu_s: cpu_seconds(&stat).ok_or_else(|| format!("/proc/{pid}/stat: not as expected"))?,
        resident_bytes: field(&status, "VmRSS:") << 10,
        resident_bytes_peak: field(&status, "VmHWM:") << 10,
        written_bytes: field(&traffic, "write_bytes:"),
        read_bytes: field(&traffic, "read_bytes:"),
        threads: field(&status, "Threads:"),
    })
}

/// The sum of user and system time. The name of the program, in parentheses, may hold blanks.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, behind_name) = stat.rsplit_once(')')?;
    /// utime and stime are fields 14 and 15; the state, field 3, comes first behind the name.
    const USER_TIME: usize = 11;
    let mut fields = behind_name.split_whitespace().skip(USER_TIME);
    let ticks = fields.next()?.parse::<f64>().ok()? + fields.next()?.parse::<f64>().ok()?;
    Some(ticks / TICKS_PER_SECOND)
}

fn field(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
