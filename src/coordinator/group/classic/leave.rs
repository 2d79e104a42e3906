//! LeaveGroup: members go, by themselves or by an operator's hand (KIP-345).

use super::group::{ClassicGroup, ClassicState};
use super::join::client_reason;
use crate::coordinator::group::history::Cause;
use crate::coordinator::group::request::Context;
use crate::model::error_code::ErrorCode;
use crate::protocol::messages::leave_group_request::MemberIdentity;
use crate::protocol::messages::leave_group_response::MemberResponse;

impl ClassicGroup {
    /// Removes the members named; each has its own result.
    pub fn leave(&mut self, context: &mut Context<'_>, members: &[MemberIdentity]) -> Vec<MemberResponse> {
        let mut cause = None;
        let mut responses = Vec::with_capacity(members.len());
        for identity in members {
            let left = self.leave_one(context, identity);
            let response = MemberResponse::default()
                .with_member_id(identity.member_id.clone())
                .with_group_instance_id(identity.group_instance_id.clone());
            match left {
                Ok(left) => {
                    cause = cause.or(Some(left));
                    responses.push(response);
                }
                Err(code) => responses.push(response.with_error_code(code.code())),
            }
        }
        if let Some(cause) = cause {
            match self.state {
                ClassicState::Stable | ClassicState::CompletingRebalance => self.prepare(context, cause),
                ClassicState::PreparingRebalance => self.complete_if_all_joined(context),
                ClassicState::Empty => {}
            }
        }
        responses
    }

    fn leave_one(&mut self, context: &mut Context<'_>, identity: &MemberIdentity) -> Result<Cause, ErrorCode> {
        let reason = client_reason(identity.reason.as_ref().map(|reason| reason.as_str()));
        let instance = identity.group_instance_id.as_ref().map(|id| id.as_str());
        let member_id = identity.member_id.as_str();
        if self.pending_joins.contains_key(member_id) {
            self.remove(member_id);
            return Ok(Cause::of_member(
                format!("member {member_id} left; client reason: {reason}"),
                member_id,
                "",
                "",
            ));
        }
        let member_id = match (member_id.is_empty(), instance) {
            (true, Some(instance)) => self.static_members.get(instance).cloned().ok_or(ErrorCode::UnknownMemberId)?,
            (true, None) => return Err(ErrorCode::UnknownMemberId),
            (false, _) => {
                self.check_member(member_id, instance)?;
                member_id.to_owned()
            }
        };
        let what = format!("member {member_id} left; client reason: {reason}");
        Ok(self.remove_answering(context, &member_id, what))
    }

    /// Removes a member whose waiting requests hear of it; gives the cause of the rebalance that follows.
    pub fn remove_answering(&mut self, context: &mut Context<'_>, member_id: &str, what: String) -> Cause {
        let Some(member) = self.remove(member_id) else { return Cause::of_group(what) };
        if let Some(to) = member.waiting_join {
            ClassicGroup::refuse_join(context, to, "", ErrorCode::UnknownMemberId);
        }
        if let Some(to) = member.waiting_sync {
            ClassicGroup::refuse_sync(context, to, ErrorCode::UnknownMemberId);
        }
        Cause::of_member(what, member_id, &member.client_id, &member.client_host)
    }
}
