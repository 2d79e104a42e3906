#!/usr/bin/env bash
# Proof that the simulated world bites: builds the broker with one promise broken on purpose (tests/mutations/*.patch), and
# plays seeds until a checker says so. Each patch states within how many seeds that has to happen.
# Usage: scripts/mutations.sh [--first N | NAME...]      Works in target/mutations; the sources stay as they are.
set -euo pipefail
cd "$(dirname "$0")/.."

patches=(tests/mutations/*.patch)
if [[ "${1:-}" == --first ]]; then
    patches=("${patches[@]:0:$2}")
elif (($#)); then
    patches=()
    for name in "$@"; do patches+=("tests/mutations/$name.patch"); done
fi

tree=target/mutations/tree
mkdir -p "$tree"
# With their times, so that only what a patch touches is built again.
tar --create --exclude=./target --exclude=./.git . | tar --extract --directory "$tree"

passed=0 failed=0
for patch in "${patches[@]}"; do
    name=$(basename "$patch" .patch)
    seeds=$(sed -nE 's/^caught-within: ([0-9]+) seeds$/\1/p' "$patch")
    if ! patch --quiet --forward --strip=1 --directory="$tree" <"$patch"; then
        echo "$name: the patch no longer fits the sources: renew it"
        exit 1
    fi
    (cd "$tree" && CARGO_TARGET_DIR=../build cargo build --quiet --locked --profile sim --bin flumen-sim)
    log=$(mktemp)
    if target/mutations/build/sim/flumen-sim --seeds "0..$seeds" --replays 0 >"$log" 2>/dev/null; then
        echo "$name: NOT CAUGHT within $seeds seeds"
        failed=$((failed + 1))
    else
        echo "$name: $(sed -nE 's/^seed ([0-9]+) FAILS at [^:]*: (.*)$/caught at seed \1 by \2/p' "$log" | head -n 1 | cut -c 1-160)"
        passed=$((passed + 1))
    fi
    rm -f "$log"
    patch --quiet --reverse --strip=1 --directory="$tree" <"$patch"
done
echo "$passed mutations caught, $failed not"
((failed == 0))
