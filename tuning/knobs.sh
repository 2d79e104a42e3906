# shellcheck shell=bash
# The knobs, as data: sourced by check.sh, apply.sh and revert.sh, which change nothing by themselves.
#
# each_knob calls `knob NAME PATH WANTED EFFECT` for every file of this machine that holds one. WANTED is a value, ">=N" or "<=N"
# (a number that is large or small enough is left alone), or "!TEXT" (cannot be set by writing a file; TEXT is what to do).
#
# FLUMEN_DATA      the data directory (default ./data): its device and mount are looked at
# FLUMEN_REACTORS  the cores that reactors have, as in "2-7" (default: all but the first, where there are more than two)
# FLUMEN_ROOT      a directory in front of /sys and /proc, for tests
# FLUMEN_STATE     where apply.sh keeps what was before (default /var/lib/flumen-tuning/state)

ROOT="${FLUMEN_ROOT:-}"
STATE="${FLUMEN_STATE:-/var/lib/flumen-tuning/state}"
DATA="${FLUMEN_DATA:-./data}"
# An idle state from which a core takes longer than this to wake is left out.
WAKE_MICROSECONDS_MAX=20

# The cores that are online, as numbers.
cores() { expand "$(cat "$ROOT/sys/devices/system/cpu/online" 2>/dev/null || echo "0-$(($(nproc) - 1))")"; }

