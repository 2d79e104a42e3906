//! The substrate: one ring, one thread, one local executor a reactor; files, sockets, timers and the mesh on top.
//!
//! **Owns:** everything that talks to the kernel. The seam is [`backend::Backend`]: plain-data operations go in
//! ([`op::Op`]), plain-data completions come out ([`op::Completion`]). The real backend is [`uring`]; the simulated one
//! lives in `sim/` and passes the same conformance suite (`tests/it/backend.rs`). Above the seam everything is the same
//! code: the reactor's turn ([`reactor`]), the executor ([`task`]), timers ([`timer`]), files ([`file`]), sockets
//! ([`socket`]) and the bounded rings between reactors ([`mesh`]).
//!
//! **Never:** knows a record, a request or a partition; blocks a reactor's thread except in the backend's wait.
//!
//! **Start reading at** [`reactor`], then [`op`].

pub mod backend;
pub mod clock;
pub mod file;
pub mod mesh;
pub mod op;
pub mod reactor;
pub mod socket;
pub mod task;
pub mod timer;
pub mod topology;
pub mod uring;

pub use core::net::{IpAddr, Ipv4Addr, SocketAddr};
pub use reactor::Handle;
pub use std::io::{Error, ErrorKind, Result};
pub use std::path::{Path, PathBuf};
