//! A client that asks for much, reads nothing of it for a long while, and goes away: what the broker holds for it has a
//! bound, and comes back.

use std::rc::Rc;

use bytes::Bytes;

use super::pause;
use crate::base::block::Use;
use crate::base::prng::Prng;
use crate::base::time::Duration;
use crate::io::Handle;
use crate::io::op::Slices;
use crate::io::socket::Socket;
use crate::protocol::client::encode_request;
use crate::sim::client::requests::{self, FetchLimits};
use crate::sim::client::until;
use crate::sim::scene::{Phase, Scene};

/// The version of its fetches.
const VERSION: i16 = 16;
/// Requests that it sends without reading a reply.
const REQUESTS: i32 = 20;

/// Stalls again and again until the process ends.
pub async fn run(io: Handle, scene: Rc<Scene>, mut random: Prng) {
    loop {
        io.sleep(Duration::from_millis(random.between(500, 10_000))).await;
        if scene.phase() != Phase::Running {
            continue;
        }
        let deadline = io.now() + Duration::from_secs(5);
        let Some(Ok(socket)) = until(&io, deadline, Socket::connect(&io, scene.broker)).await else {
            pause(&io, &mut random).await;
            continue;
        };
        let limits = FetchLimits {
            wait_ms_max: 0,
            bytes_min: 0,
            bytes_max: 50 << 20,
            partition_bytes_max: 4 << 20,
            session: (0, -1),
        };
        for id in 0..REQUESTS {
            let Some((topic, place)) = scene.any_place(&mut random, false) else { break };
            let request = requests::fetch(VERSION, &limits, &[(topic, place.index, 0)]);
            let Ok(frame) = encode_request(VERSION, id, Some("stalled"), &request) else { break };
            if !send(&io, &socket, frame.into()).await {
                break;
            }
        }
        io.sleep(Duration::from_millis(random.between(100, 20_000))).await;
    }
}

async fn send(io: &Handle, socket: &Socket, frame: Bytes) -> bool {
    let Some(mut block) = io.pool().block_unlimited(frame.len(), Use::Reply) else { return false };
    block[..frame.len()].copy_from_slice(&frame);
    let slices = Slices::from_iter([block.into_slice(frame.len())]);
    let deadline = io.now() + Duration::from_secs(1);
    matches!(until(io, deadline, socket.send(io, slices, false)).await, Some(Ok(())))
}
