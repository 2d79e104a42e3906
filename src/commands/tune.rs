//! `flumen tune disk`: measures a device as the broker will use it, and says which settings follow.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use clap::{Arg, ArgMatches, Command};
use flumen::base::block::{Pool, Slice, Use};
use flumen::base::oneshot;
use flumen::base::time::Duration;
use flumen::base::units::{Bytes, KIB, MIB};
use flumen::io::file::File;
use flumen::io::op::{OpenMode, Slices};
use flumen::io::topology::Threads;
use flumen::io::{Handle, topology};

use super::{Outcome, say, say_error, text};

/// The file that is written and read; removed at the end.
const SCRATCH: &str = "flumen-tune.scratch";
/// Its size: several times what a device buffers for a moment.
const FILE_BYTES: u64 = 512 * MIB;
/// What fills it at first, so that only written extents are measured.
const FILL_BYTES: u64 = MIB;
const POOL_BYTES: usize = 256 << 20;
/// Sizes of durable writes: from a lone small group to a full one.
const WRITE_BYTES: [u64; 5] = [4 * KIB, 16 * KIB, 64 * KIB, 256 * KIB, MIB];
/// Writes in flight.
const DEPTHS: [usize; 4] = [1, 2, 4, 8];
/// Reads, which a lagging consumer causes, and how many are in flight.
const READ_BYTES: [u64; 3] = [64 * KIB, 256 * KIB, MIB];
const READ_DEPTHS: [usize; 2] = [1, 4];
/// A part of the best that counts as good.
const GOOD: f64 = 0.9;

/// The command's flags.
pub fn command() -> Command {
    let data = Arg::new("data")
        .long("data")
        .value_name("DIRECTORY")
        .default_value("./data")
        .help("A directory on the device; a scratch file is made there for the time of the measurement");
    let seconds = Arg::new("seconds")
        .long("seconds")
        .value_name("SECONDS")
        .default_value("60")
        .value_parser(clap::value_parser!(u64).range(2..=3600))
        .help("How long to measure, in all");
    let write = Arg::new("write").long("write").value_name("FILE").help("Write the settings to this file (TOML)");
    Command::new("tune").about("Measure this host and say which settings follow").subcommand_required(true).subcommand(
        Command::new("disk").about("Durable writes by size and depth, and reads").arg(data).arg(seconds).arg(write),
    )
}

