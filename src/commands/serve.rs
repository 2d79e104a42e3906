//! `flumen serve`: the broker.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;
use std::sync::{Arc, Mutex};

use clap::ArgMatches;
use flumen::base::block::Pool;
use flumen::base::units::Bytes;
use flumen::broker::config::Config;
use flumen::broker::message::Message;
use flumen::broker::startup::{self, RunError};
use flumen::io::mesh::{self, Port};
use flumen::io::topology;
use tracing_subscriber::EnvFilter;

use super::{Outcome, options};

/// The file whose lock says that a broker runs on the data directory.
const LOCK_FILE: &str = ".lock";

/// Runs the broker until it is asked to stop.
pub fn run(matches: &ArgMatches) -> Outcome {
    let config = Arc::new(options::load(matches)?);
    let filter = EnvFilter::try_new(&config.log_level).map_err(|error| format!("log.level: {error}"))?;
    // Nobody reads the log any more (a closed pipe): that is no reason to end.
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    log.log_internal_errors(false).init();
    std::fs::create_dir_all(&config.data_directory)
        .map_err(|error| format!("{}: {error}", config.data_directory.display()))?;
    let _lock = lock(&config.data_directory)?;
    announce(&config);
    let memory = usize::try_from(config.memory_bytes).map_err(|_| "memory: more than this machine can address")?;
    let pool = Pool::new(memory);
    let ports: Vec<Mutex<Option<Port<Message>>>> =
        mesh::ports(config.reactors).into_iter().map(|port| Mutex::new(Some(port))).collect();
    let results = topology::run(config.reactors, config.pin_cores, &pool, |io| {
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

/// Takes the data directory for this process, until the file is closed.
fn lock(directory: &Path) -> Result<File, String> {
    let path = directory.join(LOCK_FILE);
    let open = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
    let file = open.map_err(|error| format!("{}: {error}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err(format!("another broker runs on {}: stop it, or use a directory of its own", directory.display()))
        }
        Err(TryLockError::Error(error)) => Err(format!("{}: {error}", path.display())),
    }
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
