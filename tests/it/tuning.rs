//! `tuning/`: what check.sh shows, that it changes nothing, and that apply.sh and revert.sh undo each other, on a made-up
//! host below a directory.
#![allow(clippy::unwrap_used, reason = "a test ends where its expectations do")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Files of a host with three cores, one device and one network card.
const HOST: [(&str, &str); 16] = [
    ("sys/devices/system/cpu/online", "0-2"),
    ("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "powersave"),
    ("sys/devices/system/cpu/cpu1/cpufreq/scaling_governor", "performance"),
    ("sys/devices/system/cpu/cpu0/cpuidle/state0/latency", "2"),
    ("sys/devices/system/cpu/cpu0/cpuidle/state0/disable", "0"),
    ("sys/devices/system/cpu/cpu0/cpuidle/state2/latency", "120"),
    ("sys/devices/system/cpu/cpu0/cpuidle/state2/disable", "0"),
    ("sys/devices/virtual/workqueue/cpumask", "7"),
    ("sys/block/disk/queue/scheduler", "none [mq-deadline]"),
    ("sys/block/disk/queue/rq_affinity", "2"),
    ("sys/class/net/card/device/msi_irqs/30", "msi"),
    ("proc/irq/30/smp_affinity_list", "0-2"),
    ("sys/class/net/card/queues/rx-0/rps_cpus", "0"),
    ("proc/sys/net/core/somaxconn", "8192"),
    ("proc/sys/net/core/rmem_max", "212992"),
    ("sys/kernel/mm/transparent_hugepage/enabled", "[always] madvise never"),
];

struct Host {
    root: tempfile::TempDir,
    state: PathBuf,
}

impl Host {
    fn new() -> Host {
        let root = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        for (path, content) in HOST {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, format!("{content}\n")).unwrap();
        }
        let state = root.path().join("state/kept");
        Host { root, state }
    }

    fn run(&self, script: &str) -> String {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tuning").join(script);
        let output = Command::new(path)
            .env("FLUMEN_ROOT", self.root.path())
            .env("FLUMEN_STATE", &self.state)
            .env("FLUMEN_DEVICE", "disk")
            .env("FLUMEN_DATA", self.root.path())
            .env_remove("FLUMEN_REACTORS")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{script}: {said}{}", String::from_utf8_lossy(&output.stderr));
        said
    }

    fn content(&self) -> BTreeMap<&'static str, String> {
        HOST.iter().map(|(path, _)| (*path, self.read(path))).collect()
    }

    fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.root.path().join(path)).unwrap().trim().to_owned()
    }
}

fn row<'a>(table: &'a str, name: &str) -> &'a str {
    table.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no '{name}' in:\n{table}"))
}

#[test]
fn a_check_tells_what_is_to_be_set_and_changes_nothing() {
    let host = Host::new();
    let before = host.content();
    let table = host.run("check.sh");
    assert_eq!(host.content(), before);
    assert!(!host.state.exists());
    for (name, verdict) in [
        ("governor cpu0", "set"),
        ("governor cpu1", "ok"),
        ("idle state cpu0 state2", "set"),
        ("kernel workers", "set"),
        ("scheduler disk", "set"),
        ("completions disk", "ok"),
        ("interrupt 30 card", "set"),
        ("accept queue", "ok"),
        ("receive buffer", "set"),
        ("huge pages", "set"),
        ("swappiness", "n/a"),
        ("entropy disk", "n/a"),
    ] {
        let line = row(&table, name);
        assert!(line.split_whitespace().any(|word| word == verdict), "{name} is not '{verdict}': {line}");
    }
    assert!(!table.contains("idle state cpu0 state0"), "a state that wakes quickly may stay");
}

#[test]
fn what_is_applied_is_reverted_and_both_may_be_repeated() {
    let host = Host::new();
    let before = host.content();
    let said = host.run("apply.sh");
    assert!(said.contains("governor cpu0: powersave -> performance"), "{said}");
    assert_eq!(host.read("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"), "performance");
    assert_eq!(host.read("sys/devices/system/cpu/cpu0/cpuidle/state2/disable"), "1");
    assert_eq!(host.read("sys/devices/system/cpu/cpu0/cpuidle/state0/disable"), "0");
    // Reactors have cores 1 and 2, so that interrupts and workers get core 0.
    assert_eq!(host.read("sys/devices/virtual/workqueue/cpumask"), "1");
    assert_eq!(host.read("proc/irq/30/smp_affinity_list"), "0");
    assert_eq!(host.read("sys/class/net/card/queues/rx-0/rps_cpus"), "6");
    assert_eq!(host.read("proc/sys/net/core/somaxconn"), "8192", "more than enough is left alone");
    assert_eq!(host.read("proc/sys/net/core/rmem_max"), "4194304");
    let applied = host.content();
    let again = host.run("apply.sh");
    assert!(again.starts_with("0 settings changed"), "{again}");
    assert_eq!(host.content(), applied);

    host.run("revert.sh");
    // A kernel's file lists the choices again; here it holds the word that was written.
    let chosen = |text: &str| {
        let bracketed = text.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
        bracketed.map_or(text.to_owned(), |(word, _)| word.to_owned())
    };
    for (path, content) in &before {
        assert_eq!(host.read(path), chosen(content), "{path}");
    }
    assert_eq!(host.run("revert.sh").trim(), "nothing to revert");
}
