#!/usr/bin/env bash
# Plays fresh seeds of the simulated world for hours, one process a core, and gathers what fails.
# Usage: scripts/soak.sh [HOURS]      Reports are in target/soak; the exit status says whether there are any.
set -euo pipefail
cd "$(dirname "$0")/.."
hours=${1:-8}
minutes=$(awk -v hours="$hours" 'BEGIN { print hours * 60 }')

cargo build --locked --profile sim --bin flumen-sim
mkdir -p target/soak
first=$(date +%s)
pids=()
for ((core = 0; core < $(nproc); core++)); do
    # Seeds of their own: a hundred million apart.
    from=$((first * 10 + core * 100000000))
    target/sim/flumen-sim --seeds "$from..$((from + 100000000))" --minutes "$minutes" --keep-going \
        >"target/soak/$first-$core.txt" 2>"target/soak/$first-$core.progress" &
    pids+=($!)
done
status=0
for pid in "${pids[@]}"; do wait "$pid" || status=1; done
tail -qn 1 "target/soak/$first-"*.txt
grep -h FAILS "target/soak/$first-"*.txt || true
exit $status
