//! Each rule of the classic protocol by plain calls.

use super::group::{ClassicGroup, ClassicState};
use crate::coordinator::group::groups::Group;
use crate::coordinator::group::history::Outcome;
use crate::coordinator::group::settings::GroupSettings;
use crate::coordinator::group::testing::{Fixture, GROUP, Joins, REBALANCE_MS, SESSION_MS, subscription};
use crate::coordinator::machine::ReplyTo;
use crate::model::error_code::ErrorCode;

/// How long a new group waits for more members.
const DELAY_MS: u64 = 3000;

impl Fixture {
    fn group(&self) -> &ClassicGroup {
        match self.groups.get(GROUP) {
            Some(Group::Classic(group)) => group,
            other => panic!("no classic group: {other:?}"),
        }
    }

    fn state(&self) -> ClassicState {
        self.group().state
    }

    /// Joins as clients since KIP-394 do: asks for an id, then comes with it. Gives the id and the waiting request.
    fn come(&mut self, join: &Joins<'_>) -> (String, ReplyTo) {
        let to = self.join(join);
        let refused = self.joined(to);
        assert_eq!(refused.error_code, ErrorCode::MemberIdRequired.code());
        let id = refused.member_id.to_string();
        let to = self.join(&Joins { member: &id, ..join.clone() });
        (id, to)
    }

    /// A stable group of `count` members, the leader first, in generation 1.
    fn stable(&mut self, count: usize) -> Vec<String> {
        let come: Vec<(String, ReplyTo)> = (0..count).map(|_| self.come(&Joins::default())).collect();
        self.pass_ms(DELAY_MS * 2);
        let leader = self.group().leader.clone().unwrap();
        let mut ids: Vec<String> = come.iter().map(|(id, _)| id.clone()).collect();
        ids.sort_by_key(|id| *id != leader);
        for (_, to) in come {
            assert_eq!(self.joined(to).error_code, 0);
        }
        self.sync_all(&ids, 1);
        ids
    }

    /// All synchronise, the leader, who is the first, last; everybody is assigned its own id.
    fn sync_all(&mut self, ids: &[String], generation: i32) {
        let followers: Vec<ReplyTo> = ids[1..].iter().map(|id| self.sync(id, generation, &[])).collect();
        assert!(followers.iter().all(|to| self.is_waiting(*to)));
        let parts: Vec<(&str, &[u8])> = ids.iter().map(|id| (id.as_str(), id.as_bytes())).collect();
        let leader = self.sync(&ids[0], generation, &parts);
        for (id, to) in ids.iter().zip(std::iter::once(leader).chain(followers)) {
            let synced = self.synced(to);
            assert_eq!((synced.error_code, &*synced.assignment), (0, id.as_bytes()));
        }
        assert_eq!(self.state(), ClassicState::Stable);
    }

    fn code_of(&mut self, to: ReplyTo) -> ErrorCode {
        ErrorCode::from_code(self.joined(to).error_code).unwrap()
    }
}

#[test]
fn a_group_forms_assigns_and_is_empty_again() {
    let mut broker = Fixture::new();
    let ids = broker.stable(3);
    assert_eq!(broker.group().generation, 1);
    assert_eq!(broker.beat(&ids[1], 1), 0);
    let left = broker.leave(&[(&ids[0], None), (&ids[1], None), ("nobody", None)]);
    let codes: Vec<i16> = left.members.iter().map(|member| member.error_code).collect();
    assert_eq!(codes, [0, 0, ErrorCode::UnknownMemberId.code()]);
    assert_eq!(broker.state(), ClassicState::PreparingRebalance);
    assert_eq!(broker.beat(&ids[2], 1), ErrorCode::RebalanceInProgress.code());
    broker.leave(&[(&ids[2], None)]);
    assert_eq!((broker.state(), broker.group().generation), (ClassicState::Empty, 2));
    assert_eq!(broker.beat(&ids[2], 1), ErrorCode::UnknownMemberId.code());
    let past: Vec<(Outcome, String)> = broker
        .groups
        .history(GROUP)
        .unwrap()
        .past()
        .map(|rebalance| (rebalance.outcome, rebalance.cause.reason.clone()))
        .collect();
    assert_eq!(past.len(), 2);
    assert_eq!((past[0].0, past[1].0), (Outcome::Stable, Outcome::Empty));
    assert!(past[0].1.contains("joined; client reason: not provided"), "{}", past[0].1);
    assert!(past[1].1.contains("left"), "{}", past[1].1);
}

