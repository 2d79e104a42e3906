#!/usr/bin/env bash
# Where a running broker's time goes, kernel included: a flame graph, and the shares of what it does.
#
#   flame.sh PID [--reactor N] [SECONDS] [FILE]      10 seconds into flame.svg unless said otherwise; FILE '-' leaves the graph out
#
# With --reactor it looks at that reactor's thread alone.
#
# The shares are of the process's own CPU time: its reactors and the kernel's work for them. "own code" is the broker without the
# copying and the checksums. Needs perf (Debian: linux-perf); the graph needs inferno (cargo install inferno).
set -euo pipefail
[[ "${1:-}" =~ ^[0-9]+$ ]] || { sed -n '2,/^set -euo/{/^set -euo/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}" >&2; exit 2; }
pid="$1" reactor=""
shift
if [[ "${1:-}" == --reactor ]]; then reactor="${2:?}"; shift 2; fi
seconds="${1:-10}" file="${2:-flame.svg}"
command -v perf >/dev/null || { echo "flame.sh: perf is needed (apt-get install linux-perf)" >&2; exit 1; }
[[ "$file" == - ]] || command -v inferno-flamegraph >/dev/null ||
  { echo "flame.sh: inferno is needed for the graph (cargo install inferno); '-' as the FILE leaves it out" >&2; exit 1; }
kill -0 "$pid" 2>/dev/null || { echo "flame.sh: no process $pid that may be looked into" >&2; exit 1; }
what=(-p "$pid")
if [[ -n "$reactor" ]]; then
  thread="$(grep -lx "reactor-$reactor" "/proc/$pid/task"/*/comm 2>/dev/null | head -n 1 | cut -d / -f 5)"
  [[ -n "$thread" ]] || { echo "flame.sh: process $pid has no thread 'reactor-$reactor'" >&2; exit 1; }
  what=(-t "$thread")
fi
samples="$(mktemp)"
trap 'rm -f "$samples"' EXIT
# The broker has no frame pointers, so the graph needs copies of the stack; the shares do without.
stacks=()
[[ "$file" == - ]] || stacks=(--call-graph dwarf,8192)
perf record --quiet -F 499 "${stacks[@]}" -o "$samples" "${what[@]}" -- sleep "$seconds" 2>/dev/null

perf report -i "$samples" --no-children -g none --sort sym --stdio 2>/dev/null | awk '
  /^ *[0-9.]+%/ {
    share = $1 + 0; where = $2; name = $0; sub(/^ *[0-9.]+% *\[.\] */, "", name)
    if (where == "[k]") {
      if (name ~ /copy_(from|to)_iter|copy_user|rep_movs|memcpy/) what = "kernel: copying"
      else if (name ~ /clear_page|page_fault|do_anonymous_page|charge|unmap|zap_|free_unref|alloc_pages|rmqueue|pte_/) what = "kernel: memory"
      else if (name ~ /spin_unlock_irqrestore|try_to_wake|finish_task_switch|schedule|ipi|eventfd|wake/) what = "kernel: waking and sleeping"
      else if (name ~ /blk|bio|iomap|ext4|xfs|virtio|virtqueue|iowrite|dio|gup|nvme|jbd2/) what = "kernel: disk"
      else what = "kernel: network and the rest"
    } else if (name ~ /memmove|memcpy|memset/) what = "copying"
    else if (name ~ /crc/) what = "checksums"
    else if (name ~ /^_?mi_|malloc|free$/) what = "allocator"
    else what = "own code"
    total += share; shares[what] += share
  }
  END { for (what in shares) printf "%6.1f %%  %s\n", 100 * shares[what] / total, what }' | sort -rn
[[ "$file" != - ]] || exit 0
perf script --no-inline -i "$samples" 2>/dev/null | inferno-collapse-perf | inferno-flamegraph --title "pid $pid${reactor:+, reactor $reactor}, $seconds s" > "$file"
echo "$file"
