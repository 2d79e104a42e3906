//! The reading half of Fetch on the reactor that hosts the partitions: what there is now, or after a wait.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::broker::Broker;
use super::calls::Hurry;
use super::handlers::produce::not_open;
use super::message::Fetch;
use crate::base::time::Instant;
use crate::io::reactor::Sleep;
use crate::model::error_code::ClientError;
use crate::model::offset::Offset;
use crate::shard::{Fetched, Shards, Watch};

/// What came of each partition of a fetch.
pub type Reads = Vec<Result<Fetched, ClientError>>;

/// Bytes of records in `reads`.
pub fn bytes_of(reads: &Reads) -> u64 {
    reads.iter().flatten().map(|fetched| u64::from(fetched.bytes)).sum()
}

/// Whether `reads` are to be answered without waiting for more.
fn is_enough(reads: &Reads, bytes_min: u32) -> bool {
    bytes_of(reads) >= u64::from(bytes_min) || reads.iter().any(Result::is_err)
}

/// Reads all partitions of `fetch` once, giving out its room in their order: one batch at least, then what fits.
pub async fn read_now(shards: &Shards, fetch: &Fetch) -> Reads {
    let mut reads = Reads::with_capacity(fetch.parts.len());
    let mut room = fetch.bytes_max;
    let mut empty = true;
    for part in &fetch.parts {
        let read = match shards.get(part.partition) {
            Some(shard) => {
                let bytes_max = part.bytes_max.min(room);
                shard.read(part.offset, bytes_max, empty, fetch.isolation, part.current_leader_epoch).await
            }
            None => Err(not_open(part.partition)),
        };
        if let Ok(fetched) = &read {
            room = room.saturating_sub(fetched.bytes);
            empty &= fetched.bytes == 0;
        }
        reads.push(read);
    }
    reads
}

/// Reads until there is enough, the deadline has passed, or `hurry` is set.
pub async fn read_waiting(broker: &Broker, fetch: &Fetch, hurry: &Hurry) -> Reads {
    let mut reads = read_now(&broker.shards, fetch).await;
    if is_enough(&reads, fetch.bytes_min) || broker.io.now() >= fetch.deadline || hurry.is_set() {
        return reads;
    }
    broker.counters.fetches_waited.add(1);
    // Bounded by the deadline; each round waits for a commit.
    loop {
        let watches: Vec<Watch> = watches(&broker.shards, fetch, &reads);
        let ended = Waiting { watches, sleep: broker.io.sleep_until(fetch.deadline), hurry }.await;
        let seen = readable(fetch, &reads);
        reads = read_now(&broker.shards, fetch).await;
        // Without news a watch was refused: the shard has as many as it takes, and waiting would be spinning.
        let refused = readable(fetch, &reads) == seen;
        if ended || refused || is_enough(&reads, fetch.bytes_min) || broker.io.now() >= fetch.deadline {
            return reads;
        }
    }
}

/// Up to where each partition could be read.
fn readable(fetch: &Fetch, reads: &Reads) -> Vec<Offset> {
    reads.iter().map(|read| read.as_ref().map_or(-1, |fetched| fetched.readable(fetch.isolation))).collect()
}

fn watches(shards: &Shards, fetch: &Fetch, reads: &Reads) -> Vec<Watch> {
    let parts = fetch.parts.iter().zip(reads);
    let watch = |(part, read): (&super::message::FetchPart, &Result<Fetched, ClientError>)| {
        let seen = read.as_ref().ok()?.readable(fetch.isolation);
        Some(shards.get(part.partition)?.watch(seen, fetch.isolation))
    };
    parts.filter_map(watch).collect()
}

/// Until one of the watched partitions has news: false; until the deadline or a hurry: true.
struct Waiting<'a> {
    watches: Vec<Watch>,
    sleep: Sleep,
    hurry: &'a Hurry,
}

impl Future for Waiting<'_> {
    type Output = bool;
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<bool> {
        if self.hurry.poll_set(context) || Pin::new(&mut self.sleep).poll(context).is_ready() {
            return Poll::Ready(true);
        }
        // Every watch is polled: each must know whom to wake.
        let ready = self.watches.iter_mut().filter_map(|watch| Pin::new(watch).poll(context).is_ready().then_some(()));
        if ready.count() > 0 { Poll::Ready(false) } else { Poll::Pending }
    }
}

/// A fetch over several reactors, of which `here` is this one's part.
pub struct Spread {
    /// What may be waited for.
    pub bytes_min: u32,
    /// Until when.
    pub deadline: Instant,
    /// This reactor's part.
    pub here: Option<Fetch>,
    /// The other reactors' parts.
    pub elsewhere: Vec<(crate::model::ids::ReactorId, Fetch)>,
}

/// How often a spread fetch is asked again because the parts together fell short. Each round but the last has brought
/// at least its share of what was missing.
const ROUNDS_MAX: usize = 16;

