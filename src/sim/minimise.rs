//! Makes a failing plan small: faults are left out, in halves first and then one by one, as long as the same promise stays
//! broken.

use super::nemesis::Planned;
use super::run::{Outcome, Script};

/// The smallest plan found with which `script` still breaks the promise that `failed` broke, within `replays_max` replays.
/// Each of the seed's own random streams is split by purpose, and each fault draws from its own, so what is left of the
/// plan strikes as before.
pub fn minimise(
    script: &Script,
    failed: &Outcome,
    replays_max: usize,
    mut play: impl FnMut(&Script) -> Outcome,
) -> Vec<Planned> {
    let Some(violation) = &failed.violation else { return failed.plan.clone() };
    let (mut plan, mut replays) = (failed.plan.clone(), 0);
    let mut still_fails = |candidate: &[Planned], replays: &mut usize| {
        *replays += 1;
        let outcome = play(&Script { plan: Some(candidate.to_vec()), ..script.clone() });
        outcome.violation.is_some_and(|other| other.checker == violation.checker)
    };
    let mut chunk = plan.len();
    while chunk > 0 {
        let mut at = 0;
        while at < plan.len() && replays < replays_max {
            let mut candidate = plan.clone();
            candidate.drain(at..(at + chunk).min(plan.len()));
            if still_fails(&candidate, &mut replays) {
                plan = candidate;
            } else {
                at += chunk;
            }
        }
        chunk /= 2;
    }
    plan
}

#[cfg(test)]
mod tests;
