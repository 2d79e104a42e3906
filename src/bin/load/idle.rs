//! Connections that say hello and then nothing.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use flumen::base::block::Use;
use flumen::base::oneshot;
use flumen::io::Handle;
use flumen::io::op::Slices;
use flumen::io::socket::Socket;
use flumen::protocol::api::ApiKey;

use super::frames::LargeFrames;
use super::measure::{Recorder, Series, Work};
use super::run::{Plan, connect, spawn};
use super::wire::{CLIENT_ID, Put};

/// The version of ApiVersions that needs no body.
const API_VERSIONS_VERSION: i16 = 0;

/// Opens this thread's connections one after the other and holds them until the window ends; the receiver hears of it.
pub fn launch(
    io: &Handle,
    plan: &Arc<Plan>,
    recorder: &Rc<RefCell<Recorder>>,
    connections: usize,
    own: &impl Fn(usize) -> bool,
) -> oneshot::Receiver<()> {
    let count = (0..connections).filter(|index| own(*index)).count();
    let (task_io, plan, recorder) = (io.clone(), Arc::clone(plan), Rc::clone(recorder));
    spawn(io, async move {
        if let Err(reason) = hold(&task_io, &plan, &recorder, count).await {
            plan.shared.fail(reason);
        }
    })
}

async fn hold(io: &Handle, plan: &Arc<Plan>, recorder: &Rc<RefCell<Recorder>>, count: usize) -> Result<(), String> {
    let mut open = Vec::with_capacity(count);
    for index in 0..count {
        if plan.shared.is_stopped() {
            return Ok(());
        }
        let started = io.now();
        let socket = connect(io, plan.addresses[index % plan.addresses.len()]).await?;
        greet(io, &socket).await?;
        let mut recorder = recorder.borrow_mut();
        // All of them are told, the ones of the warm-up too.
        let shift = recorder.window().start.since(started);
        recorder.latency(Series::Connect, started + shift, io.now() + shift, 1);
        recorder.done(io.now() + shift, Work::default(), false);
        plan.shared.count(0, 0);
        open.push(socket);
    }
    let end = recorder.borrow().window().end;
    /// How often the end of the run is looked for.
    const LOOK: flumen::base::time::Duration = flumen::base::time::Duration::from_millis(100);
    while io.now() < end && !plan.shared.is_stopped() {
        io.sleep(LOOK).await;
    }
    Ok(())
}

async fn greet(io: &Handle, socket: &Socket) -> Result<(), String> {
    let mut request = Vec::new();
    request.put_i32(10 + CLIENT_ID.len() as i32);
    request.put_i16(ApiKey::ApiVersions.code());
    request.put_i16(API_VERSIONS_VERSION);
    request.put_i32(1);
    request.put_i16(CLIENT_ID.len() as i16);
    request.extend_from_slice(CLIENT_ID.as_bytes());
    let mut block = io.pool().block_unlimited(request.len(), Use::Reply).ok_or("no memory for a request")?;
    block[..request.len()].copy_from_slice(&request);
    let slices = Slices::from_iter([block.into_slice(request.len())]);
    socket.send(io, slices, false).await.map_err(|error| error.to_string())?;
    LargeFrames::default().receive(io, socket).await.map(drop)
}