/// Runs the subcommand.
pub fn run(matches: &ArgMatches) -> Outcome {
    let Some(("disk", matches)) = matches.subcommand() else { return Err("name what to tune: disk".to_owned()) };
    let directory = PathBuf::from(text(matches, "data"));
    std::fs::create_dir_all(&directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    let seconds = matches.get_one::<u64>("seconds").copied().unwrap_or(60);
    let steps = WRITE_BYTES.len() * DEPTHS.len() + READ_BYTES.len() * READ_DEPTHS.len();
    let step = Duration::from_millis(seconds * 1000 / steps as u64);
    let path = directory.join(SCRATCH);
    say_error(&format!("measuring {} for about {seconds} s", directory.display()));
    let measured = measure(&path, step);
    let removed = std::fs::remove_file(&path);
    let (writes, reads) = measured?;
    removed.map_err(|error| format!("{}: {error}", path.display()))?;
    print("durable writes", &writes);
    print("reads past the page cache", &reads);
    let settings = Settings::from(&writes);
    say("");
    let toml = settings.toml();
    say(&toml);
    if let Some(target) = matches.get_one::<String>("write") {
        std::fs::write(target, toml + "\n").map_err(|error| format!("{target}: {error}"))?;
    }
    Ok(())
}

/// What one size and depth came to.
#[derive(Clone, Copy, Debug)]
struct Figure {
    bytes: u64,
    depth: usize,
    per_second: f64,
    p50_us: u64,
    p99_us: u64,
}

impl Figure {
    fn bytes_per_second(&self) -> f64 {
        self.per_second * self.bytes as f64
    }
}

type Figures = Vec<Figure>;

fn measure(path: &Path, step: Duration) -> Result<(Figures, Figures), String> {
    let results = topology::run(Threads::new(1), &Pool::new(POOL_BYTES), |io| {
        let path = path.to_owned();
        async move { measure_all(&io, &path, step).await.map_err(|error| format!("{}: {error}", path.display())) }
    });
    let mut results = results.map_err(|error| error.to_string())?;
    results.pop().expect("one reactor ran")
}

async fn measure_all(io: &Handle, path: &Path, step: Duration) -> flumen::io::Result<(Figures, Figures)> {
    let mode = OpenMode { write: true, create: true, direct: true, ..OpenMode::default() };
    let file = File::open(io, path, mode).await?;
    let fill = block(io, FILL_BYTES)?;
    for at in (0..FILE_BYTES).step_by(FILL_BYTES as usize) {
        file.write_at(io, at, Slices::from_iter([fill.clone()]), false).await?;
    }
    file.sync(io, false).await?;
    let (mut writes, mut reads) = (Vec::new(), Vec::new());
    for bytes in WRITE_BYTES {
        for depth in DEPTHS {
            writes.push(one(io, &file, bytes, depth, step, true).await?);
        }
    }
    for bytes in READ_BYTES {
        for depth in READ_DEPTHS {
            reads.push(one(io, &file, bytes, depth, step, false).await?);
        }
    }
    Ok((writes, reads))
}

fn block(io: &Handle, bytes: u64) -> flumen::io::Result<Slice> {
    let block = io.pool().try_block(bytes as usize, Use::Staging).ok_or(flumen::io::ErrorKind::OutOfMemory)?;
    Ok(block.into_slice(bytes as usize))
}

/// Writes (as the journal does: one after the other in the file, durably) or reads for `step`.
async fn one(
    io: &Handle,
    file: &File,
    bytes: u64,
    depth: usize,
    step: Duration,
    writes: bool,
) -> flumen::io::Result<Figure> {
    let next = Rc::new(std::cell::Cell::new(0));
    let end = io.now() + step;
    let started = io.now();
    let mut ends = Vec::new();
    for _ in 0..depth {
        let (sender, receiver) = oneshot::channel();
        let (task_io, file, next) = (io.clone(), file.clone(), Rc::clone(&next));
        let content = block(io, bytes)?;
        io.spawn(async move { sender.send(lane(&task_io, &file, &content, &next, end, writes).await) });
        ends.push(receiver);
    }
    let mut latencies = Vec::new();
    for end in ends {
        latencies.extend(end.await.unwrap_or_else(|| Ok(Vec::new()))?);
    }
    let seconds = io.now().since(started).as_secs_f64().max(1e-9);
    latencies.sort_unstable();
    let at = |part: f64| latencies.get((latencies.len() as f64 * part) as usize).or(latencies.last()).copied();
    Ok(Figure {
        bytes,
        depth,
        per_second: latencies.len() as f64 / seconds,
        p50_us: at(0.5).unwrap_or(0),
        p99_us: at(0.99).unwrap_or(0),
    })
}

/// One operation after the other, until `end`; gives how long each took, in microseconds.
async fn lane(
    io: &Handle,
    file: &File,
    content: &Slice,
    next: &std::cell::Cell<u64>,
    end: flumen::base::time::Instant,
    writes: bool,
) -> flumen::io::Result<Vec<u64>> {
    let bytes = content.len() as u64;
    let mut latencies = Vec::new();
    while io.now() < end {
        let at = next.get();
        next.set((at + bytes) % (FILE_BYTES - FILE_BYTES % bytes));
        let started = io.now();
        if writes {
            file.write_at(io, at, Slices::from_iter([content.clone()]), true).await?;
        } else {
            let block = io.pool().try_block(bytes as usize, Use::Read).ok_or(flumen::io::ErrorKind::OutOfMemory)?;
            file.read_at(io, at, block, bytes as u32).await.1?;
        }
        latencies.push(io.now().since(started).as_micros() as u64);
    }
    Ok(latencies)
}

fn print(what: &str, figures: &[Figure]) {
    say("");
    say(&format!("{what:<28} {:>6} {:>10} {:>10} {:>9} {:>9}", "depth", "a second", "MB/s", "p50 us", "p99 us"));
    for figure in figures {
        say(&format!(
            "{:<28} {:>6} {:>10.0} {:>10.1} {:>9} {:>9}",
            Bytes(figure.bytes).to_string(),
            figure.depth,
            figure.per_second,
            figure.bytes_per_second() / 1e6,
            figure.p50_us,
            figure.p99_us
        ));
    }
}

/// The settings that follow from what was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Settings {
    groups_in_flight_max: usize,
    group_bytes_max: u64,
    direct_run_bytes_min: u64,
}

impl Settings {
    fn from(writes: &[Figure]) -> Settings {
        let best =
            |figures: &mut dyn Iterator<Item = &Figure>| figures.map(Figure::bytes_per_second).fold(0.0, f64::max);
        // Groups are of some ten KiB when many small batches come: the fewest in flight that get nearly all of the device.
        const GROUP_BYTES: u64 = 64 * KIB;
        let of_group = || writes.iter().filter(|figure| figure.bytes == GROUP_BYTES);
        let most = best(&mut of_group());
        let in_flight = of_group().find(|figure| figure.bytes_per_second() >= GOOD * most).map_or(4, |one| one.depth);
        // With one alone the next group waits until the last one is durable, and a busy core makes that long.
        let groups_in_flight_max = in_flight.max(2);
        let at_depth = || writes.iter().filter(move |figure| figure.depth == groups_in_flight_max);
        // The smallest group that gets nearly all of the device at that depth.
        let most = best(&mut at_depth());
        let full = at_depth().find(|figure| figure.bytes_per_second() >= GOOD * most);
        let group_bytes_max = full.map_or(MIB, |figure| figure.bytes).max(256 * KIB);
        // A run of its own costs the device one more operation. In the journal its bytes are written twice, in large
        // writes: it pays from the size on at which the operation takes no longer than that.
        // Never below 32 KiB: each run is a flush of its own, and a device that others use, too, serves flushes one by one.
        const RUN_BYTES_MIN: u64 = 32 * KIB;
        let pays = |figure: &&Figure| 1.0 / figure.per_second <= 2.0 * figure.bytes as f64 / most;
        let direct_run_bytes_min = at_depth().find(pays).map_or(MIB, |figure| figure.bytes).max(RUN_BYTES_MIN);
        Settings { groups_in_flight_max, group_bytes_max, direct_run_bytes_min }
    }

    fn toml(self) -> String {
        format!(
            "[storage]\ngroups_in_flight_max = {}\ngroup_bytes_max = \"{}\"\ndirect_run_bytes_min = \"{}\"",
            self.groups_in_flight_max,
            Bytes(self.group_bytes_max),
            Bytes(self.direct_run_bytes_min)
        )
    }
}

#[cfg(test)]
mod tests;
