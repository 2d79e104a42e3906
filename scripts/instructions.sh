#!/usr/bin/env bash
# Instructions of the hot path, counted by valgrind: figures that a busy machine repeats. Each scenario of
# `flumen-instructions` (benches/instructions) is counted N times over and 2 N times over; the difference, divided by N, is
# what one costs. That is held against benches/instructions/counts.txt: more than 5 % above is a regression, more than 5 %
# below a gain that is to be kept. The last line is `N passed, N failed`.
# Usage: scripts/instructions.sh [--write] [SCENARIO...]
#   --write: keeps what is counted now.
# Builds the release binary of the scenarios; needs valgrind.
#
# The C library (copying, above all) and the CRC choose their code by the CPU: they are told apart and not judged. Of a simulated
# world the turns of its reactors are counted, without what stands there for the kernel. What may differ between machines is
# the allocator: the C compiler at hand makes it.
set -euo pipefail
cd "$(dirname "$0")/.."

KEPT=benches/instructions/counts.txt
PERCENT_MAX=5
# Counted once more with every fifth piece of work done twice, which has to be judged a regression.
DOUBLED=produce_decode_1

write=
if [[ "${1:-}" == --write ]]; then write=yes && shift; fi
valgrind=$(command -v valgrind) || { echo "instructions.sh: valgrind is needed (apt-get install valgrind)" >&2; exit 1; }
cargo build --quiet --release --locked --bin flumen-instructions
program=${CARGO_TARGET_DIR:-target}/release/flumen-instructions
known=$("$program")
names=("$@")
if (($# == 0)); then mapfile -t names < <(cut -d ' ' -f 1 <<<"$known"); fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export valgrind program work

count() { # count LABEL COUNTED SCENARIO TIMES [OPTION...]: prints label, times, our instructions, and those told apart
    local label=$1 counted=$2 file=$work/$1-$4
    shift 2
    # Counting begins where a reactor's turn does, pauses in the backend, and ends with the turn.
    local where=()
    if [[ $counted == reactors ]]; then
        where=('--toggle-collect=flumen::io::reactor::Reactor::turn' '--toggle-collect=*flumen::sim::backend::SimBackend*')
    fi
    # Nothing of the caller's environment, for it lies on the stack; and the allocator keeps what is free, for it would look
    # at the clock before it gives that back.
    env --ignore-environment MIMALLOC_PURGE_DELAY=-1 "$valgrind" --tool=callgrind --callgrind-out-file="$file" \
        --compress-strings=no --compress-pos=no "${where[@]}" "$program" "$@" >"$file.log" 2>&1 ||
        { cat "$file.log" >&2; exit 255; }
    # A function's own instructions only: those of a call stand in the line after it.
    awk -v run="$label $2" '
        /^ob=/ { is_ours = /\/flumen-instructions$/ }
        /^fn=/ { is_crc = /crc/ }
        /^calls=/ { getline; next }
        /^[0-9]/ { if (is_ours && !is_crc) ours += $2; else apart += $2 }
        END { printf "%s %.0f %.0f\n", run, ours, apart }' "$file"
}
export -f count

runs() { # runs LABEL SCENARIO [OPTION...]: both runs of a scenario, as `count` wants them
    local times counted
    read -r times counted < <(sed -n "s/^$2 //p" <<<"$known") || { echo "instructions.sh: no scenario $2" >&2; return 1; }
    echo "$1 $counted $2 $times" "${@:3}"
    echo "$1 $counted $2 $((2 * times))" "${@:3}"
}
{
    for name in "${names[@]}"; do runs "$name" "$name"; done
    runs doubled "$DOUBLED" --again-one-in 5
} >"$work/runs"
xargs --max-procs="$(nproc)" --max-lines=1 bash -c 'count "$@"' count <"$work/runs" >"$work/counted"
# Label, our instructions of one, and those told apart.
sort -k 1,1 -k 2,2n "$work/counted" | awk '
    $1 == label { printf "%s %.0f %.0f\n", $1, ($3 - ours) / times, ($4 - apart) / times }
    { label = $1; times = $2; ours = $3; apart = $4 }' >"$work/costs"

verdict() { # verdict KEPT NOW: what is wrong with a count, if anything is
    if [[ -z "$1" ]]; then
        echo "no count is kept, now $2: run scripts/instructions.sh --write"
    elif ((100 * $2 > (100 + PERCENT_MAX) * $1)); then
        echo "REGRESSION of more than $PERCENT_MAX %: $1 instructions kept, $2 now"
    elif ((100 * $2 < (100 - PERCENT_MAX) * $1)); then
        echo "more than $PERCENT_MAX % less: $1 instructions kept, $2 now: run scripts/instructions.sh --write"
    fi
}
kept() { sed -n "s/^$1 //p" "$KEPT"; }
cost() { sed -n "s/^$1 //p" "$work/costs"; }

touch "$KEPT"
makers="# by $(rustc --version), $("$valgrind" --version), $(cc --version | head -n 1)"
if [[ "$(head -n 1 "$KEPT")" != "$makers" ]]; then printf 'kept: %s\nnow:  %s\n' "$(head -n 1 "$KEPT")" "$makers"; fi
failures=()
printf '%-18s %8s %8s %8s %8s\n' scenario kept now change apart
for name in "${names[@]}"; do
    read -r now apart < <(cost "$name")
    before=$(kept "$name")
    change=$(awk -v kept="${before:-0}" -v now="$now" 'BEGIN { if (kept) printf "%+.1f %%", 100 * (now - kept) / kept }')
    printf '%-18s %8s %8s %8s %8s\n' "$name" "${before:--}" "$now" "${change:--}" "$apart"
    wrong=$(verdict "$before" "$now")
    if [[ -z "$write" && "$wrong" ]]; then failures+=("$name: $wrong"); fi
done
if [[ "$write" ]]; then
    while read -r name _; do
        now=$(cost "$name")
        echo "$name $(if [[ "$now" ]]; then echo "${now% *}"; else kept "$name"; fi)"
    done <<<"$known" >"$work/kept"
    { echo "$makers" && cat "$work/kept"; } >"$KEPT"
fi
read -r now _ < <(cost doubled)
noticed=$(verdict "$(kept "$DOUBLED")" "$now")
echo "$DOUBLED, every fifth twice: $noticed"
if [[ "$noticed" != REGRESSION* ]]; then failures+=("$DOUBLED with every fifth done twice is no regression: the check does not bite"); fi
for failure in "${failures[@]}"; do echo "$failure"; done
echo "$((${#names[@]} + 1 - ${#failures[@]})) passed, ${#failures[@]} failed"
((${#failures[@]} == 0))
