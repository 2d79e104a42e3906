#!/usr/bin/env bash
# Where a reactor's time goes, for each of the workloads of compare-kafka.sh: what a request or a gigabyte costs, and the shares of
# what flame.sh tells apart. Prints a table for benches/RESULTS.md.
#
#   cpu-shares.sh [NAME]...      by default one of each kind (NAMES below)
#
# One reactor on core 0, the load generator on core 1; 2 s of warm-up, 4 s of samples. Needs perf and jq.
set -euo pipefail
ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
TARGET="${CARGO_TARGET_DIR:-$ROOT/target}"
BIN="$TARGET/release"
NAMES=(batch small-5 small-1 rate-6 end-to-end-6 warm-1 warm-3 tail-50 partitions-1000 transactions)
KINDS=("own code" "checksums" "copying" "allocator" "kernel: copying" "kernel: network and the rest" "kernel: waking and sleeping" "kernel: disk" "kernel: memory")
(($# == 0)) || NAMES=("$@")
data="$(mktemp -d "$TARGET/cpu-shares.XXXXXX")"
broker=""
cleanup() { [[ -z "$broker" ]] || { kill "$broker"; wait "$broker"; } 2>/dev/null || true; rm -rf "$data"; }
trap cleanup EXIT

load() { taskset -c 1 "$BIN/flumen-load" "$@" --bootstrap "$address" --pid "$broker" --json 2>/dev/null; }

echo "| workload | CPU | $(printf '%s | ' "${KINDS[@]}")"
echo "|---|---|$(printf -- '---|%.0s' "${KINDS[@]}")"
for name in "${NAMES[@]}"; do
  flags="$("$ROOT/scripts/compare-kafka.sh" --flags "$name")"
  [[ -n "$flags" ]] || { echo "cpu-shares.sh: no workload '$name'" >&2; exit 2; }
  rm -rf "$data/flumen"; mkdir "$data/flumen"
  taskset -c 0 "$BIN/flumen" --data "$data/flumen" --listen 127.0.0.1:0 --reactors 1 > "$data/log" 2>&1 &
  broker=$!
  for ((tenth = 0; tenth < 100; tenth++)); do
    address="$(grep -oE '127\.0\.0\.1:[0-9]+' "$data/log" | head -n 1)" && grep -q serving "$data/log" && break
    kill -0 "$broker" 2>/dev/null && ((tenth < 99)) || { cat "$data/log" >&2; echo "cpu-shares.sh: flumen did not start" >&2; exit 1; }
    sleep 0.1
  done
  if [[ "$flags" == fetch* ]]; then
    # Twice: the first read goes past the page cache, the second brings the data into it.
    load produce --topic catch-up --partitions 6 --connections 6 --record-bytes 1024 --batch-bytes 64KiB --rate 2500 --warm-up 0 --duration 7 > /dev/null
    load fetch --topic catch-up --repeat --warm-up 0 --duration 6 > /dev/null
  fi
  # shellcheck disable=SC2086 # flags are words
  load $flags --warm-up 2 --duration 6 > "$data/summary" &
  sleep 3
  "$ROOT/scripts/flame.sh" "$broker" --reactor 0 4 - > "$data/shares"
  wait $!
  cost="$(grep '"type":"summary"' "$data/summary" | jq -r 'if .mode == "fetch" or (.command | contains("fan-out"))
    then "\(.broker.cpu_s * 1e9 / .consumed.bytes * 1000 | round / 1000) s/GB" else "\(.broker.cpu_us_per_request * 100 | round / 100) us" end')"
  row="| $name | $cost |"
  for kind in "${KINDS[@]}"; do
    share="$(awk -v kind="$kind" '{ what = $0; sub(/^ *[0-9.]+ %  /, "", what) } what == kind { print $1 }' "$data/shares")"
    row+=" ${share:-0} % |"
  done
  echo "$row"
  kill "$broker"; wait "$broker" 2>/dev/null || true; broker=""
done
