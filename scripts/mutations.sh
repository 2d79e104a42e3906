#!/usr/bin/env bash
# Proof that the simulated world bites: the broker is built once with every mutation of tests/mutations in it, each one promise
# broken on purpose behind a switch, and then seeds are played with one of them in force after the other until a checker
# says so. Within how many seeds that has to happen is far more than any of them takes, because which seed it is changes with
# everything that draws: SEEDS_MAX, or what the patch of a rare one states. The last line is `N passed, N failed`.
# Usage: scripts/mutations.sh [NAME...]
# Works in target/mutations and leaves the sources as they are.
set -euo pipefail
cd "$(dirname "$0")/.."

SEEDS_MAX=600
allowed() {
    local stated
    stated=$(sed -nE 's/^caught-within: ([0-9]+) seeds$/\1/p' "tests/mutations/$1.patch")
    echo "${stated:-$SEEDS_MAX}"
}

all=()
for patch in tests/mutations/*.patch; do all+=("$(basename "$patch" .patch)"); done
names=("$@")
if (($# == 0)); then names=("${all[@]}"); fi

# A tree of its own, in which the program has a name and the package a version of its own, without which cargo would take the
# one's library for the other's; dependencies are built once for both.
tree=target/mutations/tree
mkdir -p "$tree"
rm -rf "$tree/src"
tar --create --exclude=./target --exclude=./.git --exclude=./tests/clients/.work . | tar --extract --directory "$tree"
cp tests/mutations/mutation.rs "$tree/src/base/mutation.rs"
echo 'pub mod mutation;' >>"$tree/src/base/mod.rs"
sed -i 's/^name = "flumen-sim"$/name = "flumen-mutated"/' "$tree/Cargo.toml"
sed -i '/^name = "flumen"$/{n;s/^version = "\(.*\)"$/version = "\1-mutated"/}' "$tree/Cargo.toml" "$tree/Cargo.lock"
for name in "${all[@]}"; do
    if ! patch --quiet --forward --strip=1 --directory="$tree" <"tests/mutations/$name.patch"; then
        echo "$name: the patch no longer fits the sources: renew it"
        exit 1
    fi
done
target=$PWD/target
(cd "$tree" && CARGO_TARGET_DIR=$target cargo build --quiet --locked --profile sim --bin flumen-mutated)

hunt() { # hunt NAME SEEDS: plays seeds with a mutation in force, and says what came of it
    local log caught
    log=$(FLUMEN_MUTATION=$1 target/sim/flumen-mutated --seeds "0..$2" --jobs 1 --replays 0 2>/dev/null || true)
    caught=$(sed -nE 's/^seed ([0-9]+) FAILS at [^:]*: (.*)$/caught at seed \1 by \2/p' <<<"$log" | head -n 1)
    echo "$1: ${caught:-NOT CAUGHT within $2 seeds}"
}
export -f hunt

log=$(mktemp)
trap 'rm -f "$log"' EXIT
for name in "${names[@]}"; do echo "$name" "$(allowed "$name")"; done |
    xargs --max-procs="$(nproc)" --max-args=2 bash -c 'hunt "$1" "$2"' hunt | cut -c 1-200 | tee "$log"
passed=$(grep -c ': caught at seed' "$log" || true)
echo "$passed passed, $((${#names[@]} - passed)) failed"
((passed == ${#names[@]}))