#[test]
fn the_leader_alone_hears_of_the_members() {
    let mut broker = Fixture::new();
    let (first, to_first) = broker.come(&Joins::default());
    let (second, to_second) = broker.come(&Joins::default());
    broker.pass_ms(DELAY_MS * 2);
    let (one, two) = (broker.joined(to_first), broker.joined(to_second));
    assert_eq!((&*one.leader, &*two.leader), (first.as_str(), first.as_str()));
    let members: Vec<&str> = one.members.iter().map(|member| member.member_id.as_str()).collect();
    assert_eq!(members.len(), 2);
    assert!(members.contains(&first.as_str()) && members.contains(&second.as_str()));
    assert_eq!(one.members[0].metadata, subscription(&["orders"]));
    assert!(two.members.is_empty());
    assert_eq!(one.protocol_name.as_deref(), Some("range"));
}

#[test]
fn old_clients_are_let_in_without_an_id() {
    let mut broker = Fixture::new();
    let to = broker.join(&Joins { version: 3, ..Joins::default() });
    assert!(broker.is_waiting(to));
    broker.pass_ms(DELAY_MS);
    assert_eq!(broker.joined(to).generation_id, 1);
}

#[test]
fn a_new_group_waits_while_members_keep_coming_but_not_longer_than_they_allow() {
    let mut broker = Fixture::new();
    let short = Joins { rebalance_ms: 7000, ..Joins::default() };
    let (_, first) = broker.come(&short);
    broker.pass_ms(2000);
    broker.come(&short);
    broker.pass_ms(2000);
    broker.come(&short);
    broker.pass_ms(2500);
    assert!(broker.is_waiting(first), "somebody came within each delay");
    broker.pass_ms(600);
    assert_eq!(broker.joined(first).members.len(), 3);
}

#[test]
fn timeouts_out_of_bounds_and_bad_ids_are_refused() {
    let mut broker = Fixture::new();
    let refused = |broker: &mut Fixture, join: Joins<'_>| {
        let to = broker.join(&join);
        broker.code_of(to)
    };
    let code = refused(&mut broker, Joins { session_ms: 5999, ..Joins::default() });
    assert_eq!(code, ErrorCode::InvalidSessionTimeout);
    let code = refused(&mut broker, Joins { session_ms: 1_800_001, ..Joins::default() });
    assert_eq!(code, ErrorCode::InvalidSessionTimeout);
    let code = refused(&mut broker, Joins { group: "", ..Joins::default() });
    assert_eq!(code, ErrorCode::InvalidGroupId);
    let code = refused(&mut broker, Joins { member: "somebody", ..Joins::default() });
    assert_eq!(code, ErrorCode::UnknownMemberId);
    let code = refused(&mut broker, Joins { protocols: Vec::new(), ..Joins::default() });
    assert_eq!(code, ErrorCode::InconsistentGroupProtocol);
    let code = refused(&mut broker, Joins { kind: "", ..Joins::default() });
    assert_eq!(code, ErrorCode::InconsistentGroupProtocol);
    let large = vec![("range", vec![0; super::join::MEMBER_METADATA_BYTES_MAX])];
    let code = refused(&mut broker, Joins { protocols: large, ..Joins::default() });
    assert_eq!(code, ErrorCode::InvalidRequest);
    let long = "x".repeat(40_000);
    let code = refused(&mut broker, Joins { group: &long, ..Joins::default() });
    assert_eq!(code, ErrorCode::InvalidGroupId);
    for named in [
        Joins { instance: Some(&long), ..Joins::default() },
        Joins { kind: &long, ..Joins::default() },
        Joins { protocols: vec![(&long, Vec::new())], ..Joins::default() },
    ] {
        assert_eq!(refused(&mut broker, named), ErrorCode::InvalidRequest);
    }
    assert!(broker.groups.is_empty(), "nothing is kept of who was refused");
    assert!(broker.log.is_empty());
}