impl Spread {
    /// Reads all parts: `here`'s first, then the others in their order.
    ///
    /// Each reactor waits for its share of the bytes that are missing: if all together have enough, one of them has its
    /// share, and when it answers, the others are told to answer with what they have.
    pub async fn read(&mut self, broker: &Rc<Broker>, hurry: &Hurry) -> Vec<Reads> {
        let parts = u64::from(self.here.is_some()) + self.elsewhere.len() as u64;
        let mut known: Vec<u64> = vec![0; parts as usize];
        let mut local = match &self.here {
            Some(here) => Some(read_now(&broker.shards, here).await),
            None => None,
        };
        if let Some(local) = &local {
            known[0] = bytes_of(local);
        }
        if self.elsewhere.is_empty() {
            return match (local, &mut self.here) {
                (Some(local), Some(here)) => {
                    if is_enough(&local, self.bytes_min) || broker.io.now() >= self.deadline || hurry.is_set() {
                        return vec![local];
                    }
                    (here.bytes_min, here.deadline) = (self.bytes_min, self.deadline);
                    vec![read_waiting(broker, here, hurry).await]
                }
                _ => Vec::new(),
            };
        }
        for round in 0..ROUNDS_MAX {
            let missing = u64::from(self.bytes_min).saturating_sub(known.iter().sum());
            let failed = local.as_ref().is_some_and(|local| local.iter().any(Result::is_err));
            let over = missing == 0 || failed || broker.io.now() >= self.deadline || hurry.is_set();
            let wait = !over && round + 1 < ROUNDS_MAX;
            let share = if wait { missing.div_ceil(parts) } else { 0 };
            let (reads, enough) = self.round(broker, hurry, &mut local, &known, share).await;
            known = reads.iter().map(bytes_of).collect();
            if !wait || enough || known.iter().sum::<u64>() >= u64::from(self.bytes_min) {
                return reads;
            }
            if self.here.is_some() {
                local = reads.into_iter().next();
            }
        }
        unreachable!("the last round does not wait")
    }

    /// Asks all parts once; with a `share`, each waits until it has that much more than is `known` of it.
    async fn round(
        &mut self,
        broker: &Rc<Broker>,
        hurry: &Hurry,
        local: &mut Option<Reads>,
        known: &[u64],
        share: u64,
    ) -> (Vec<Reads>, bool) {
        let first = usize::from(self.here.is_some());
        let threshold =
            |place: usize| if share == 0 { 0 } else { u32::try_from(known[place] + share).unwrap_or(u32::MAX) };
        let mut calls: Vec<_> = Vec::with_capacity(self.elsewhere.len());
        for (place, (reactor, fetch)) in self.elsewhere.iter().enumerate() {
            let mut fetch = fetch.clone();
            (fetch.bytes_min, fetch.deadline) = (threshold(first + place), self.deadline);
            calls.push((broker.ask_waiting(*reactor, super::message::Ask::Fetch(Box::new(fetch))), None::<Reads>));
        }
        let here = match (&self.here, share) {
            (Some(here), 1..) => {
                let mut here = here.clone();
                (here.bytes_min, here.deadline) = (threshold(0), self.deadline);
                Some(here)
            }
            _ => None,
        };
        let hurry_here = Hurry::default();
        let mut waiting_here = here.as_ref().map(|here| Box::pin(read_waiting(broker, here, &hurry_here)));
        let mut found_here: Option<Reads> = None;
        std::future::poll_fn(|context| {
            let mut any = hurry.poll_set(context);
            for (call, reads) in calls.iter_mut().filter(|(_, reads)| reads.is_none()) {
                if let Poll::Ready(answer) = Pin::new(call).poll(context) {
                    let super::message::Answer::Fetched(fetched) = answer else {
                        unreachable!("a fetch is answered with what was fetched")
                    };
                    *reads = Some(fetched);
                }
            }
            if let Some(waiting) = &mut waiting_here
                && found_here.is_none()
                && let Poll::Ready(reads) = waiting.as_mut().poll(context)
            {
                found_here = Some(reads);
            }
            any |= found_here.is_some() || calls.iter().any(|(_, reads)| reads.is_some());
            if any {
                // One part has its share, failed, or ran out of time: the others answer with what they have.
                calls.iter_mut().filter(|(_, reads)| reads.is_none()).for_each(|(call, _)| call.hurry());
                if waiting_here.is_some() && found_here.is_none() && !hurry_here.is_set() {
                    // Looked at once more, and then when what it waits for has come: it may be a read of the disk.
                    hurry_here.set();
                    context.waker().wake_by_ref();
                }
            }
            let open =
                calls.iter().any(|(_, reads)| reads.is_none()) || (waiting_here.is_some() && found_here.is_none());
            if open { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
        drop(waiting_here);
        let mut all: Vec<Reads> = Vec::with_capacity(known.len());
        if self.here.is_some() {
            all.push(found_here.or_else(|| local.take()).expect("read before the round, or in it"));
        }
        all.extend(calls.into_iter().map(|(_, reads)| reads.expect("polled until all were there")));
        let failed = all.iter().flatten().any(Result::is_err);
        (all, failed)
    }
}
