//! The state machine of one partition of `__transaction_state`: which request goes where, and which record.

use crate::base::time::Instant;
use crate::coordinator::machine::{CoordinatorRecord, Effects, Machine, ReplyTo, Situation, TransactionOf};
use crate::metadata::delta::Changes;

/// What a coordinator of transactions is asked.
#[derive(Debug)]
pub enum Input {}

/// What it answers, for each request its own.
#[derive(Debug)]
pub enum Reply {}

/// Transactions of one partition.
#[derive(Default)]
pub struct TransactionMachine {}

impl Machine for TransactionMachine {
    type Input = Input;
    type Reply = Reply;

    fn decide(&mut self, _situation: &Situation<'_>, input: Input, _to: ReplyTo) -> Effects<Reply> {
        match input {}
    }

    fn replay(
        &mut self,
        _key: &[u8],
        _value: Option<&[u8]>,
        _transaction: Option<TransactionOf>,
    ) -> Result<(), String> {
        Err("no record of transactions is known yet".to_owned())
    }

    fn replay_marker(&mut self, _transaction: TransactionOf, _committed: bool) {}

    fn loaded(&mut self, _situation: &Situation<'_>) -> Effects<Reply> {
        Effects::default()
    }

    fn image_changed(&mut self, _situation: &Situation<'_>, _changes: &Changes) -> Effects<Reply> {
        Effects::default()
    }

    fn on_time(&mut self, _situation: &Situation<'_>) -> Effects<Reply> {
        Effects::default()
    }

    fn next_deadline(&self) -> Option<Instant> {
        None
    }

    fn snapshot(&self) -> Vec<CoordinatorRecord> {
        Vec::new()
    }

    fn has_pending_transactions(&self) -> bool {
        false
    }
}
