//! SyncGroup: the leader brings the assignment, everybody gets its part.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::group::{ClassicGroup, ClassicState};
use crate::coordinator::group::history::{Cause, Outcome};
use crate::coordinator::group::request::{Context, MembershipReply, text};
use crate::coordinator::machine::ReplyTo;
use crate::model::error_code::ErrorCode;
use crate::protocol::messages::{SyncGroupRequest, SyncGroupResponse};

/// The largest record of a group, in bytes: all its members' metadata and assignments. Kafka's is about 1 MiB
/// (`message.max.bytes`), which a thousand members pass.
pub const GROUP_RECORD_BYTES_MAX: usize = 4 << 20;

impl ClassicGroup {
    /// Takes a SyncGroup in; the reply comes now or when the leader has assigned.
    pub fn sync(&mut self, context: &mut Context<'_>, request: &SyncGroupRequest, to: ReplyTo) {
        if let Err(code) = self.check_sync(request) {
            return ClassicGroup::refuse_sync(context, to, code);
        }
        let member_id = request.member_id.as_str();
        match self.state {
            ClassicState::Empty => ClassicGroup::refuse_sync(context, to, ErrorCode::UnknownMemberId),
            ClassicState::PreparingRebalance => ClassicGroup::refuse_sync(context, to, ErrorCode::RebalanceInProgress),
            ClassicState::CompletingRebalance => {
                self.has_synced(member_id);
                let given_up = self.members.get_mut(member_id).and_then(|member| member.waiting_sync.replace(to));
                if let Some(given_up) = given_up {
                    ClassicGroup::refuse_sync(context, given_up, ErrorCode::RebalanceInProgress);
                }
                if self.is_leader(member_id) {
                    self.assign(context, request);
                }
            }
            ClassicState::Stable => {
                self.has_synced(member_id);
                self.answer_sync(context, member_id, to);
            }
        }
    }

    fn check_sync(&self, request: &SyncGroupRequest) -> Result<(), ErrorCode> {
        if self.state == ClassicState::Empty {
            return Err(ErrorCode::UnknownMemberId);
        }
        self.check_member(&request.member_id, request.group_instance_id.as_ref().map(|id| id.as_str()))?;
        if request.generation_id != self.generation {
            return Err(ErrorCode::IllegalGeneration);
        }
        let differs = |asked: &Option<crate::protocol::StrBytes>, known: &Option<String>| matches!((asked, known), (Some(asked), Some(known)) if asked.as_str() != known);
        if differs(&request.protocol_type, &self.protocol_type) || differs(&request.protocol_name, &self.protocol) {
            return Err(ErrorCode::InconsistentGroupProtocol);
        }
        Ok(())
    }

    fn has_synced(&mut self, member_id: &str) {
        self.pending_syncs.remove(member_id);
        if self.pending_syncs.is_empty() {
            self.sync_deadline = None;
        }
    }

    fn assign(&mut self, context: &mut Context<'_>, request: &SyncGroupRequest) {
        let mut assigned: BTreeMap<&str, &Bytes> =
            request.assignments.iter().map(|part| (part.member_id.as_str(), &part.assignment)).collect();
        for member in self.members.values_mut() {
            let part = assigned.remove(member.id.as_str());
            member.assignment = part.map(|part| Bytes::copy_from_slice(part)).unwrap_or_default();
        }
        if !self.fits_a_record() {
            let bytes = self.record_bytes();
            let reason = format!("an assignment of {bytes} bytes, {GROUP_RECORD_BYTES_MAX} are allowed");
            self.take_assignments_back(context, ErrorCode::UnknownServerError);
            return self.prepare(context, Cause::of_group(reason));
        }
        let situation = context.situation;
        self.enter(ClassicState::Stable, situation.wall_ms);
        context.history.end(&self.id, situation.now, self.generation, self.members.len(), Outcome::Stable);
        self.write(context);
        let waiting: Vec<(String, ReplyTo)> = self
            .members
            .values_mut()
            .filter_map(|member| member.waiting_sync.take().map(|to| (member.id.clone(), to)))
            .collect();
        for (member_id, to) in waiting {
            self.answer_sync(context, &member_id, to);
        }
    }

    /// Whether the log takes the group's record; see [`GROUP_RECORD_BYTES_MAX`].
    pub(super) fn fits_a_record(&self) -> bool {
        self.record_bytes() <= GROUP_RECORD_BYTES_MAX
    }

    /// About the bytes that the group's record takes: all that can be long in it.
    fn record_bytes(&self) -> usize {
        let protocol = self.protocol.as_deref().unwrap_or_default();
        let member_bytes = |member: &super::group::ClassicMember| {
            let texts = member.id.len() + member.client_id.len() + member.client_host.len();
            let instance = member.instance_id.as_ref().map_or(0, String::len);
            texts + instance + member.metadata(protocol).len() + member.assignment.len() + 32
        };
        self.members.values().map(member_bytes).sum()
    }

    fn answer_sync(&mut self, context: &mut Context<'_>, member_id: &str, to: ReplyTo) {
        let member = &self.members[member_id];
        let response = SyncGroupResponse::default()
            .with_protocol_type(self.protocol_type.as_deref().map(text))
            .with_protocol_name(self.protocol.as_deref().map(text))
            .with_assignment(member.assignment.clone());
        let ends = context.in_ms(member.session_timeout_ms);
        self.restart_session(member_id, ends);
        context.reply(to, MembershipReply::SyncGroup(Box::new(response)));
    }
}
