//! Transactors: they transfer between accounts, or write anything anywhere, commit, abort, forget their transactions, let
//! them take too long, and, where two run with one transactional id, fence each other.

use std::rc::Rc;

use super::producer::{self, Over, TransactionalProducer};
use super::{BANK, QUEUE, topic};
use crate::base::prng::Prng;
use crate::base::time::Duration;
use crate::io::Handle;
use crate::sim::history::transactions::{Content, Item};
use crate::sim::scene::{KnownTopic, Phase, Scene};
use crate::sim::workload::pause;

/// How a transactor works.
#[derive(Clone, Debug)]
pub struct Style {
    /// Who it is.
    pub producer: producer::Style,
    /// Whether it transfers between accounts.
    pub transfers: bool,
    /// Pause between two transactions, and within one, at most, in milliseconds.
    pub think_ms_max: u64,
    /// One transaction in so many is aborted.
    pub aborts_one_in: u64,
    /// One transaction in so many is left open by an instance that is never heard of again.
    pub forgets_one_in: u64,
    /// One transaction in so many is held open beyond its time.
    pub lingers_one_in: u64,
}

struct Transactor {
    producer: TransactionalProducer,
    style: Style,
    topic: Option<KnownTopic>,
}

/// Works until the process ends.
pub async fn run(io: Handle, scene: Rc<Scene>, name: String, random: Prng, style: Style) {
    let producer = TransactionalProducer::new(io, scene, random, "transactor", style.producer.clone());
    let mut transactor = Transactor { producer, style, topic: None };
    loop {
        while transactor.producer.scene.phase() != Phase::Running {
            transactor.producer.io.sleep(Duration::from_millis(100)).await;
        }
        let busy = transactor.producer.scene.busy();
        let done = transactor.step().await;
        drop(busy);
        match done {
            Ok(()) => {
                transactor.producer.scene.progressed(&name);
                transactor.think().await;
            }
            Err(over) => {
                transactor.producer.fall();
                transactor.stand_back(over).await;
            }
        }
    }
}

impl Transactor {
    async fn think(&mut self) {
        let think = self.producer.random.below(self.style.think_ms_max + 1);
        self.producer.io.sleep(Duration::from_millis(think)).await;
    }

    /// One who was fenced leaves some time to the other, or they would only fence each other.
    async fn stand_back(&mut self, over: Over) {
        if over == Over::Fenced {
            let wait = self.producer.random.between(100, 4_000);
            self.producer.io.sleep(Duration::from_millis(wait)).await;
        }
        pause(&self.producer.io, &mut self.producer.random).await;
    }

    async fn step(&mut self) -> Result<(), Over> {
        let known = self.topic().await?;
        if !self.producer.is_up() {
            self.producer.stand_up().await?;
        }
        self.producer.begin();
        let partitions = known.partitions as u64;
        for _ in 0..self.producer.random.between(1, 2) {
            let batches = if self.style.transfers { self.transfer(partitions) } else { self.anything(partitions) };
            self.producer.send(&known.topic, &batches).await?;
            if self.producer.random.one_in(3) {
                self.think().await;
            }
        }
        if self.style.forgets_one_in > 0 && self.producer.random.one_in(self.style.forgets_one_in) {
            return Err(Over::Unknown);
        }
        if self.style.lingers_one_in > 0 && self.producer.random.one_in(self.style.lingers_one_in) {
            let late = u64::from(self.style.producer.timeout_ms.unsigned_abs()) + self.producer.random.below(1_000);
            self.producer.io.sleep(Duration::from_millis(late)).await;
        }
        let commit = !self.producer.random.one_in(self.style.aborts_one_in);
        self.producer.end(commit).await
    }

    async fn topic(&mut self) -> Result<KnownTopic, Over> {
        if let Some(known) = &self.topic {
            return Ok(known.clone());
        }
        let name = if self.style.transfers { BANK } else { QUEUE };
        let (io, scene) = (self.producer.io.clone(), Rc::clone(&self.producer.scene));
        let mut random = self.producer.random.split("topic");
        let session = self.producer.session().await;
        match topic(&io, &scene, &mut random, session, name).await {
            Ok(known) => {
                self.topic = Some(known.clone());
                Ok(known)
            }
            Err(lost) => {
                self.producer.lost(lost);
                Err(Over::Unknown)
            }
        }
    }

    /// From one account to another: what is taken from one is given to the other.
    fn transfer(&mut self, partitions: u64) -> Vec<(i32, Vec<Item>)> {
        let from = self.producer.random.below(partitions);
        let to = (from + 1 + self.producer.random.below(partitions - 1)) % partitions;
        let amount = self.producer.random.between(1, 100) as i64;
        let taken = self.producer.item(Content::Transfer { amount: -amount });
        let given = self.producer.item(Content::Transfer { amount });
        vec![(from as i32, vec![taken]), (to as i32, vec![given])]
    }

    /// Some records to some partitions.
    fn anything(&mut self, partitions: u64) -> Vec<(i32, Vec<Item>)> {
        let first = self.producer.random.below(partitions);
        let count = self.producer.random.between(1, partitions);
        let mut batches = Vec::new();
        for at in 0..count {
            let records = self.producer.random.between(1, 3);
            let items = (0..records).map(|_| self.producer.item(Content::Plain)).collect();
            batches.push((((first + at) % partitions) as i32, items));
        }
        batches
    }
}
