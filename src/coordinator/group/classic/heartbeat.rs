//! Heartbeat: a member says that it lives, and hears whether it has to join anew.

use super::group::{ClassicGroup, ClassicState};
use crate::coordinator::group::request::Context;
use crate::model::error_code::ErrorCode;

impl ClassicGroup {
    /// Restarts the member's session.
    ///
    /// # Errors
    /// What the member has to hear.
    pub fn heartbeat(
        &mut self,
        context: &Context<'_>,
        member_id: &str,
        instance_id: Option<&str>,
        generation: i32,
    ) -> Result<(), ErrorCode> {
        self.check_member(member_id, instance_id)?;
        if generation != self.generation {
            return Err(ErrorCode::IllegalGeneration);
        }
        let timeout_ms = self.members[member_id].session_timeout_ms;
        self.restart_session(member_id, context.in_ms(timeout_ms));
        match self.state {
            ClassicState::Empty => Err(ErrorCode::UnknownMemberId),
            ClassicState::PreparingRebalance => Err(ErrorCode::RebalanceInProgress),
            ClassicState::CompletingRebalance | ClassicState::Stable => Ok(()),
        }
    }
}
