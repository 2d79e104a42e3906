#!/usr/bin/env bash
# Plays fresh seeds of the simulated world for hours, on every core, and gathers what fails.
# Usage: scripts/soak.sh [HOURS]      The report is in target/soak; the exit status says whether anything failed.
set -euo pipefail
cd "$(dirname "$0")/.."
minutes=$(awk -v hours="${1:-8}" 'BEGIN { print hours * 60 }')

cargo build --locked --profile sim --bin flumen-sim
mkdir -p target/soak
report=target/soak/$(date +%Y-%m-%dT%H%M%S).txt
echo "playing for $minutes minutes; what fails goes to $report"
target/sim/flumen-sim --minutes "$minutes" --keep-going | tee "$report"
