//! What clients of the world do: one file a kind of client.
//!
//! **Owns:** clients as tasks of simulated processes. Each tells the [`scene`](super::scene) what it asked and what it was
//! told, and nothing else: whether the broker was right is the checkers' business. A client is honest about what it cannot
//! know: a request without a reply may have been carried out, once or (sent again) more often, now or later.
//!
//! **Never:** looks into the broker or the disk, or asks the world for anything but its own stream of random numbers.
//!
//! **Start reading at** [`Client`], then [`producer`]. A further kind of client is a file here, an entry in
//! [`Client::start`], and where it needs them events in [`super::history`] with a checker for them.

pub mod admin;
pub mod consumer;
pub mod drain;
pub mod groups;
pub mod producer;
pub mod records;
pub mod stalled;
pub mod transactions;

use std::rc::Rc;

use self::transactions::{copier, reader, transactor};

use super::client::{Lost, Session};
use super::history::Event;
use super::scene::Scene;
use crate::base::prng::Prng;
use crate::base::time::Duration;
use crate::io::Handle;

/// How long a client waits for a connection or a reply.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// How long it waits before it tries again.
const PAUSE_MS: (u64, u64) = (20, 500);

/// A client of the world.
#[derive(Clone, Debug)]
pub enum Client {
    /// Produces.
    Producer(producer::Style),
    /// Consumes.
    Consumer(consumer::Style),
    /// Makes and deletes topics, deletes records, alters configurations.
    Admin(admin::Style),
    /// Asks for much and reads nothing of it.
    Stalled,
    /// Is a member of a group.
    Member(groups::Style),
    /// Writes in transactions.
    Transactor(transactor::Style),
    /// Copies in transactions.
    Copier(copier::Style),
    /// Reads what counts of transactions.
    Reader(reader::Style),
}

impl Client {
    /// Runs the client, called `name`, for as long as its process lives.
    pub async fn start(self, io: Handle, scene: Rc<Scene>, name: String, random: Prng) {
        match self {
            Client::Producer(style) => producer::run(io, scene, name, random, style).await,
            Client::Consumer(style) => consumer::run(io, scene, name, random, style).await,
            Client::Admin(style) => admin::run(io, scene, random, style).await,
            Client::Stalled => stalled::run(io, scene, random).await,
            Client::Member(style) => groups::run(io, scene, name, random, style).await,
            Client::Transactor(style) => transactor::run(io, scene, name, random, style).await,
            Client::Copier(style) => copier::run(io, scene, name, random, style).await,
            Client::Reader(style) => reader::run(io, scene, name, random, style).await,
        }
    }

    /// What the client is called in reports.
    pub fn kind(&self) -> &'static str {
        match self {
            Client::Producer(_) => "producer",
            Client::Consumer(_) => "consumer",
            Client::Admin(_) => "admin",
            Client::Stalled => "stalled",
            Client::Member(_) => "member",
            Client::Transactor(_) => "transactor",
            Client::Copier(_) => "copier",
            Client::Reader(_) => "reader",
        }
    }

    /// Whether it is expected to get something done whenever the broker is well.
    pub fn makes_progress(&self) -> bool {
        match self {
            Client::Admin(_) | Client::Stalled => false,
            // Two of one name get nothing done, but fence each other.
            Client::Member(style) => !style.is_double,
            _ => true,
        }
    }
}

/// Connects to the broker, again and again.
pub(super) async fn connect(io: &Handle, scene: &Scene, random: &mut Prng) -> Session {
    loop {
        match Session::connect(io, scene.broker, io.now() + PATIENCE).await {
            Ok(session) => return session,
            Err(_) => pause(io, random).await,
        }
    }
}

/// Waits for a moment before something is tried again.
pub(super) async fn pause(io: &Handle, random: &mut Prng) {
    io.sleep(Duration::from_millis(random.between(PAUSE_MS.0, PAUSE_MS.1))).await;
}

/// Reports what no broker may send; the rest of [`Lost`] is what networks do.
pub(super) fn note_lost(scene: &Scene, lost: Lost) {
    if let Lost::Malformed(what) = lost {
        scene.record(Event::Malformed { what });
    }
}