# "0-2,5" as "0 1 2 5".
expand() {
  local part
  for part in ${1//,/ }; do
    if [[ "$part" == *-* ]]; then seq -s ' ' "${part%-*}" "${part#*-}"; else echo "$part"; fi
  done | tr '\n' ' '
}

# Numbers as the mask that the kernel takes: groups of 32 bits, highest first.
mask() {
  local -A words=()
  local core word highest=0
  for core in "$@"; do
    word=$((core / 32))
    words[$word]=$((${words[$word]:-0} | 1 << core % 32))
    ((word <= highest)) || highest=$word
  done
  for ((word = highest; word >= 0; word--)); do
    printf '%x' "${words[$word]:-0}"
    ((word == 0)) || printf ','
  done
}

read -ra ALL_CORES <<<"$(cores)"
if [[ -n "${FLUMEN_REACTORS:-}" ]]; then
  read -ra REACTOR_CORES <<<"$(expand "$FLUMEN_REACTORS")"
elif ((${#ALL_CORES[@]} > 2)); then
  REACTOR_CORES=("${ALL_CORES[@]:1}")
else
  REACTOR_CORES=("${ALL_CORES[@]}")
fi
# The cores that interrupts and kernel workers get: those without a reactor, or all where there are none.
OTHER_CORES=()
for core in "${ALL_CORES[@]}"; do
  [[ " ${REACTOR_CORES[*]} " == *" $core "* ]] || OTHER_CORES+=("$core")
done
((${#OTHER_CORES[@]})) || OTHER_CORES=("${ALL_CORES[@]}")

# The block device under the data directory, without its partition.
device() {
  [[ -z "${FLUMEN_DEVICE:-}" ]] || { echo "$FLUMEN_DEVICE"; return; }
  local directory="$DATA" source name
  while [[ ! -e "$directory" ]]; do directory="$(dirname "$directory")"; done
  source="$(df --output=source "$directory" 2>/dev/null | tail -n 1)"
  name="$(basename "$(readlink -f "$source" 2>/dev/null || echo "$source")")"
  if [[ -e "$ROOT/sys/class/block/$name/partition" ]]; then
    name="$(basename "$(dirname "$(readlink -f "$ROOT/sys/class/block/$name")")")"
  fi
  [[ -d "$ROOT/sys/block/$name/queue" ]] && echo "$name"
}

each_knob() {
  local path name latency queues irq
  for path in "$ROOT"/sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor; do
    [[ -e "$path" ]] || continue
    knob "governor $(core_of "$path")" "$path" performance "no wait for a higher clock when work arrives"
  done
  [[ -e "$ROOT/sys/devices/system/cpu/cpu0/cpufreq" ]] ||
    knob "governor" "$ROOT/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor" performance "no wait for a higher clock when work arrives"
  for path in "$ROOT"/sys/devices/system/cpu/cpu[0-9]*/cpuidle/state[0-9]*/latency; do
    [[ -e "$path" ]] || continue
    latency=$(cat "$path")
    ((latency > WAKE_MICROSECONDS_MAX)) || continue
    knob "idle state $(core_of "$path") $(basename "$(dirname "$path")")" "${path%latency}disable" 1 "no $latency us to wake a core"
  done
  [[ -e "$ROOT/sys/devices/system/cpu/cpu0/cpuidle" ]] ||
    knob "idle states" "$ROOT/sys/devices/system/cpu/cpu0/cpuidle" 1 "no long wake of a core"
  knob "kernel workers" "$ROOT/sys/devices/virtual/workqueue/cpumask" "$(mask "${OTHER_CORES[@]}")" \
    "durable writes complete through workers: they find a core that is not busy with a reactor"

  name="$(device || true)"
  if [[ -n "$name" ]]; then
    knob "scheduler $name" "$ROOT/sys/block/$name/queue/scheduler" none "no queue in front of the device's own"
    knob "completions $name" "$ROOT/sys/block/$name/queue/rq_affinity" 2 "a write completes on the core that asked"
    knob "entropy $name" "$ROOT/sys/block/$name/queue/add_random" 0 "no random numbers made from each write"
    knob "read-ahead $name" "$ROOT/sys/block/$name/queue/read_ahead_kb" "<=128" "commits do not wait for what is read ahead of a second consumer of old data"
    knob "write cache $name" "$ROOT/sys/block/$name/queue/write_cache" "!a device with power-loss protection reports 'write through': a durable write then needs no flush" \
      "a durable write waits for a flush where it says 'write back'"
  fi

  # The interrupts of an NVMe device are the kernel's to place, one a core; what moves the others about undoes what stands below.
  if [[ -e "$ROOT/run/irqbalance" ]]; then
    knob "irqbalance" "$ROOT/run/irqbalance" "!stop it, or set IRQBALANCE_BANNED_CPULIST=$(IFS=,; echo "${REACTOR_CORES[*]}")" "interrupts stay where they were put"
  fi
  for path in "$ROOT"/sys/class/net/*/device; do
    [[ -e "$path" ]] || continue
    name="$(basename "$(dirname "$path")")"
    for irq in "$path"/msi_irqs/*; do
      [[ -e "$irq" ]] || continue
      knob "interrupt $(basename "$irq") $name" "$ROOT/proc/irq/$(basename "$irq")/smp_affinity_list" "$(IFS=,; echo "${OTHER_CORES[*]}")" \
        "packets do not interrupt a reactor"
    done
    queues=("$ROOT/sys/class/net/$name/queues"/rx-*/rps_cpus)
    # With as many queues as reactors the card spreads packets itself; with one the kernel has to.
    for path in "${queues[@]}"; do
      [[ -e "$path" ]] || continue
      if ((${#queues[@]} == 1)); then
        knob "RPS $name" "$path" "$(mask "${REACTOR_CORES[@]}")" "one queue's packets are worked on by all reactors' cores"
      else
        knob "RPS $name $(basename "$(dirname "$path")")" "$path" 0 "the card's own queues spread packets"
      fi
    done
    queues=("$ROOT/sys/class/net/$name/queues"/tx-*/xps_cpus)
    for ((at = 0; at < ${#queues[@]}; at++)); do
      [[ -e "${queues[at]}" ]] || continue
      knob "XPS $name tx-$at" "${queues[at]}" "$(mask "${REACTOR_CORES[at % ${#REACTOR_CORES[@]}]}")" "each core sends through a queue of its own"
    done
  done

  knob "huge pages" "$ROOT/sys/kernel/mm/transparent_hugepage/enabled" madvise "no 2 MiB of zeros for the first byte of a block"
  local sysctl="$ROOT/proc/sys"
  knob "io_uring" "$sysctl/kernel/io_uring_disabled" 0 "without it the broker does not start"
  knob "accept queue" "$sysctl/net/core/somaxconn" ">=4096" "clients that come all at once are not turned away"
  knob "half-open queue" "$sysctl/net/ipv4/tcp_max_syn_backlog" ">=4096" "the same, before the handshake ends"
  knob "receive buffer" "$sysctl/net/core/rmem_max" ">=4194304" "large windows over long distances"
  knob "send buffer" "$sysctl/net/core/wmem_max" ">=4194304" "the same"
  knob "slow start" "$sysctl/net/ipv4/tcp_slow_start_after_idle" 0 "a consumer that waited gets its batch at full speed"
  knob "congestion control" "$sysctl/net/ipv4/tcp_congestion_control" cubic "less CPU a byte than bbr in one data centre"
  knob "swappiness" "$sysctl/vm/swappiness" 1 "the broker's memory stays in memory"
  knob "isolation" "$ROOT/sys/devices/system/cpu/isolated" "!boot with isolcpus=managed_irq,domain,$(IFS=,; echo "${REACTOR_CORES[*]}") nohz_full=$(IFS=,; echo "${REACTOR_CORES[*]}")" \
    "nothing else runs where a reactor does"
}

core_of() { grep -oE 'cpu[0-9]+' <<<"${1#"$ROOT"/sys/devices/system/}" | head -n 1; }

# What a file says: the chosen word where it lists the choices, as in "[none] mq-deadline".
value_of() {
  local text; text="$(tr -s ' \n' ' ' < "$1" 2>/dev/null)" || return 1
  if [[ "$text" =~ \[([^]]+)\] ]]; then echo "${BASH_REMATCH[1]}"; else echo "${text% }"; fi
}

# Masks are compared without leading zeros; numbers with ">=" and "<=" by size.
fits() { # NOW WANTED
  if [[ "$2" == ">="* ]]; then [[ "$1" =~ ^[0-9]+$ ]] && (($1 >= ${2#>=})); return; fi
  if [[ "$2" == "<="* ]]; then [[ "$1" =~ ^[0-9]+$ ]] && (($1 <= ${2#<=})); return; fi
  [[ "$(plain "$1")" == "$(plain "$2")" ]]
}
plain() { sed -E 's/^[0,]*([^0,].*|0)$/\1/' <<<"$1"; }

# Whether a file offers the value: the kernel has no such scheduler or algorithm otherwise.
offers() { # PATH WANTED
  local text; text="$(cat "$1" 2>/dev/null)"
  [[ "$text" != *"["* || " ${text//[\[\]]/} " == *" $2 "* || "$(tr -s '\n' ' ' <<<" ${text//[\[\]]/} ")" == *" $2 "* ]]
}