#[test]
fn absurd_rebalance_timeouts_do_no_harm() {
    let mut broker = Fixture::new();
    for rebalance_ms in [i32::MIN, -1, 0, i32::MAX] {
        let (_, to) = broker.come(&Joins { rebalance_ms, ..Joins::default() });
        broker.pass_ms(10);
        assert!(broker.is_waiting(to));
    }
    broker.pass_ms(1_000_000);
}

#[test]
fn the_protocol_most_members_prefer_wins_among_those_all_speak() {
    let mut broker = Fixture::new();
    let speaking = |names: &[&'static str]| Joins {
        kind: "connect",
        protocols: names.iter().map(|name| (*name, name.as_bytes().to_vec())).collect(),
        ..Joins::default()
    };
    let (_, first) = broker.come(&speaking(&["a", "b", "c"]));
    let (_, second) = broker.come(&speaking(&["c", "b"]));
    let (_, third) = broker.come(&speaking(&["c", "b", "a"]));
    let alien = broker.join(&speaking(&["z"]));
    assert_eq!(broker.code_of(alien), ErrorCode::InconsistentGroupProtocol);
    let other_kind = broker.join(&Joins { kind: "consumer", ..speaking(&["c"]) });
    assert_eq!(broker.code_of(other_kind), ErrorCode::InconsistentGroupProtocol);
    broker.pass_ms(DELAY_MS * 3);
    for to in [first, second, third] {
        let joined = broker.joined(to);
        assert_eq!(joined.protocol_name.as_deref(), Some("c"));
        assert_eq!(joined.protocol_type.as_deref(), Some("connect"));
    }
    assert_eq!(broker.group().members.values().next().unwrap().metadata("c"), b"c".as_slice());
}

#[test]
fn a_member_that_is_silent_is_removed_and_the_others_rebalance() {
    let mut broker = Fixture::new();
    let ids = broker.stable(2);
    for _ in 0..4 {
        broker.pass_ms(3000);
        broker.beat(&ids[0], 1);
    }
    assert_eq!(broker.beat(&ids[0], 1), ErrorCode::RebalanceInProgress.code());
    assert!(!broker.group().members.contains_key(&ids[1]));
    let to = broker.join(&Joins { member: &ids[0], ..Joins::default() });
    assert_eq!(broker.joined(to).generation_id, 2);
    broker.sync_all(&ids[..1], 2);
    let rebalance = broker.groups.history(GROUP).unwrap().past().last().unwrap().clone();
    assert!(rebalance.cause.reason.contains("nothing was heard of it"), "{}", rebalance.cause.reason);
    assert_eq!((rebalance.cause.member_id, rebalance.cause.client_id), (ids[1].clone(), "client".to_owned()));
    assert_eq!((rebalance.outcome, rebalance.generation, rebalance.members), (Outcome::Stable, 2, 1));
}

#[test]
fn who_does_not_join_in_time_is_left_behind() {
    let mut broker = Fixture::new();
    let ids = broker.stable(3);
    let to = broker.join(&Joins { member: &ids[0], ..Joins::default() });
    assert!(broker.is_waiting(to), "the leader joined anew, the others are waited for");
    for _ in 0..20 {
        broker.pass_ms(REBALANCE_MS as u64 / 20);
        broker.beat(&ids[1], 1);
        broker.beat(&ids[2], 1);
    }
    broker.pass_ms(100);
    let joined = broker.joined(to);
    assert_eq!((joined.generation_id, joined.members.len()), (2, 1));
    assert_eq!(broker.beat(&ids[1], 1), ErrorCode::UnknownMemberId.code());
}

#[test]
fn who_does_not_synchronise_in_time_is_removed() {
    let mut broker = Fixture::new();
    let (first, to) = broker.come(&Joins::default());
    let (second, _) = broker.come(&Joins::default());
    broker.pass_ms(DELAY_MS * 2);
    assert_eq!(broker.joined(to).generation_id, 1);
    let leader = broker.group().leader.clone().unwrap();
    let follower = if leader == first { second } else { first };
    let waits = broker.sync(&follower, 1, &[]);
    for _ in 0..25 {
        broker.pass_ms(3000);
        broker.beat(&leader, 1);
        broker.beat(&follower, 1);
    }
    assert_eq!(broker.synced(waits).error_code, ErrorCode::RebalanceInProgress.code());
    assert!(!broker.group().members.contains_key(&leader), "the leader never assigned");
    assert!(broker.group().members.contains_key(&follower));
}

