//! Listeners: where clients connect, and what address they are told.

use crate::io::{IpAddr, Ipv4Addr, SocketAddr};
use std::fmt;

/// Name of the listener that is given without one.
const DEFAULT_LISTENER: &str = "PLAINTEXT";

/// Most listeners of a broker.
const LISTENERS_MAX: usize = 16;

/// Longest host name, by RFC 1035.
const HOST_LENGTH_MAX: usize = 253;

/// A named listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Its name, in capitals.
    pub name: String,
    /// The address to listen on; port 0 for any free one.
    pub address: SocketAddr,
    /// The address that clients are told. Without one it is the address that was listened on, or, on all addresses, the one
    /// that the client connected to.
    pub advertised: Option<HostPort>,
}

/// A host by name or address, and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    /// The host.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for Listener {
    /// As it is written in a setting.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.name, self.address)?;
        match &self.advertised {
            Some(advertised) => write!(f, "@{advertised}"),
            None => Ok(()),
        }
    }
}

/// Reads listeners between commas. The error goes on from "has".
pub(super) fn parse(text: &str) -> Result<Vec<Listener>, String> {
    let mut listeners: Vec<Listener> = Vec::new();
    for item in text.split(',').map(str::trim) {
        let (name, addresses) = item.split_once('=').unwrap_or((DEFAULT_LISTENER, item));
        let (address, advertised) = match addresses.split_once('@') {
            Some((address, advertised)) => (address, Some(advertised)),
            None => (addresses, None),
        };
        listeners.push(parse_one(name, address, advertised)?);
    }
    check_together(&listeners)?;
    Ok(listeners)
}

/// Reads one listener.
pub(super) fn parse_one(name: &str, address: &str, advertised: Option<&str>) -> Result<Listener, String> {
    let name = name.trim();
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if name.is_empty() || name.len() > 64 || !name.bytes().all(allowed) {
        return Err(format!("a listener called '{name}': write at most 64 letters, digits, '_' and '-'"));
    }
    Ok(Listener {
        name: name.to_ascii_uppercase(),
        address: parse_address(address.trim())?,
        advertised: advertised.map(|text| parse_advertised(text.trim())).transpose()?,
    })
}

fn parse_address(text: &str) -> Result<SocketAddr, String> {
    let local = text.strip_prefix("localhost:").and_then(|port| port.parse().ok());
    if let Some(port) = local {
        return Ok(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port));
    }
    text.parse().map_err(|_| {
        format!("'{text}', which is no address to listen on: write IP:PORT, such as 0.0.0.0:9092 or [::]:9092")
    })
}

fn parse_advertised(text: &str) -> Result<HostPort, String> {
    let bad = || format!("'{text}', which is no address for clients: write HOST:PORT");
    let (host, port) = text.rsplit_once(':').ok_or_else(bad)?;
    let port = port.parse::<u16>().map_err(|_| bad())?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let is_name = host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'));
    let address = host.parse::<IpAddr>().ok();
    if address.is_some_and(|address| address.is_unspecified()) {
        return Err(format!(
            "'{text}' as an address for clients, who cannot connect to all addresses: write the host's own"
        ));
    }
    if host.is_empty() || host.len() > HOST_LENGTH_MAX || !(is_name || address.is_some()) || port == 0 {
        return Err(bad());
    }
    Ok(HostPort { host: host.to_owned(), port })
}

/// Conditions between listeners.
pub(super) fn check_together(listeners: &[Listener]) -> Result<(), String> {
    if listeners.len() > LISTENERS_MAX {
        return Err(format!("{} listeners, more than {LISTENERS_MAX}", listeners.len()));
    }
    for (at, listener) in listeners.iter().enumerate() {
        for other in &listeners[..at] {
            if other.name == listener.name {
                return Err(format!("two listeners called '{}'", listener.name));
            }
            if other.address == listener.address && listener.address.port() != 0 {
                return Err(format!("two listeners on {}", listener.address));
            }
        }
    }
    Ok(())
}
