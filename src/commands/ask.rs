//! Asking a broker on this machine through a socket in its data directory.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// How long the broker may take to answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What the broker whose data is at `data` answers to `question` through `socket`, as JSON; some sockets ask for nothing.
pub(super) fn ask(data: &str, socket: &str, question: &str) -> Result<String, String> {
    let socket = Path::new(data).join(socket);
    let failed = |error: std::io::Error| format!("{}: {error}: does the broker run?", socket.display());
    let mut stream = UnixStream::connect(&socket).map_err(failed)?;
    stream.set_read_timeout(Some(TIMEOUT)).map_err(failed)?;
    if !question.is_empty() {
        stream.write_all(format!("{question}\n").as_bytes()).map_err(failed)?;
    }
    let mut json = String::new();
    stream.read_to_string(&mut json).map_err(failed)?;
    Ok(json)
}

/// What is in an answer.
pub(super) fn read<T: serde::de::DeserializeOwned>(json: &str) -> Result<T, String> {
    serde_json::from_str(json).map_err(|error| format!("the broker's answer cannot be read: {error}"))
}
