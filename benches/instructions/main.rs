//! What is counted by `scripts/instructions.sh`: one scenario, so often as is asked, and nothing printed.
//!
//! `flumen-instructions SCENARIO TIMES [--again-one-in COUNT]`; without arguments it names the scenarios. The script lets
//! valgrind count the instructions of TIMES and of twice as many, so that what a start costs cancels out. `--again-one-in`
//! does one piece of work in so many twice: the script shows with it that it would notice.
//!
//! It is a program and no bench, since cargo builds benches with `panic = "unwind"`, for which it would compile every
//! dependency anew, and what is counted would not be what is shipped.

#![allow(clippy::print_stdout, reason = "it names its scenarios")]

use std::process::ExitCode;

mod parts;
mod worlds;

/// As in `flumen` itself.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How often, and which of it twice.
#[derive(Clone, Copy)]
struct Times {
    count: u32,
    /// One in so many is done again; 0 for none.
    again_one_in: u32,
}

impl Times {
    fn run(self, mut work: impl FnMut()) {
        for at in 0..self.count {
            work();
            if self.again_one_in > 0 && at % self.again_one_in == 0 {
                work();
            }
        }
    }
}

/// A scenario: what of it is counted, its name, how often the script asks for it, and what it does.
struct Scenario {
    /// `all` of the program, or what the `reactors` of a world do.
    counted: &'static str,
    name: &'static str,
    times: u32,
    run: fn(Times),
}

const fn part(name: &'static str, times: u32, run: fn(Times)) -> Scenario {
    Scenario { counted: "all", name, times, run }
}

const fn whole(name: &'static str, times: u32, run: fn(Times)) -> Scenario {
    Scenario { counted: "reactors", name, times, run }
}

const SCENARIOS: [Scenario; 13] = [
    part("produce_decode_1", 10_000, |times| parts::produce_decode(times, 1)),
    part("produce_decode_50", 1_000, |times| parts::produce_decode(times, 50)),
    part("append_170", 10_000, |times| parts::append(times, 1)),
    part("append_64k", 1_000, |times| parts::append(times, 600)),
    part("produce_reply_1", 10_000, |times| parts::produce_reply(times, 1)),
    part("produce_reply_50", 1_000, |times| parts::produce_reply(times, 50)),
    part("fetch_decode_1", 10_000, |times| parts::fetch_decode(times, 1)),
    part("fetch_decode_50", 1_000, |times| parts::fetch_decode(times, 50)),
    part("fetch_reply_1", 10_000, |times| parts::fetch_reply(times, 1)),
    part("fetch_reply_50", 1_000, |times| parts::fetch_reply(times, 50)),
    whole("produce_small", 3_200, worlds::produce_small),
    whole("produce_batch", 640, worlds::produce_batch),
    whole("fetch_tail", 3_200, worlds::fetch_tail),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (name, times) = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [name, count] => (name, times(count, "0")),
        [name, count, "--again-one-in", again] => (name, times(count, again)),
        _ => ("", None),
    };
    let found = SCENARIOS.iter().find(|scenario| scenario.name == name);
    let (Some(scenario), Some(times)) = (found, times) else {
        SCENARIOS.iter().for_each(|scenario| println!("{} {} {}", scenario.name, scenario.times, scenario.counted));
        return if arguments.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    };
    (scenario.run)(times);
    ExitCode::SUCCESS
}

fn times(count: &str, again_one_in: &str) -> Option<Times> {
    Some(Times { count: count.parse().ok()?, again_one_in: again_one_in.parse().ok()? })
}
