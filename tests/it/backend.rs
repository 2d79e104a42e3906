//! What every [`flumen::io::backend::Backend`] owes: one suite, run over each of them.
//!
//! The cases are written against `flumen::io` alone. A backend takes part by implementing [`Harness`] and writing
//! `conformance!(ItsHarness);` in a module of its own: that makes one `#[test]` a case, each bounded in time.

use std::future::Future;
use std::path::PathBuf;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use flumen::base::block::{Slice, Use};
use flumen::base::oneshot;
use flumen::io::Handle;
use flumen::io::mesh::Mesh;
use flumen::io::op::Slices;

pub mod files;
pub mod mesh;
pub mod receive;
pub mod sockets;
pub mod tasks;

/// A case that takes longer than this hangs.
const CASE_TIME_MAX: Duration = Duration::from_secs(60);
/// Bytes of the pool of a case that does not ask for a certain size.
pub const POOL_BYTES: usize = 256 << 20;

/// How to run code over some backend, and where that backend can be made to fail.
pub trait Harness: Copy + Send + Sync + 'static {
    /// Runs `main` on one reactor whose pool hands out at most `pool_bytes`, and returns what it returned.
    fn one_with_pool<T, F>(&self, pool_bytes: usize, main: impl FnOnce(Handle) -> F + Send + 'static) -> T
    where
        T: Send + 'static,
        F: Future<Output = T> + 'static;

    /// Runs `main` on each of several reactors of one process, joined by a mesh, and returns what they returned, in
    /// order.
    fn many<M, T, F>(&self, reactors: usize, main: impl Fn(Handle, Mesh<M>) -> F + Send + Sync + 'static) -> Vec<T>
    where
        M: Send + 'static,
        T: Send + 'static,
        F: Future<Output = T> + 'static;

    /// A fresh, empty directory, on a file system that takes O_DIRECT.
    fn scratch(&self) -> PathBuf;

    /// A fresh, empty directory on a file system with room for between 1 and 64 MiB, and what keeps it there. `None`
    /// when this machine cannot provide one.
    fn small_disk(&self) -> Option<(PathBuf, Box<dyn Send>)> {
        None
    }

    /// Descriptors that the backend has open (other cases of the same process may count as well).
    fn descriptors(&self) -> Option<usize> {
        None
    }

    /// Connects to the Unix socket at `path` from outside the reactors, sends `request`, and returns what comes until
    /// the other side closes. `None` when the backend has no outside.
    fn unix_exchange(&self, path: PathBuf, request: Vec<u8>) -> Option<mpsc::Receiver<Vec<u8>>> {
        drop((path, request));
        None
    }

    /// Runs `main` on one reactor with a pool of [`POOL_BYTES`].
    fn one<T, F>(&self, main: impl FnOnce(Handle) -> F + Send + 'static) -> T
    where
        T: Send + 'static,
        F: Future<Output = T> + 'static,
    {
        self.one_with_pool(POOL_BYTES, main)
    }
}

/// Runs a case and fails it when it hangs.
pub fn bounded(case: impl FnOnce() + Send + 'static) {
    let (done, finished) = mpsc::channel();
    let runner = thread::Builder::new().name("case".into()).spawn(move || {
        case();
        let _ = done.send(());
    });
    let runner = runner.expect("a thread for the case");
    match finished.recv_timeout(CASE_TIME_MAX) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("the case still runs after {CASE_TIME_MAX:?}"),
        Ok(()) | Err(mpsc::RecvTimeoutError::Disconnected) => {
            if let Err(panic) = runner.join() {
                std::panic::resume_unwind(panic);
            }
        }
    }
}

/// Makes one test of every case of the suite over a harness: `conformance!(ItsHarness);`, once a module.
macro_rules! conformance {
    ($harness:expr) => {
        conformance! { @tests $harness,
            files::absent_names_are_reported
            files::written_bytes_read_back
            files::a_durable_write_reads_back_through_another_open
            files::large_blocks_that_come_back_are_written_as_they_are
            files::a_direct_read_ends_at_the_end_of_a_file_of_any_size
            files::what_was_read_through_the_page_cache_may_be_resident_and_what_was_not_read_is_not
            files::a_read_ends_at_the_end_of_the_file
            files::a_hole_reads_as_zeros
            files::a_read_fills_the_block_from_its_start_position
            files::direct_access_must_be_aligned
            files::a_direct_write_is_seen_by_buffered_reads
            files::allocate_grows_and_truncate_cuts
            files::a_directory_lists_its_names
            files::making_a_directory_twice_is_told
            files::a_rename_replaces
            files::an_unlinked_file_stays_readable_while_open
            files::only_an_empty_directory_is_removed
            files::syncs_of_files_and_directories
            files::truncate_on_open_and_read_only
            files::space_is_told
            files::a_full_disk_refuses_and_recovers
            files::a_small_file_is_replaced_whole
            files::concurrent_writes_land_each_in_its_place
            files::abandoned_operations_release_descriptors
            files::dropped_files_are_closed
            receive::chunks_keep_order
            receive::receive_into_takes_all_or_what_is_there
            receive::receive_into_ends_short_with_the_stream
            receive::stop_then_receive_into_loses_nothing
            receive::a_closed_peer_is_the_end
            receive::a_shutdown_wakes_pending_receives
            receive::a_shutdown_ends_its_own_connection_alone
            receive::an_abandoned_receive_lets_the_socket_close
            receive::exhausted_memory_is_told_and_recovers
            receive::held_chunks_keep_their_content
            receive::dropped_chunks_stop_receiving
            sockets::a_listener_takes_a_free_port
            sockets::an_echo_over_one_connection
            sockets::a_hundred_connections
            sockets::a_taken_port_is_refused
            sockets::nobody_listens
            sockets::a_reset_is_an_error
            sockets::a_stalled_reader_holds_the_sender_back
            sockets::scattered_sends_arrive_in_order
            sockets::large_sends_that_are_given_up_leave_the_others_alone
            sockets::a_file_is_sent_whole_and_in_part
            sockets::a_stalled_reader_does_not_stall_the_sender_of_a_file
            sockets::a_file_is_not_sent_beyond_its_end
            sockets::unix_sockets_listen
            sockets::a_dropped_listener_frees_its_port
            sockets::connections_nobody_took_are_closed
            sockets::an_abandoned_connect_is_closed
            tasks::spawn_polls_at_once
            tasks::the_turn_ends_after_its_tasks
            tasks::writes_of_a_turn_start_after_its_end_tasks
            tasks::timers_fire_in_order_and_not_early
            tasks::a_dropped_timer_is_gone
            tasks::a_deadline_in_the_past_is_now
            tasks::a_yielding_task_does_not_starve_input
            tasks::random_bits_differ
            tasks::clocks_advance
            mesh::messages_keep_their_order
            mesh::a_full_ring_loses_nothing
            mesh::a_message_wakes_a_sleeping_reactor
            mesh::everybody_talks_to_everybody
            mesh::a_connection_moves_to_another_reactor
            mesh::a_file_is_closed_by_its_last_holder
        }
    };
    (@tests $harness:expr, $($group:ident :: $case:ident)*) => {
        $(
            #[test]
            fn $case() {
                $crate::backend::bounded(|| $crate::backend::$group::$case($harness));
            }
        )*
    };
}

/// `content` in a block of its own.
pub fn slice(io: &Handle, content: &[u8]) -> Slice {
    let mut block = io.pool().block_unlimited(content.len().max(1), Use::Reply).expect("memory for a test");
    block[..content.len()].copy_from_slice(content);
    block.into_slice(content.len())
}

/// `content` as what writes and sends take.
pub fn slices(io: &Handle, content: &[u8]) -> Slices {
    Slices::from_iter([slice(io, content)])
}

/// Bytes that tell their position: a byte of a test stream at position `at`.
pub fn byte_at(at: usize) -> u8 {
    ((at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8
}

/// `bytes` bytes of the test stream, from position `from`.
pub fn pattern(from: usize, bytes: usize) -> Vec<u8> {
    (from..from + bytes).map(byte_at).collect()
}

/// Starts `future` beside the current task; the result is awaited with the receiver.
pub fn start<T: 'static>(io: &Handle, future: impl Future<Output = T> + 'static) -> oneshot::Receiver<T> {
    let (sender, receiver) = oneshot::channel();
    io.spawn(async move { sender.send(future.await) });
    receiver
}
