//! `flumen serve`: the broker.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use clap::ArgMatches;
use flumen::base::block::Pool;
use flumen::base::units::Bytes;
use flumen::broker::config::Config;
use flumen::broker::message::Message;
use flumen::broker::startup::{self, RunError};
use flumen::io::mesh::{self, Port};
use flumen::io::topology::{self, Threads};
use tracing_subscriber::EnvFilter;

use super::{Outcome, options};

/// The file whose lock says that a broker runs on the data directory.
const LOCK_FILE: &str = ".lock";
/// How long a start waits for the lock of a broker that is no more, how often it looks, and after which time it says so.
const LOCK_WAIT_MAX: Duration = Duration::from_secs(60);
const LOCK_RETRY: Duration = Duration::from_millis(2);
const LOCK_WAIT_TOLD: Duration = Duration::from_secs(1);

/// Runs the broker until it is asked to stop.
pub fn run(matches: &ArgMatches) -> Outcome {
    let config = Arc::new(options::load(matches)?);
    let filter = EnvFilter::try_new(&config.log_level).map_err(|error| format!("log.level: {error}"))?;
    // Nobody reads the log any more (a closed pipe): that is no reason to end.
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    log.log_internal_errors(false).init();
    std::fs::create_dir_all(&config.data_directory)
        .map_err(|error| format!("{}: {error}", config.data_directory.display()))?;
    let lock = lock(&config.data_directory)?;
    announce(&config);
    let memory = usize::try_from(config.memory_bytes).map_err(|_| "memory: more than this machine can address")?;
    let pool = Pool::new(memory);
    let ports: Vec<Mutex<Option<Port<Message>>>> =
        mesh::ports(config.reactors).into_iter().map(|port| Mutex::new(Some(port))).collect();
    let threads = Threads { reactors: config.reactors, pin: config.pin_cores, spin: config.spin, held: Some(&lock) };
    let results = topology::run(threads, &pool, |io| {
        let port = ports[usize::from(io.reactor_id())].lock().ok().and_then(|mut port| port.take());
        let port = port.expect("each reactor takes its port once");
        let (config, leads) = (Arc::clone(&config), io.reactor_id() == 0);
        async move {
            let result = startup::run(io, port, config).await;
            if let Err(error @ RunError::Start(_)) = &result
                && leads
            {
                // The other reactors wait for what they are to do, and would wait for ever.
                tracing::error!("{error}");
                std::process::exit(1);
            }
            result
        }
    });
    let results = results.map_err(|error| format!("the reactors cannot be started: {error}"))?;
    results.into_iter().collect::<Result<Vec<()>, _>>().map_err(|error| error.to_string())?;
    Ok(())
}

/// Takes the data directory for this process, until the file is closed and the last write of its rings has ended: a broker
/// that was killed may have left writes with the disk, and they must not arrive when the next one has looked.
#[allow(clippy::disallowed_methods, reason = "no reactor runs yet, and the lock is the machine's")]
fn lock(directory: &Path) -> Result<File, String> {
    let path = directory.join(LOCK_FILE);
    let told = |error: std::io::Error| format!("{}: {error}", path.display());
    let open = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path);
    let mut file = open.map_err(told)?;
    let (began, mut waits) = (Instant::now(), false);
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::Error(error)) => return Err(told(error)),
            Err(TryLockError::WouldBlock) if holder(&mut file).is_some_and(is_running) => {
                return Err(format!(
                    "another broker runs on {}: stop it, or use a directory of its own",
                    directory.display()
                ));
            }
            Err(TryLockError::WouldBlock) if began.elapsed() >= LOCK_WAIT_MAX => {
                return Err(format!(
                    "{} is still in use after {} s: another broker runs on it, or writes of one that was killed do not end",
                    directory.display(),
                    LOCK_WAIT_MAX.as_secs()
                ));
            }
            Err(TryLockError::WouldBlock) => {
                if !waits && began.elapsed() >= LOCK_WAIT_TOLD {
                    tracing::warn!(
                        "writes of the broker that ran here before are still on their way: waiting for them"
                    );
                    waits = true;
                }
                std::thread::sleep(LOCK_RETRY);
            }
        }
    }
    // Who holds the lock is for those who find it taken. On a full disk it may not be said.
    let said = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{}", std::process::id()));
    if let Err(error) = said {
        tracing::debug!("{}: {error}", path.display());
    }
    Ok(file)
}

/// The process that says in the lock file that it holds it.
fn holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.rewind().and_then(|()| file.read_to_string(&mut text)).ok()?;
    text.trim().parse().ok()
}

/// Whether another process of this number and program runs, and is not one that has ended and waits for its parent to notice.
/// In a container each broker may have the same number.
fn is_running(process: u32) -> bool {
    let read = |process: &str, name: &str| std::fs::read_to_string(format!("/proc/{process}/{name}")).ok();
    let number = process.to_string();
    let stat = read(&number, "stat").unwrap_or_default();
    let state = stat.rsplit(") ").next().and_then(|rest| rest.chars().next());
    let runs = state.is_some_and(|state| !matches!(state, 'Z' | 'X'));
    runs && process != std::process::id() && read(&number, "comm") == read("self", "comm")
}

fn announce(config: &Config) {
    tracing::info!(
        version = flumen::broker::VERSION,
        node_id = config.node_id,
        data = %config.data_directory.display(),
        reactors = config.reactors,
        memory = %Bytes(config.memory_bytes),
        backend = "io_uring",
        "starting"
    );
}
