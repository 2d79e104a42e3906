//! Decisions in line for the disk: what each waits for, and what it releases.

use std::rc::Rc;

use super::{Coordinator, Stage};
use crate::base::oneshot;
use crate::coordinator::machine::{Machine, ReplyTo};
use crate::model::error_code::ClientError;
use crate::shard::{Append, Appended};

/// A decision in line.
pub(super) struct Held<R> {
    /// Its records on their way to the disk; without any it waits for those before it alone.
    pub append: Option<Append>,
    pub release: Release<R>,
}

/// What a decision releases.
pub(super) enum Release<R> {
    /// A part of a decision: its replies are behind the last one.
    Nothing,
    Replies(Vec<(ReplyTo, R)>),
    Marker(oneshot::Sender<Result<Appended, ClientError>>),
    /// The first batch of a snapshot.
    SnapshotBegins,
    /// Another batch of a snapshot.
    SnapshotGoesOn,
    /// Behind the last batch of a snapshot: the records before it may go.
    SnapshotEnds,
}

impl<M: Machine> Coordinator<M> {
    /// Releases what waited for the front of the line, which is durable or has failed.
    pub(super) fn settle_front(self: &Rc<Self>, result: Result<Option<Appended>, ClientError>) {
        let front = self.state.borrow_mut().held.pop_front();
        let Some(front) = front else { return };
        match result {
            Ok(appended) => {
                if matches!(front.release, Release::SnapshotEnds) {
                    self.snapshot_is_durable();
                }
                self.release(front.release, Ok(appended));
            }
            Err(error) => {
                if let Release::Marker(sender) = front.release {
                    sender.send(Err(error.clone()));
                }
                if matches!(self.state.borrow().stage, Stage::Active(_)) {
                    self.fail(&error);
                }
            }
        }
    }

    pub(super) fn release(&self, release: Release<M::Reply>, appended: Result<Option<Appended>, ClientError>) {
        match (release, appended) {
            (Release::Replies(replies), _) => self.reply(replies),
            (Release::Marker(sender), Ok(Some(appended))) => sender.send(Ok(appended)),
            (Release::SnapshotBegins, Ok(Some(appended))) => {
                self.state.borrow_mut().growth.snapshot_from = Some(appended.base_offset);
            }
            (Release::Nothing | Release::Marker(_), _)
            | (Release::SnapshotBegins | Release::SnapshotGoesOn | Release::SnapshotEnds, _) => {}
        }
    }
}
