//! Log lines about what is refused, at a bounded rate: a client in a loop must not fill the disk with them.

use std::cell::Cell;

use crate::base::time::{Duration, Instant};
use crate::io::Handle;

/// Lines that one period may bring.
const LINES_PER_PERIOD: u32 = 20;
/// The length of a period.
const PERIOD: Duration = Duration::from_secs(10);

/// The refusals of one reactor.
#[derive(Default)]
pub struct RefusalLog {
    period_start: Cell<Instant>,
    lines: Cell<u32>,
    suppressed: Cell<u64>,
    refusals: Cell<u64>,
}

impl RefusalLog {
    /// Logs the sentence that `line` makes, unless the period has had its lines.
    pub fn log(&self, io: &Handle, line: impl FnOnce() -> String) {
        if self.admit(io.now()) {
            tracing::info!("{}", printable(&line()));
        }
    }

    /// Refusals so far.
    pub fn count(&self) -> u64 {
        self.refusals.get()
    }

    fn admit(&self, now: Instant) -> bool {
        self.refusals.set(self.refusals.get() + 1);
        if now.since(self.period_start.get()) >= PERIOD {
            self.period_start.set(now);
            self.lines.set(0);
            let suppressed = self.suppressed.take();
            if suppressed > 0 {
                tracing::info!("{suppressed} further refusals were not logged in the last {} s", PERIOD.as_secs());
            }
        }
        if self.lines.get() >= LINES_PER_PERIOD {
            self.suppressed.set(self.suppressed.get() + 1);
            return false;
        }
        self.lines.set(self.lines.get() + 1);
        true
    }
}

/// A line of at most so many characters, in which nothing moves the cursor or begins another line: clients choose parts
/// of it.
fn printable(line: &str) -> String {
    const CHARACTERS_MAX: usize = 1000;
    let mut printable = String::with_capacity(line.len().min(CHARACTERS_MAX));
    for character in line.chars().take(CHARACTERS_MAX) {
        if character.is_control() {
            printable.extend(character.escape_default());
        } else {
            printable.push(character);
        }
    }
    printable
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_has_so_many_lines() {
        let log = RefusalLog::default();
        let start = Instant(100 * 1_000_000_000);
        let admitted = (0..100).filter(|_| log.admit(start)).count();
        assert_eq!(admitted, LINES_PER_PERIOD as usize);
        assert!(log.admit(start + PERIOD));
        assert_eq!(log.count(), 101);
    }

    #[test]
    fn lines_stay_lines() {
        assert_eq!(printable("topic 'a\nb\u{1b}[2J ü'"), "topic 'a\\nb\\u{1b}[2J ü'");
        assert_eq!(printable(&"x".repeat(5000)).len(), 1000);
    }
}
