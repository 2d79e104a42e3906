//! What a crash left behind: at start directories of deleted partitions, while the broker runs files of segments that their
//! log has given up, and temporary files. Whatever has another name than Flumen gives is left alone.

use std::collections::BTreeSet;
use std::path::Path;
use std::rc::Rc;

use super::directory::{DOOMED_SUFFIX, Kind, parse_file_name, remove_tree};
use super::log::Log;
use super::recovery::{StartError, at};
use super::storage::Storage;
use crate::base::time::Duration;
use crate::io::Handle;
use crate::io::file;
use crate::io::{ErrorKind, Result};
use crate::model::offset::Offset;

/// How soon after the start the first sweep begins.
const FIRST_AFTER: Duration = Duration::from_secs(15);
/// How long after a sweep the next one begins: a file that could not be removed is tried again.
const INTERVAL: Duration = Duration::from_secs(3600);

/// The file that write-back makes in each partition's directory when it is first there.
const EPOCHS_FILE: &str = "leader-epoch-checkpoint";

/// Goes through the data directory at start, given the directories of the logs that were recovered, those that are set
/// aside among them: removes those that a deletion has left, and refuses when there are files of a log that no checkpoint and no journal knows any more.
///
/// # Errors
/// [`StartError`].
pub(super) async fn check_directories(
    io: &Handle,
    data: &Path,
    known: &BTreeSet<String>,
) -> std::result::Result<(), StartError> {
    for name in at(data, file::list(io, data).await)? {
        let path = data.join(&name);
        let is_doomed = name.strip_suffix(DOOMED_SUFFIX).is_some_and(is_unique);
        if known.contains(&name) || (!is_doomed && !is_partition(&name)) {
            continue;
        }
        if !at(&path, file::stat(io, &path).await)?.is_some_and(|stat| stat.directory) {
            continue;
        }
        if is_doomed {
            at(&path, remove_tree(io, &path).await)?;
            tracing::info!("{}: removed what was left of a deleted partition", path.display());
        } else if at(&path, file::stat(io, &path.join(EPOCHS_FILE)).await)?.is_some() {
            // Only write-back makes this file, and a record of the checkpoint or the journal speaks of that.
            return Err(StartError::Unknown { path });
        }
    }
    Ok(())
}

/// Whether it is a partition's id as [`super::directory::name_aside`] writes it: 22 characters of a uuid, the index.
fn is_unique(text: &str) -> bool {
    const UUID_CHARS: usize = 22;
    let Some((uuid, index)) = text.split_at_checked(UUID_CHARS) else { return false };
    let is_of_uuid = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    uuid.bytes().all(is_of_uuid) && index.strip_prefix('-').is_some_and(|index| index.parse::<u32>().is_ok())
}

/// Whether a partition's directory may have this name: `TOPIC-INDEX`.
fn is_partition(name: &str) -> bool {
    name.rsplit_once('-').is_some_and(|(topic, index)| !topic.is_empty() && index.parse::<u32>().is_ok())
}

impl Storage {
    /// The task that sweeps, for as long as the storage runs.
    pub(super) async fn sweep(self) {
        let mut pause = FIRST_AFTER;
        loop {
            self.inner.context.io.sleep(pause).await;
            pause = INTERVAL;
            let mut logs: Vec<_> = self.inner.logs.borrow().values().cloned().collect();
            logs.sort_by_key(|log| log.id());
            for log in logs {
                if self.inner.stopping.get() {
                    return;
                }
                if let Err(error) = self.sweep_log(&log).await {
                    tracing::warn!("{}: what a crash left behind cannot be removed: {error}", log.name());
                }
                self.inner.context.io.yield_now().await;
            }
        }
    }

    async fn sweep_log(&self, log: &Rc<Log>) -> Result<()> {
        if self.failure().is_some() || leftovers(log).await?.is_empty() {
            return Ok(());
        }
        // Write-back makes files and removes some; and no segment may begin meanwhile under the name of one that goes.
        let _alone = self.inner.passes.enter().await;
        if log.state().removed {
            return Ok(());
        }
        log.state_mut().closed = true;
        let result = self.remove_leftovers(log).await;
        log.state_mut().closed = false;
        result
    }

    async fn remove_leftovers(&self, log: &Rc<Log>) -> Result<()> {
        let (io, directory) = (&self.inner.context.io, &self.inner.context.directory);
        log.quiet().await;
        let names = leftovers(log).await?;
        for name in &names {
            if let Some((base, Kind::Log)) = parse_file_name(name) {
                directory.forget(log.id(), base);
            }
            file::unlink(io, &directory.partition_path(log.name()).join(name)).await?;
        }
        tracing::info!("{}: removed what a crash had left behind: {}", log.name(), names.join(", "));
        file::sync_directory(io, &directory.partition_path(log.name())).await
    }
}

/// The names in a log's directory that nothing refers to.
async fn leftovers(log: &Rc<Log>) -> Result<Vec<String>> {
    let directory = log.context.directory.partition_path(log.name());
    let names = match file::list(&log.context.io, &directory).await {
        Ok(names) => names,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let state = log.state();
    let is_known = |base: Offset| {
        state.segments.iter().any(|segment| segment.base == base)
            // Write-back removes it when the checkpoint no longer names it.
            || state.doomed.contains(&base)
    };
    let is_leftover = |name: &String| match parse_file_name(name) {
        Some((base, _)) => !is_known(base),
        None => is_temporary(name),
    };
    Ok(names.into_iter().filter(is_leftover).collect())
}

/// Whether `name` is that of a file before its rename to one of a partition's.
fn is_temporary(name: &str) -> bool {
    let Some(stem) = name.strip_suffix(".tmp") else { return false };
    stem == EPOCHS_FILE || parse_file_name(&format!("{stem}.{}", Kind::Log.suffix())).is_some()
}

#[cfg(test)]
mod tests;
