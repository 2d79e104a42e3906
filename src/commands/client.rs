//! A small blocking client for commands: one connection, one request at a time.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use flumen::protocol::api::ApiKey;
use flumen::protocol::client::{decode_response, encode_request};
use flumen::protocol::messages::ApiVersionsRequest;
use kafka_protocol::protocol::Request;

/// How long a broker may take to be reached, and to answer.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The largest reply that is taken in, in bytes.
const REPLY_BYTES_MAX: usize = 256 << 20;
/// What the broker sees in its log lines.
const CLIENT_ID: &str = "flumen-command";
/// The version of ApiVersions that every broker of the last years speaks.
const API_VERSIONS_VERSION: i16 = 3;

/// A connection to a broker.
pub struct Client {
    stream: TcpStream,
    next_id: i32,
    versions: Vec<(i16, i16, i16)>,
}

impl Client {
    /// Connects and learns what the broker speaks.
    ///
    /// # Errors
    /// What failed, with the address.
    pub fn connect(address: &str) -> Result<Client, String> {
        let failed = |error: &dyn std::fmt::Display| format!("cannot reach a broker at {address}: {error}");
        let resolved = address.to_socket_addrs().map_err(|error| failed(&error))?;
        let mut last = "the name has no address".to_owned();
        for resolved in resolved {
            match TcpStream::connect_timeout(&resolved, TIMEOUT) {
                Ok(stream) => return Client::greet(stream).map_err(|error| failed(&error)),
                Err(error) => last = error.to_string(),
            }
        }
        Err(failed(&last))
    }

    fn greet(stream: TcpStream) -> Result<Client, String> {
        let set = stream.set_read_timeout(Some(TIMEOUT)).and_then(|()| stream.set_write_timeout(Some(TIMEOUT)));
        set.and_then(|()| stream.set_nodelay(true)).map_err(|error| error.to_string())?;
        let mut client = Client { stream, next_id: 0, versions: Vec::new() };
        let request = ApiVersionsRequest::default()
            .with_client_software_name("flumen".into())
            .with_client_software_version(env!("CARGO_PKG_VERSION").into());
        let response = client.send(API_VERSIONS_VERSION, &request)?;
        let ranges = response.api_keys.iter();
        client.versions = ranges.map(|range| (range.api_key, range.min_version, range.max_version)).collect();
        Ok(client)
    }

    /// Sends `request` in the highest version up to `version_max` that the broker speaks; gives its reply.
    ///
    /// # Errors
    /// What failed.
    pub fn ask<R: Request>(&mut self, version_max: i16, request: &R) -> Result<R::Response, String> {
        let key = ApiKey::from_code(R::KEY).ok_or("a request of no API")?;
        let version = self.version(key, i16::MIN, version_max)?;
        self.send(version, request).map_err(|error| format!("{key}: {error}"))
    }

    /// The highest version of `key` from `version_min` to `version_max` that the broker speaks.
    ///
    /// # Errors
    /// When it speaks none of them.
    pub fn version(&self, key: ApiKey, version_min: i16, version_max: i16) -> Result<i16, String> {
        let range = self.versions.iter().find(|(known, ..)| *known == key.code());
        let (_, low, high) = range.ok_or_else(|| format!("the broker does not serve {key}"))?;
        let version = version_max.min(*high);
        if version < *low {
            return Err(format!(
                "the broker serves {key} from version {low} on, and this command stops at {version_max}"
            ));
        }
        if version < version_min {
            return Err(format!("the broker serves {key} up to version {high}, and this program needs {version_min}"));
        }
        Ok(version)
    }

    fn send<R: Request>(&mut self, version: i16, request: &R) -> Result<R::Response, String> {
        self.next_id += 1;
        let bytes =
            encode_request(version, self.next_id, Some(CLIENT_ID), request).map_err(|error| error.to_string())?;
        self.stream.write_all(&bytes).map_err(|error| error.to_string())?;
        let mut size = [0; 4];
        self.stream.read_exact(&mut size).map_err(|error| error.to_string())?;
        let bytes = usize::try_from(i32::from_be_bytes(size)).ok().filter(|bytes| *bytes <= REPLY_BYTES_MAX);
        let mut frame = vec![0; bytes.ok_or("the reply's size makes no sense: is this a Kafka listener?")?];
        self.stream.read_exact(&mut frame).map_err(|error| error.to_string())?;
        let (id, response) = decode_response::<R>(version, &frame).map_err(|error| error.to_string())?;
        if id != self.next_id {
            return Err(format!("the reply answers request {id}, not {}", self.next_id));
        }
        Ok(response)
    }
}
