//! `meta.properties`: whose data a directory holds, as in Kafka's. It is there from the moment the cluster has its id, so
//! a directory that has lost its metadata log is not taken for that of a new cluster.

use std::path::PathBuf;

use super::config::Config;
use super::startup::StartError;
use crate::io::{Handle, file};
use crate::metadata::image::Image;
use crate::model::ids::base64_url;

const FILE: &str = "meta.properties";
const FILE_BYTES_MAX: u64 = 64 << 10;

fn path(config: &Config) -> PathBuf {
    config.data_directory.join(FILE)
}

/// Compares the file with the metadata that was replayed, before anything relies on that.
///
/// # Errors
/// When the metadata is another cluster's, or gone.
pub async fn check(io: &Handle, config: &Config, image: &Image) -> Result<(), StartError> {
    let path = path(config);
    let content = file::read_whole(io, &path, FILE_BYTES_MAX).await;
    let content = content.map_err(|error| StartError(format!("{}: {error}", path.display())))?.unwrap_or_default();
    let text = String::from_utf8_lossy(&content);
    let Some(noted) = property(&text, "cluster.id") else {
        if !content.is_empty() {
            tracing::warn!("{} is damaged at position 0: it names no cluster; it is written anew", path.display());
        }
        return Ok(());
    };
    match image.cluster_id().map(base64_url) {
        Some(id) if id == noted => Ok(()),
        Some(id) => Err(StartError(format!(
            "{} says that this is the data of cluster {noted}, and the metadata log says {id}: parts of two data \
             directories were mixed. Put them apart, or restore a backup",
            path.display()
        ))),
        None => Err(StartError(format!(
            "{} says that this is the data of cluster {noted}, and its metadata log is lost: files of the journal or of the \
             checkpoints are missing. Restore a backup, or start a new cluster in an empty directory",
            path.display()
        ))),
    }
}

fn property<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let value = |line: &'a str| line.strip_prefix(name)?.trim_start().strip_prefix('=').map(str::trim);
    text.lines().find_map(value).filter(|value| !value.is_empty())
}

/// Writes the file, unless it says just that already.
///
/// # Errors
/// The kernel's.
pub async fn note(io: &Handle, config: &Config, image: &Image) -> Result<(), StartError> {
    let Some(id) = image.cluster_id().map(base64_url) else { return Ok(()) };
    let path = path(config);
    let content = format!("version=1\ncluster.id={id}\nnode.id={}\n", config.node_id);
    let failed = |error: crate::io::Error| StartError(format!("{}: {error}", path.display()));
    if file::read_whole(io, &path, FILE_BYTES_MAX).await.map_err(failed)?.as_deref() == Some(content.as_bytes()) {
        return Ok(());
    }
    file::replace(io, &path, content.as_bytes()).await.map_err(failed)
}

#[cfg(test)]
mod tests;