#[test]
fn generations_and_protocols_are_compared() {
    let mut broker = Fixture::new();
    let ids = broker.stable(2);
    assert_eq!(broker.beat(&ids[0], 0), ErrorCode::IllegalGeneration.code());
    assert_eq!(broker.beat("nobody", 1), ErrorCode::UnknownMemberId.code());
    let to = broker.sync(&ids[0], 7, &[]);
    assert_eq!(broker.synced(to).error_code, ErrorCode::IllegalGeneration.code());
    let to = broker.sync(&ids[1], 1, &[]);
    assert_eq!(&*broker.synced(to).assignment, ids[1].as_bytes(), "a stable group tells the assignment again");
}

#[test]
fn a_join_that_is_repeated_changes_nothing_for_a_follower() {
    let mut broker = Fixture::new();
    let ids = broker.stable(2);
    let to = broker.join(&Joins { member: &ids[1], ..Joins::default() });
    let joined = broker.joined(to);
    assert_eq!((joined.generation_id, &*joined.leader), (1, ids[0].as_str()));
    assert_eq!(broker.state(), ClassicState::Stable);
    let to = broker.join(&Joins {
        member: &ids[1],
        protocols: vec![("range", subscription(&["payments"]))],
        ..Joins::default()
    });
    assert!(broker.is_waiting(to), "other metadata needs another generation");
    assert_eq!(broker.state(), ClassicState::PreparingRebalance);
}

#[test]
fn a_static_member_is_back_without_a_rebalance_and_its_former_self_is_fenced() {
    let mut broker = Fixture::new();
    let join = |instance| Joins { instance: Some(instance), ..Joins::default() };
    let first = broker.join(&join("one"));
    let second = broker.join(&join("two"));
    broker.pass_ms(DELAY_MS * 2);
    let (one, two) = (broker.joined(first), broker.joined(second));
    assert!(one.member_id.starts_with("one-"));
    let leader_first = one.leader == one.member_id;
    let mut ids = vec![one.member_id.to_string(), two.member_id.to_string()];
    if !leader_first {
        ids.reverse();
    }
    broker.sync_all(&ids, 1);
    let records = broker.log.len();
    let follower = if leader_first { "two" } else { "one" };
    let to = broker.join(&join(follower));
    let again = broker.joined(to);
    assert_eq!((again.error_code, again.generation_id, again.skip_assignment), (0, 1, false));
    assert_ne!(again.member_id.as_str(), ids[1]);
    assert_eq!(broker.state(), ClassicState::Stable);
    assert_eq!(broker.log.len(), records + 1, "the new id is written down");
    let to = broker.sync(&again.member_id, 1, &[]);
    assert_eq!(&*broker.synced(to).assignment, ids[1].as_bytes(), "it has what its former self had");
    let to = broker.join(&Joins { member: &ids[1], ..join(follower) });
    assert_eq!(broker.code_of(to), ErrorCode::FencedInstanceId);
    assert_eq!(broker.beat(&ids[1], 1), ErrorCode::UnknownMemberId.code());
    let leader = if leader_first { "one" } else { "two" };
    let to = broker.join(&join(leader));
    let again = broker.joined(to);
    assert!(again.skip_assignment, "a leader need not assign anew (KIP-814)");
    assert_eq!((again.leader == again.member_id, again.members.len()), (true, 2));
    let old = broker.join(&Joins { version: 5, ..join(leader) });
    let old = broker.joined(old);
    assert!(old.leader != old.member_id, "who cannot skip the assignment is not told that it leads");
}

#[test]
fn a_static_member_is_removed_by_its_instance_id() {
    let mut broker = Fixture::new();
    let to = broker.join(&Joins { instance: Some("one"), ..Joins::default() });
    broker.pass_ms(DELAY_MS);
    let id = broker.joined(to).member_id.to_string();
    broker.sync_all(&[id], 1);
    let left = broker.leave(&[("", Some("two")), ("other", Some("one")), ("", Some("one"))]);
    let codes: Vec<i16> = left.members.iter().map(|member| member.error_code).collect();
    assert_eq!(codes, [ErrorCode::UnknownMemberId.code(), ErrorCode::FencedInstanceId.code(), 0]);
    assert_eq!(broker.state(), ClassicState::Empty);
}

