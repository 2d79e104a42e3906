#!/usr/bin/env bash
# Every test of the project, on a machine that has nothing but the compilers: format, lints, the Rust tests, the instruction
# counts, and the suites of unmodified clients against the release binary. What else is needed is installed from the package
# registries. The last line is `N passed, N failed`.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '\n== %s\n' "$*"; }

need() { # need COMMAND PACKAGE: a Debian package for a command that is missing
    command -v "$1" >/dev/null || packages+=("$2")
}

packages=()
need kcat kcat
need jq jq
need patch patch
need mkfs.ext4 e2fsprogs
need valgrind valgrind
need mvn maven
if ((${#packages[@]})); then
    say "Debian packages: ${packages[*]}"
    apt-get update -q
    DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${packages[@]}"
fi

say "format"
cargo fmt --all --check

say "lints"
cargo clippy --all-targets --locked -- -D warnings

log=$(mktemp)
trap 'rm -f "$log"' EXIT

say "tests"
cargo test --locked 2>&1 | tee "$log"
rust=$(awk '/^test result:/ { passed += $4; failed += $6; ignored += $8 } END { print passed + 0, failed + 0, ignored + 0 }' "$log")
read -r passed failed ignored <<<"$rust"
if ((failed > 0 || ignored > 0 || passed == 0)); then
    echo "the Rust tests: $passed passed, $failed failed, $ignored ignored (none may be)"
    exit 1
fi

say "the simulated world: a corpus of seeds"
cargo build --locked --profile sim --bin flumen-sim
target/sim/flumen-sim --seeds 0..600

# Each state of the sources has seeds of its own, so that one that fails here fails everywhere. scripts/soak.sh plays on.
say "the simulated world: fresh seeds"
fresh=$((16#$(cat Cargo.lock $(git ls-files src) | sha256sum | cut -c 1-8)))
target/sim/flumen-sim --seeds "$fresh..$((fresh + 500))"

say "the simulated world: broken promises that it has to notice"
scripts/mutations.sh 2>&1 | tee "$log"
read -r mutations_passed mutations_failed <<<"$(tail -n 1 "$log" | sed -nE 's/^([0-9]+) passed, ([0-9]+) failed$/\1 \2/p')"

say "the release binary"
cargo build --release --locked

say "instructions of the hot path, against those that are kept"
scripts/instructions.sh 2>&1 | tee "$log"
read -r counts_passed counts_failed <<<"$(tail -n 1 "$log" | sed -nE 's/^([0-9]+) passed, ([0-9]+) failed$/\1 \2/p')"

say "clients"
# Once more if it fails: on a loaded machine clients time out and resend, and kcat's library loses a race of its own start.
clients() { tests/clients/run --broker target/release/flumen --reactors 2 2>&1 | tee "$log"; }
clients || { say "clients, once more"; clients; }
read -r client_passed client_failed <<<"$(tail -n 1 "$log" | sed -nE 's/^([0-9]+) passed, ([0-9]+) failed$/\1 \2/p')"

say "all"
printf '%s passed, %s failed\n' "$((passed + mutations_passed + counts_passed + client_passed))" \
    "$((failed + mutations_failed + counts_failed + client_failed))"
