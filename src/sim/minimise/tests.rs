use super::minimise;
use crate::base::time::Duration;
use crate::sim::history::{Counts, Violation};
use crate::sim::nemesis::{Fault, Planned};
use crate::sim::run::{Outcome, Script};

fn outcome(plan: &[Planned], fails: bool) -> Outcome {
    Outcome {
        violation: fails.then(|| Violation { checker: "a checker", what: String::new() }),
        plan: plan.to_vec(),
        simulated: Duration::ZERO,
        at_work: Duration::ZERO,
        events: 0,
        hash: 0,
        counts: Counts::default(),
        report: Vec::new(),
    }
}

#[test]
fn what_is_left_is_what_it_takes() {
    let planned = |number| Planned { number, at: Duration::from_secs(number as u64), fault: Fault::Reset };
    let all: Vec<Planned> = (0..23).map(planned).collect();
    for needed in [vec![], vec![0], vec![22], vec![3, 17], vec![5, 6, 7, 20]] {
        let fails = |plan: &[Planned]| needed.iter().all(|number| plan.iter().any(|one| one.number == *number));
        let play = |script: &Script| {
            let plan = script.plan.as_deref().unwrap_or(&all);
            outcome(plan, fails(plan))
        };
        let left = minimise(&Script::of(1), &outcome(&all, true), 500, play);
        assert_eq!(left.iter().map(|one| one.number).collect::<Vec<_>>(), needed);
    }
}
