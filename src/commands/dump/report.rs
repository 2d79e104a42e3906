//! What a dump prints: lines, problems, and the bar that tells how far it has come.

use std::io::{BufWriter, IsTerminal, Stdout, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use flumen::base::units::Bytes;

/// How long the work goes on before a bar is worth a line.
const BAR_AFTER: Duration = Duration::from_millis(500);
/// How often the bar is drawn.
const BAR_EVERY: Duration = Duration::from_millis(100);
/// Cells of the bar.
const BAR_CELLS: u64 = 30;

/// What was seen, for the last line.
#[derive(Default)]
pub struct Counts {
    pub files: u64,
    pub batches: u64,
    pub records: u64,
    pub index_entries: u64,
    pub groups: u64,
    pub problems: u64,
}

/// Where a dump's findings go.
pub struct Report {
    out: BufWriter<Stdout>,
    verify: bool,
    pub counts: Counts,
    bar: Option<Bar>,
}

impl Report {
    /// A report that prints problems alone when `verify`. The bar goes to standard error if that is a terminal that the
    /// lines do not go to as well.
    pub fn new(verify: bool) -> Report {
        let out = std::io::stdout();
        let bar = (std::io::stderr().is_terminal() && (verify || !out.is_terminal())).then(Bar::new);
        Report { out: BufWriter::new(out), verify, counts: Counts::default(), bar }
    }

    /// Prints what was found.
    pub fn line(&mut self, line: impl FnOnce() -> String) {
        if !self.verify {
            self.print(&line());
        }
    }

    /// Prints damage: what is wrong, in which file and where, in bytes from its start.
    pub fn problem(&mut self, path: &Path, position: u64, why: &str) {
        self.counts.problems += 1;
        if let Some(bar) = &mut self.bar {
            bar.clear();
        }
        self.print(&format!("CORRUPT {} at position {position}: {why}", path.display()));
    }

    /// Prints how much was seen.
    pub fn summary(&mut self) {
        if let Some(bar) = &mut self.bar {
            bar.clear();
        }
        let Counts { files, batches, records, index_entries, groups, problems } = self.counts;
        self.print(&format!(
            "{files} files: {batches} batches of {records} records, {index_entries} index entries, {groups} live journal \
             groups; {problems} problems"
        ));
        self.check(|out| out.flush());
    }

    /// How many bytes all files have together.
    pub fn expect_bytes(&mut self, bytes: u64) {
        if let Some(bar) = &mut self.bar {
            bar.total = bytes;
        }
    }

    /// Notes that `bytes` are done.
    pub fn advance(&mut self, bytes: u64) {
        if let Some(bar) = &mut self.bar {
            bar.advance(bytes);
        }
    }

    fn print(&mut self, line: &str) {
        self.check(|out| writeln!(out, "{line}"));
    }

    /// Nobody reads on (a closed pipe): there is nothing left to do, and no error.
    fn check(&mut self, write: impl FnOnce(&mut BufWriter<Stdout>) -> std::io::Result<()>) {
        if write(&mut self.out).is_err() {
            std::process::exit(0);
        }
    }
}

/// Bytes done of all bytes.
struct Bar {
    total: u64,
    done: u64,
    started: Instant,
    drawn: Option<Instant>,
}

#[allow(clippy::disallowed_methods, reason = "this process has no reactor whose clock it could read")]
fn now() -> Instant {
    Instant::now()
}

impl Bar {
    fn new() -> Bar {
        Bar { total: 0, done: 0, started: now(), drawn: None }
    }

    fn advance(&mut self, bytes: u64) {
        self.done += bytes;
        let now = now();
        let due = self.drawn.map_or(self.started + BAR_AFTER, |drawn| drawn + BAR_EVERY);
        if now >= due {
            self.drawn = Some(now);
            let _ = write!(std::io::stderr(), "\r{}\x1b[K", bar(self.done, self.total));
        }
    }

    /// Takes the bar away, so that a line can be printed; the next advance draws it again.
    fn clear(&mut self) {
        if self.drawn.take().is_some() {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

/// The bar's text.
fn bar(done: u64, total: u64) -> String {
    let done = done.min(total);
    let cells = (done * BAR_CELLS).checked_div(total).unwrap_or(BAR_CELLS);
    let full = "#".repeat(cells as usize);
    let percent = (done * 100).checked_div(total).unwrap_or(100);
    format!("[{full:<width$}] {percent:>3} %  {} of {}", Bytes(done), Bytes(total), width = BAR_CELLS as usize)
}

#[cfg(test)]
mod tests {
    use super::bar;

    #[test]
    fn the_bar_fills_up() {
        assert!(bar(0, 1000).starts_with("[                              ]   0 %"));
        assert!(bar(500, 1000).starts_with("[###############               ]  50 %"));
        assert!(bar(2000, 1000).starts_with("[##############################] 100 %"));
        assert!(bar(0, 0).contains("100 %"));
    }
}
