#!/usr/bin/env bash
# A flame graph of a running broker: where its reactors' time goes, kernel included.
#
#   flame.sh PID [SECONDS] [FILE]      10 seconds into flame.svg unless said otherwise
#
# Needs perf (Debian: linux-perf) and inferno (cargo install inferno), which is fetched if it is missing.
set -euo pipefail
pid="${1:?flame.sh PID [SECONDS] [FILE]}" seconds="${2:-10}" file="${3:-flame.svg}"
command -v perf >/dev/null || { echo "flame.sh: perf is needed (apt-get install linux-perf)" >&2; exit 1; }
command -v inferno-flamegraph >/dev/null || cargo install --quiet --locked inferno
samples="$(mktemp)"
trap 'rm -f "$samples"' EXIT
perf record --quiet -F 997 --call-graph dwarf,16384 -o "$samples" -p "$pid" -- sleep "$seconds"
perf script -i "$samples" | inferno-collapse-perf | inferno-flamegraph --title "pid $pid, $seconds s" > "$file"
echo "$file"
