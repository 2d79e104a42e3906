//! Who takes part in a run: how many clients of which kind, and with which manners.

use super::workload::records::BATCH_BYTES_MAX;
use super::workload::transactions::{self, copier, reader, transactor};
use super::workload::{Client, admin, consumer, groups, producer};
use crate::base::prng::Prng;
use crate::record::Compression;

/// One run in so many has clients that write in transactions.
const TRANSACTIONS_ONE_IN: u64 = 3;
/// One run in so many has groups.
const GROUPS_ONE_IN: u64 = 3;
/// The first number of a copier's transactional id: below are those of transactors.
const COPIER_IDS: u32 = 100;

/// The clients of a run, those with transactions and groups from streams of their own: without them the others are the same.
pub(super) fn all(streams: &Prng, flush_ms: Option<u64>) -> Vec<Client> {
    let mut all = plain(&mut streams.split("clients"), flush_ms);
    all.extend(transactional(&mut streams.split("transactions")));
    all.extend(members(&mut streams.split("groups")));
    all
}

/// Those that every run has: an admin, producers and consumers.
fn plain(random: &mut Prng, flush_ms: Option<u64>) -> Vec<Client> {
    let mut style = admin::Style {
        topics: random.between(1, 3) as u32,
        think_ms_max: random.between(500, 8_000),
        deletes_records: random.one_in(2),
        changes_topics: random.one_in(2),
        flush_ms,
        segment_bytes_min: 20_000,
    };
    // Whatever else there is, idempotent producers with several batches in flight are what most depends on.
    let producers: Vec<_> = (0..random.between(1, 3)).map(|number| a_producer(random, number == 0)).collect();
    if producers.iter().any(|producer| producer.large) {
        style.segment_bytes_min = BATCH_BYTES_MAX;
    }
    let mut clients = vec![Client::Admin(style)];
    clients.extend(producers.into_iter().map(Client::Producer));
    for _ in 0..random.between(1, 3) {
        clients.push(Client::Consumer(a_consumer(random)));
    }
    if random.one_in(4) {
        clients.push(Client::Stalled);
    }
    clients
}

/// The clients of a run that have to do with transactions; most runs have none.
fn transactional(random: &mut Prng) -> Vec<Client> {
    if !random.one_in(TRANSACTIONS_ONE_IN) {
        return Vec::new();
    }
    let mut clients = Vec::new();
    let a_producer = |random: &mut Prng, id: u32| transactions::producer::Style {
        id,
        version_2: random.one_in(2),
        timeout_ms: random.between(1_500, 8_000) as i32,
    };
    for id in 0..random.between(1, 3) as u32 {
        let style = transactor::Style {
            producer: a_producer(random, id),
            transfers: random.one_in(2),
            think_ms_max: random.between(1, 200),
            aborts_one_in: random.between(2, 8),
            forgets_one_in: if random.one_in(2) { random.between(5, 30) } else { 0 },
            lingers_one_in: if random.one_in(3) { random.between(10, 40) } else { 0 },
        };
        // Another client with the same transactional id, and not with the same manners.
        if random.one_in(3) {
            let zombie = transactor::Style { producer: a_producer(random, id), ..style.clone() };
            clients.push(Client::Transactor(zombie));
        }
        clients.push(Client::Transactor(style));
    }
    for partition in 0..transactions::partitions(transactions::QUEUE) {
        if random.one_in(3) {
            continue;
        }
        let style = copier::Style {
            producer: a_producer(random, partition as u32 + COPIER_IDS),
            partition,
            aborts_one_in: random.between(3, 12),
            think_ms_max: random.between(1, 300),
        };
        if random.one_in(3) {
            clients.push(Client::Copier(style.clone()));
        }
        clients.push(Client::Copier(style));
    }
    for _ in 0..random.between(1, 2) {
        clients.push(Client::Reader(reader::Style {
            version: [11, 12, 13, 17][random.below(4) as usize],
            partition_bytes_max: random.between(1, 20_000) as i32,
            think_ms_max: random.between(0, 300),
            rewind_one_in: random.between(20, 100),
        }));
    }
    clients
}

/// The members of groups of a run; most runs have none.
fn members(random: &mut Prng) -> Vec<Client> {
    if !random.one_in(GROUPS_ONE_IN) {
        return Vec::new();
    }
    let mut clients = Vec::new();
    let mut instance = 0;
    for group in 0..random.between(1, 2) as u32 {
        let protocols = [groups::Protocol::Eager, groups::Protocol::Cooperative, groups::Protocol::Consumer];
        let protocol = protocols[random.below(3) as usize];
        for _ in 0..random.between(1, 4) {
            instance += 1;
            let style = groups::Style {
                group,
                protocol,
                instance: random.one_in(3).then_some(instance),
                is_double: false,
                session_ms: random.between(2_000, 6_000),
                rebalance_ms: random.between(3_000, 6_000),
                think_ms_max: random.between(100, 800),
                trouble_one_in: random.between(15, 80),
            };
            // Another one of the same name.
            if style.instance.is_some() && random.one_in(3) {
                clients.push(Client::Member(groups::Style { is_double: true, ..style.clone() }));
            }
            clients.push(Client::Member(style));
        }
    }
    clients
}

fn a_producer(random: &mut Prng, idempotent: bool) -> producer::Style {
    let acks = if idempotent { -1 } else { [-1, 1, 1, 0][random.below(4) as usize] };
    let idempotent = idempotent || acks == -1 && random.one_in(2);
    let codecs = [Compression::None, Compression::None, Compression::Lz4, Compression::Snappy, Compression::Zstd];
    producer::Style {
        acks,
        idempotent,
        retries: idempotent || acks != 0 && random.one_in(2),
        window: if idempotent { random.between(1, 5) as usize } else { 1 },
        places_max: random.between(1, 4),
        think_ms_max: random.between(1, 120),
        large: random.one_in(2),
        version: [9, 11, 13, 13][random.below(4) as usize],
        compression: codecs[random.below(codecs.len() as u64) as usize],
    }
}

fn a_consumer(random: &mut Prng) -> consumer::Style {
    consumer::Style {
        version: [11, 12, 13, 16, 17][random.below(5) as usize],
        session: random.one_in(2),
        wait_ms_max: random.between(0, 1_000) as i32,
        bytes_min: random.between(0, 4_000) as i32,
        partition_bytes_max: random.between(1, 200_000) as i32,
        think_ms_max: random.between(0, 300),
        rewind_one_in: if random.one_in(2) { random.between(20, 200) } else { 0 },
    }
}