#[test]
fn a_full_group_takes_nobody_in() {
    let mut settings = GroupSettings::default();
    settings.classic.size_max = 2;
    let mut broker = Fixture::with(settings);
    let ids = broker.stable(2);
    let to = broker.join(&Joins::default());
    assert_eq!(broker.code_of(to), ErrorCode::GroupMaxSizeReached);
    let to = broker.join(&Joins { member: &ids[0], ..Joins::default() });
    assert!(broker.is_waiting(to), "members are in already");
}

#[test]
fn ids_that_are_given_out_and_not_used_are_forgotten() {
    let mut broker = Fixture::new();
    let to = broker.join(&Joins::default());
    assert_eq!(broker.code_of(to), ErrorCode::MemberIdRequired);
    assert_eq!(broker.groups.len(), 1);
    broker.pass_ms(SESSION_MS as u64 + 1);
    assert!(broker.groups.is_empty());
    assert!(broker.log.is_empty(), "nothing was written for it");
}

#[test]
fn a_group_outlives_its_broker_and_its_members_keep_their_sessions() {
    let mut broker = Fixture::new();
    let ids = broker.stable(2);
    let mut broker = broker.reloaded();
    assert_eq!(broker.state(), ClassicState::Stable);
    assert_eq!(broker.beat(&ids[0], 1), 0);
    let to = broker.sync(&ids[1], 1, &[]);
    assert_eq!(&*broker.synced(to).assignment, ids[1].as_bytes());
    broker.pass_ms(SESSION_MS as u64 - 1);
    assert_eq!(broker.beat(&ids[0], 1), 0, "sessions start when the group was read");
    broker.pass_ms(2 * SESSION_MS as u64);
    assert_eq!(broker.state(), ClassicState::Empty);
}

#[test]
fn a_group_caught_while_rebalancing_is_read_as_it_was_before() {
    let mut broker = Fixture::new();
    let ids = broker.stable(2);
    broker.join(&Joins { member: &ids[0], ..Joins::default() });
    assert_eq!(broker.state(), ClassicState::PreparingRebalance);
    let mut broker = broker.reloaded();
    assert_eq!((broker.state(), broker.group().generation), (ClassicState::Stable, 1));
    assert_eq!(broker.beat(&ids[1], 1), 0);
}

#[test]
fn an_assignment_beyond_what_a_record_takes_is_refused() {
    let mut broker = Fixture::new();
    let (id, to) = broker.come(&Joins::default());
    broker.pass_ms(DELAY_MS);
    assert_eq!(broker.joined(to).generation_id, 1);
    let large = vec![0; super::sync::GROUP_RECORD_BYTES_MAX];
    let to = broker.sync(&id, 1, &[(&id, &large)]);
    assert_eq!(broker.synced(to).error_code, ErrorCode::UnknownServerError.code());
    assert_eq!(broker.state(), ClassicState::PreparingRebalance);
}

#[test]
fn a_static_member_that_comes_back_with_more_than_the_record_takes_has_the_group_rebalance() {
    let mut broker = Fixture::new();
    let to = broker.join(&Joins { instance: Some("one"), ..Joins::default() });
    broker.pass_ms(DELAY_MS);
    let id = broker.joined(to).member_id.to_string();
    let assigned = vec![0; super::sync::GROUP_RECORD_BYTES_MAX - 1000];
    let to = broker.sync(&id, 1, &[(&id, &assigned)]);
    assert_eq!(broker.synced(to).error_code, 0);
    let more = vec![("range", vec![0; 2000])];
    let to = broker.join(&Joins { instance: Some("one"), protocols: more, ..Joins::default() });
    assert_eq!(broker.joined(to).generation_id, 2);
    assert_eq!(broker.state(), ClassicState::CompletingRebalance);
}

#[test]
fn a_request_that_is_sent_again_does_not_leave_the_first_without_an_answer() {
    let mut broker = Fixture::new();
    let (id, first) = broker.come(&Joins::default());
    let second = broker.join(&Joins { member: &id, ..Joins::default() });
    assert_eq!(broker.code_of(first), ErrorCode::RebalanceInProgress);
    broker.pass_ms(DELAY_MS);
    assert_eq!(broker.joined(second).generation_id, 1);
}
