#!/usr/bin/env bash
# Flumen and Apache Kafka (the version in tests/clients/apache-kafka/pom.xml) side by side: same machine, disk and cores, the
# same load from flumen-load, in alternating rounds. Prints medians with their ratios and writes them to benches/RESULTS.md.
#
#   compare-kafka.sh [--short] [--rounds N] [--seconds N] [--warm-up N] [--only NAME[,NAME]...] [--list] [--flags NAME] [--data DIR] [--nice N] [--no-write]
#
# Flumen acknowledges after the bytes are on the disk. "kafka" is Kafka as it ships, which acknowledges from memory;
# "kafka-fsync" is Kafka with flush.messages=1 on the topic; "flumen-cached" is Flumen with write.caching=true on it.
# The load generator has the last core to itself, the brokers share the others. Kafka has its usual heap of 1 GiB and
# is warmed up first. Before each measurement dirty pages are written out, so that no broker pays for the one before it.
# --nice gives brokers and load generator this niceness (below 0 takes root), for a machine that others use meanwhile.
# --short takes one round of 3 s a workload: good for a look, not for a claim, and writes nothing.
#
# A whole pass takes about an hour. With --only it can be taken in parts: in RESULTS.md the rows of the workloads that
# were taken replace their earlier ones, the others stay, and each workload says when, at which commit, in how many rounds and
# at which load of the machine it was taken.
set -euo pipefail

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
TARGET="${CARGO_TARGET_DIR:-$ROOT/target}"
RESULTS="$ROOT/benches/RESULTS.md"
KAFKA_HEAP=1g
KAFKA_WARM_UP_SECONDS=10
# Transactions take many of its paths, and few of them a second.
KAFKA_TRANSACTIONS_WARM_UP_SECONDS=60
START_SECONDS_MAX=60
RESTART_BYTES=$((4 << 30))

fail() { echo "compare-kafka.sh: $*" >&2; exit 1; }
usage() { sed -n '2,/^set -euo/{/^set -euo/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}" >&2; exit 2; }

# name | brokers | rows (metric goal, goal "-" for none; several between ';') | what | flags of flumen-load
# A goal is held against the ratio of flumen to another broker: "kafka:>=3", "kafka-fsync:<=0.1"; "flumen-cached/kafka:<=0.7" against that
# of the first to the second.
WORKLOADS=(
"batch|flumen kafka kafka-fsync|mbs kafka:>=3,kafka-fsync:>=10;cpu_gb kafka:<=0.2;p50 kafka-fsync:<=0.1;p99 kafka:<=0.5,kafka-fsync:<=0.1|produce, 1 KiB records in 64 KiB batches, 6 partitions, 6 connections|produce --partitions 6 --connections 6 --record-bytes 1024 --batch-bytes 64KiB"
"small-5|flumen kafka kafka-fsync|rps kafka:>=5,kafka-fsync:>=50;cpu_req kafka:<=0.15;p50 kafka-fsync:<=0.1;p99 kafka-fsync:<=0.1|produce, 1 record of 100 B a request, 64 connections, 5 in flight|produce --partitions 6 --connections 64 --record-bytes 100 --batch-records 1"
"small-1|flumen kafka|rps kafka:>=5;cpu_req kafka:<=0.15;p50 -;p99 -|the same, 1 in flight|produce --partitions 6 --connections 64 --in-flight 1 --record-bytes 100 --batch-records 1"
"rate-6|flumen flumen-cached kafka|p50 kafka:<=1.5,flumen-cached/kafka:<=0.7;p99 kafka:<=0.5;p999 kafka:<=0.3;cpu_req -|2,000 requests/s of 16 KiB over 6 partitions|produce --partitions 6 --connections 6 --record-bytes 16KiB --batch-records 1 --rate 2000"
"rate-100|flumen flumen-cached kafka|p50 kafka:<=1.5,flumen-cached/kafka:<=0.7;p99 kafka:<=0.5;p999 kafka:<=0.3;cpu_req -|2,000 requests/s of 16 KiB over 100 partitions|produce --partitions 100 --connections 6 --record-bytes 16KiB --batch-records 1 --rate 2000"
"rate-200|flumen kafka-fsync|p50 kafka-fsync:<=0.1;p99 kafka-fsync:<=0.1|200 requests/s of 16 KiB|produce --partitions 6 --connections 6 --record-bytes 16KiB --batch-records 1 --rate 200"
"end-to-end-6|flumen kafka|e2e_p50 kafka:<=1.2;e2e_p99 kafka:<=0.3;cpu_req -|end to end, 1,000 records/s of 100 B over 6 partitions|end-to-end --partitions 6 --connections 6 --record-bytes 100 --batch-records 1 --rate 1000"
"end-to-end-100|flumen kafka|e2e_p50 kafka:<=1.2;e2e_p99 kafka:<=0.3;cpu_req -|end to end, 1,000 records/s of 100 B over 100 partitions|end-to-end --partitions 100 --connections 6 --record-bytes 100 --batch-records 1 --rate 1000"
"warm-1|flumen kafka|read_mbs kafka:>=1.1;cpu_gb kafka:<=0.9|catch-up fetch, warm, 1 connection|fetch --topic catch-up --repeat"
"warm-3|flumen kafka|read_mbs kafka:>=1.1;cpu_gb kafka:<=0.9|catch-up fetch, warm, 3 connections|fetch --topic catch-up --repeat --consumers 3"
"tail-50|flumen kafka|read_mbs kafka:>=2;out_cpu_gb -|50 consumers of the same tail|end-to-end --partitions 6 --connections 1 --in-flight 1 --record-bytes 1024 --batch-bytes 64KiB --consumers 50 --fan-out"
"partitions-1000|flumen kafka|rps kafka:>=10;rss kafka:<=0.1;cpu_req -;p99 -|1,000 partitions, 50 of them a request|produce --partitions 1000 --connections 6 --partitions-per-request 50 --record-bytes 100 --batch-records 1"
"partitions-5000|flumen kafka|rps kafka:>=10;rss kafka:<=0.1;cpu_req -;p99 -|5,000 partitions, 50 of them a request|produce --partitions 5000 --connections 6 --partitions-per-request 50 --record-bytes 100 --batch-records 1"
"transactions|flumen kafka|mbs -;commit_p50 -;commit_p99 kafka:<=0.5;cpu_gb -|transactions over 100 partitions, a commit every 100 ms, 1 KiB records, 5 requests in flight|transactions --partitions 100 --producers 1"
"transactions-1|flumen kafka|rps -;commit_p50 -;commit_p99 kafka:<=0.5;cpu_req -|the same, records of 100 B, 1 request in flight|transactions --partitions 100 --producers 1 --in-flight 1 --record-bytes 100"
)
# Those that need a broker of their own, with a function each.
SPECIAL=(cold idle restart scaling)

declare -A METRIC=(
  [mbs]='.produced.bytes_per_s / 1e6' [rps]='.produced.requests_per_s' [read_mbs]='.consumed.bytes_per_s / 1e6'
  [cpu_gb]='.broker.cpu_s_per_gb' [cpu_req]='.broker.cpu_us_per_request'
  [out_cpu_gb]='.broker.cpu_s * 1e9 / ([.consumed.bytes, 1] | max)'
  [p50]='.latencies[] | select(.name == "acknowledge") | .p50_ms' [p99]='.latencies[] | select(.name == "acknowledge") | .p99_ms'
  [p999]='.latencies[] | select(.name == "acknowledge") | .p99_9_ms'
  [commit_p50]='.latencies[] | select(.name == "commit") | .p50_ms' [commit_p99]='.latencies[] | select(.name == "commit") | .p99_ms'
  [e2e_p50]='.latencies[] | select(.name == "end to end") | .p50_ms' [e2e_p99]='.latencies[] | select(.name == "end to end") | .p99_ms'
  [rss]='.broker.resident_bytes / 1048576' [cores]='.broker.cores * 100' [first_ack]='.first_ack_s'
  [ready_mbs]='.consumed.bytes_per_s / 1e6'
)
declare -A METRIC_NAME=(
  [mbs]='MB/s' [rps]='requests/s' [read_mbs]='read MB/s' [cpu_gb]='broker CPU s/GB' [cpu_req]='broker CPU us/request'
  [commit_p50]='p50 of a commit, ms' [commit_p99]='p99 of a commit, ms' [out_cpu_gb]='broker CPU s/GB sent' [p50]='p50 ms' [p99]='p99 ms' [p999]='p99.9 ms' [e2e_p50]='p50 ms' [e2e_p99]='p99 ms'
  [rss]='resident MiB' [cores]='% of a core' [first_ack]='s to the first acknowledgement' [ready_mbs]='read MB/s'
)

rounds=3 seconds=10 only="" data="$TARGET/compare-kafka" write=1 warm_up=2 short=0
while (($#)); do
  case "$1" in
    --short) short=1 rounds=1 seconds=3 warm_up=1 KAFKA_WARM_UP_SECONDS=4 KAFKA_TRANSACTIONS_WARM_UP_SECONDS=10 RESTART_BYTES=$((512 << 20)) write=0; shift ;;
    --rounds) rounds="${2:?}"; shift 2 ;;
    --seconds) seconds="${2:?}"; shift 2 ;;
    --warm-up) warm_up="${2:?}"; shift 2 ;;
    --only) only=",${2:?},"; shift 2 ;;
    --list) for one in "${WORKLOADS[@]}"; do IFS='|' read -r name _ _ what _ <<<"$one"; printf '%-16s %s\n' "$name" "$what"; done
            printf '%s\n' "${SPECIAL[@]}"; exit ;;
    --flags) for one in "${WORKLOADS[@]}"; do [[ "${one%%|*}" != "${2:?}" ]] || echo "${one##*|}"; done; exit ;;
    --data) data="${2:?}"; shift 2 ;;
    --nice) renice -n "${2:?}" -p $$ >/dev/null; shift 2 ;;
    --no-write) write=0; shift ;;
    *) usage ;;
  esac
done
wanted() { [[ -z "$only" || "$only" == *",$1,"* ]]; }

command -v jq >/dev/null || fail "jq is needed (apt-get install jq)"
[[ -x "$TARGET/release/flumen" && -x "$TARGET/release/flumen-load" ]] || (cd "$ROOT" && cargo build --release --locked)
mkdir -p "$data"
data="$(cd "$data" && pwd)"
OUT="$data/results"
rm -rf "$OUT" "$data/flumen" "$data/kafka"
mkdir -p "$OUT"

last_core=$(($(nproc) - 1))
client_cores=$last_core
broker_cores=0-$((last_core > 0 ? last_core - 1 : 0))
reactors=$((last_core > 0 ? last_core : 1))
free_port() { # a port below the ephemeral range that nobody listens on, and the next one too
  local port
  for ((port = 19500 + RANDOM % 1000; port < 32000; port += 7)); do
    ss -Hltn "( sport = :$port or sport = :$((port + 1)) )" | grep -q . || { echo "$port"; return; }
  done
  fail "no free port"
}
declare -A PORT PID

# The program that is measured, which may be older than what is checked out.
COMMIT=$("$TARGET/release/flumen" --version | grep -oE '[0-9a-f]{7,40}' | head -1 | cut -c1-7)
# How the two tables of the report begin; rows of earlier reports are found by it.
TAKEN_HEADING="| workload |" FIGURES_HEADING="| figures of |"
NAMES=()
for one in "${WORKLOADS[@]}"; do NAMES+=("${one%%|*}"); done
NAMES+=(cold cold-alone cold-beside idle restart scaling)

start_flumen() { # DIRECTORY [FLAG]...
  local directory="$1"; shift
  PORT[flumen]=$(free_port)
  mkdir -p "$directory"
  taskset -c "$broker_cores" "$TARGET/release/flumen" --data "$directory" --listen "127.0.0.1:${PORT[flumen]}" \
    --reactors "$reactors" "$@" > "$data/flumen.log" 2>&1 &
  PID[flumen]=$!
  PORT[flumen-cached]=${PORT[flumen]} PID[flumen-cached]=${PID[flumen]}
  for ((tenth = 0; tenth < START_SECONDS_MAX * 10; tenth++)); do
    grep -q 'serving' "$data/flumen.log" && return
    kill -0 "${PID[flumen]}" 2>/dev/null || { cat "$data/flumen.log" >&2; fail "flumen did not start"; }
    sleep 0.1
  done
  fail "flumen did not start within $START_SECONDS_MAX s"
}

stop_flumen() { kill -TERM "${PID[flumen]}" 2>/dev/null || true; wait "${PID[flumen]}" 2>/dev/null || true; unset "PID[flumen]"; }

start_kafka() { # DIRECTORY
  PORT[kafka]=$(free_port)
  taskset -c "$broker_cores" "$ROOT/scripts/apache-kafka.sh" start --port "${PORT[kafka]}" --data "$1" --heap "$KAFKA_HEAP" >/dev/null
  PID[kafka]=$(cat "$1/broker.pid")
  PORT[kafka-fsync]=${PORT[kafka]} PID[kafka-fsync]=${PID[kafka]} KAFKA_DATA="$1"
}

stop_kafka() { "$ROOT/scripts/apache-kafka.sh" stop --port "${PORT[kafka]}" --data "$KAFKA_DATA" || true; unset "PID[kafka]"; }

cleanup() {
  [[ -z "${PID[flumen]:-}" ]] || stop_flumen
  [[ -z "${PID[kafka]:-}" ]] || stop_kafka
  rm -rf "$data/flumen" "$data/kafka" "$data/fresh" "$data/restart"
}
trap cleanup EXIT

topic_config() { case "$1" in flumen-cached) echo --topic-config write.caching=true ;; kafka-fsync) echo --topic-config flush.messages=1 ;; esac; }

# Runs flumen-load against a broker; the summary goes to standard output.
load() { # BROKER FLAG...
  local broker="$1"; shift
  local config; config=$(topic_config "$broker")
  # shellcheck disable=SC2086 # an option and its value, or nothing
  taskset -c "$client_cores" "$TARGET/release/flumen-load" "$@" --bootstrap "127.0.0.1:${PORT[$broker]}" --pid "${PID[$broker]}" \
    $config --json 2>"$data/load.err" | grep '"type":"summary"' || { cat "$data/load.err" >&2; fail "flumen-load $* failed on $broker"; }
}

keep() { jq -c --arg name "$1: $2" '.["label"] = $name' >> "$OUT/$1.$2.jsonl"; }

say() { printf '%s\n' "$*" >&2; }

ordinary() { # NAME BROKERS FLAGS
  local name="$1" brokers="$2" flags="$3" round broker topic
  for ((round = 1; round <= rounds; round++)); do
    for broker in $brokers; do
      say "$name, round $round of $rounds: $broker"
      sync
      topic="--topic $name-$broker"
      [[ "$flags" != *--topic* ]] || topic=""
      # shellcheck disable=SC2086 # flags are words
      load "$broker" $flags $topic --duration "$seconds" --warm-up "$warm_up" | keep "$name" "$broker"
    done
  done
}

# The same bytes into each broker: 64 KiB batches at a rate that both can keep.
fill() { # BROKER TOPIC BYTES [FLAG]...
  local broker="$1" topic="$2" bytes="$3"; shift 3
  local rate=2500
  load "$broker" produce --topic "$topic" --partitions 6 --connections 6 --record-bytes 1024 --batch-bytes 64KiB --rate $rate \
    --warm-up 0 --duration $((bytes / 65536 / rate + 1)) "$@" >/dev/null
}

cold() { # while half of what Kafka takes is produced
  local rate=${1:-3000} round broker
  # A topic each round: what was read a moment ago is not cold, whatever the page cache has lost.
  for ((round = 1; round <= rounds; round++)); do
    for broker in flumen kafka; do fill "$broker" "cold-$round" $((short ? 256 << 20 : 2 << 30)); done
  done
  for ((round = 1; round <= rounds; round++)); do
    for broker in flumen kafka; do
      say "cold, round $round of $rounds: $broker"
      local producing=(produce --topic beside --partitions 6 --connections 6 --record-bytes 1024 --batch-bytes 64KiB --rate "$rate")
      load "$broker" "${producing[@]}" --duration "$seconds" --warm-up "$warm_up" | keep cold-alone "$broker"
      sync
      echo 1 > /proc/sys/vm/drop_caches 2>/dev/null || say "the page cache cannot be dropped here: the fetch is warm"
      load "$broker" "${producing[@]}" --duration "$seconds" --warm-up "$warm_up" > "$data/beside.json" &
      local producer=$!
      sleep "$warm_up"
      load "$broker" fetch --topic "cold-$round" --duration "$seconds" | keep cold "$broker"
      wait "$producer"
      keep cold-beside "$broker" < "$data/beside.json"
    done
  done
  taken cold "catch-up fetch, cold, while producing $((rate * 65536 / 1000000)) MB/s" "$rounds"
  row cold read_mbs "kafka:>=1.2"
  row cold cpu_gb -
  taken cold-alone "the producer of the workload before, without the reader" "$rounds"
  row cold-alone p99 -
  taken cold-beside "the same producer, with the reader; held against itself without" "$rounds"
  cp "$OUT/cold-alone.flumen.jsonl" "$OUT/cold-beside.flumen-alone.jsonl"
  row cold-beside p99 "flumen-alone:<=2"
}

idle() {
  local round broker
  for ((round = 1; round <= rounds; round++)); do
    rm -rf "$data/fresh"
    for broker in flumen kafka; do
      say "idle, round $round of $rounds: $broker"
      "start_$broker" "$data/fresh/$broker"
      load "$broker" connections --topic idle --partitions 1000 --connections 1000 --duration "$seconds" --warm-up 5 | keep idle "$broker"
      "stop_$broker"
    done
  done
  taken idle "1,000 connections and 1,000 partitions, idle" "$rounds"
  row idle rss "-64"
  row idle cores "-0.2"
}

restart() {
  local round broker from
  for ((round = 1; round <= (short ? 1 : 3); round++)); do
    rm -rf "$data/restart"
    for broker in flumen kafka; do
      say "restart, round $round: $broker"
      "start_$broker" "$data/restart/$broker"
      fill "$broker" restart "$RESTART_BYTES"
      load "$broker" produce --topic many --partitions 994 --connections 2 --partitions-per-request 50 --record-bytes 100 --batch-records 1 \
        --duration 2 --warm-up 0 >/dev/null
      kill -KILL "${PID[$broker]}"
      while kill -0 "${PID[$broker]}" 2>/dev/null; do sleep 0.01; done
      rm -f "$data/restart/$broker/broker.pid"
      from=$(date +%s.%N)
      "start_$broker" "$data/restart/$broker"
      until load "$broker" produce --topic restart --connections 1 --in-flight 1 --batch-records 1 --rate 100 --duration 0.02 --warm-up 0 \
        >/dev/null 2>&1; do sleep 0.02; done
      jq -nc --arg from "$from" --arg to "$(date +%s.%N)" '{type: "summary", first_ack_s: (($to | tonumber) - ($from | tonumber))}' | keep restart "$broker"
      "stop_$broker"
    done
  done
  taken restart "restart after kill -9 with $((RESTART_BYTES >> 20)) MiB and 1,000 partitions" "$((short ? 1 : 3))"
  row restart first_ack "-1"
}

# One reactor against two, on the same cores: what a request costs.
scaling() {
  local round count kept=$reactors
  for ((round = 1; round <= rounds; round++)); do
    for count in 1 2; do
      say "scaling, round $round of $rounds: $count reactors"
      rm -rf "$data/fresh"
      reactors=$count start_flumen "$data/fresh/flumen" --pin-cores false
      sync
      load flumen produce --topic t --partitions 6 --connections 64 --record-bytes 100 --batch-records 1 --duration "$seconds" \
        --warm-up "$warm_up" | keep scaling "$([[ $count == 1 ]] && echo one || echo flumen)"
      stop_flumen
    done
  done
  reactors=$kept
  taken scaling "1 record of 100 B a request: 2 reactors against 1, both on cores $broker_cores" "$rounds"
  row scaling rps -
  row scaling cpu_req "one:<=1.15"
}

median() { # WORKLOAD BROKER METRIC
  jq -s "[.[] | (${METRIC[$3]})] | sort | .[(length - 1) / 2 | floor]" "$OUT/$1.$2.jsonl" 2>/dev/null
}

number() { awk -v value="$1" 'BEGIN { if (value >= 1000) printf "%.0f", value; else if (value >= 100) printf "%.1f", value; else if (value >= 1) printf "%.2f", value; else printf "%.3f", value }'; }

meets() { awk -v ratio="$1" -v op="${2:0:2}" -v goal="${2:2}" 'BEGIN { exit !(op == ">=" ? ratio >= goal : ratio <= goal) }'; }

# Adds lines to the table: flumen's median, each other broker's, the ratio, the goal and whether it is met.
row() { # WORKLOAD METRIC GOALS
  local name="$1" metric="$2" goals="$3" file broker own goal verdict
  own=$(median "$name" flumen "$metric")
  if [[ "$goals" =~ ^-([0-9.]+)$ ]]; then
    verdict=missed; meets "$own" "<=${BASH_REMATCH[1]}" && verdict=met
    line "$name" "${METRIC_NAME[$metric]}" "$own" "" "" "" "at most ${BASH_REMATCH[1]}" "$verdict"
  fi
  for file in "$OUT/$name".*.jsonl; do
    broker=$(basename "$file" .jsonl); broker="${broker#"$name".}"
    [[ "$broker" != flumen ]] || continue
    goal=""
    [[ ! ",$goals," =~ ,$broker:([<>]=[0-9.]+), ]] || goal="${BASH_REMATCH[1]}"
    against "$name" "$metric" flumen "$broker" "$goal"
  done
  if [[ ",$goals," =~ ,([a-z-]+)/([a-z-]+):([<>]=[0-9.]+), ]]; then
    against "$name" "$metric" "${BASH_REMATCH[1]}" "${BASH_REMATCH[2]}" "${BASH_REMATCH[3]}"
  fi
}

against() { # WORKLOAD METRIC SUBJECT BROKER GOAL
  local name="$1" metric="$2" subject="$3" broker="$4" goal="$5" own other ratio verdict="" figure="${METRIC_NAME[$2]}"
  own=$(median "$name" "$subject" "$metric")
  other=$(median "$name" "$broker" "$metric")
  [[ "$subject" == flumen ]] || figure+=" of $subject"
  ratio=$(awk -v own="$own" -v other="$other" 'BEGIN { if (other > 0) printf "%.3f", own / other; else print "-" }')
  if [[ -n "$goal" ]]; then
    verdict=missed
    # A broker that answered nothing within the time has no figure to hold this against.
    if [[ "$ratio" == - ]]; then verdict="no figure"; elif meets "$ratio" "$goal"; then verdict=met; fi
    goal="${goal/>=/at least }" goal="${goal/<=/at most }"
  fi
  line "$name" "$figure" "$own" "$broker" "$(number "$other")" "$ratio" "$goal" "$verdict"
}

line() { # WORKLOAD FIGURE OWN BROKER OTHER RATIO GOAL VERDICT
  printf '| %s | %s | %s | %s | %s | %s | %s | %s |\n' "$1" "$2" "$(number "$3")" "$4" "$5" "$6" "$7" "$8" >> "$OUT/figures"
}

# Notes what a workload is, and when and how it was taken: as what was measured was, not as the report is.
taken() { # WORKLOAD TITLE ROUNDS
  printf '| %s | %s | %s | %s | %s x %s s | %s |\n' "$1" "$2" "$(date -u '+%Y-%m-%d %H:%M')" "$COMMIT" "$3" "$seconds" \
    "$(cut -d' ' -f1-3 /proc/loadavg)" >> "$OUT/taken"
}

# Lines of a table, in the order of the workloads: those of this run, for the other workloads those of RESULTS.md.
merged() { # TABLE HEADING
  local name
  for name in "${NAMES[@]}"; do
    grep -F "| $name |" "$OUT/$1" || old_section | awk -v heading="$2" -v row="| $name |" '
      /^\|/ && index($0, heading) == 1 { inside = 1 } !/^\|/ { inside = 0 } inside && index($0, row) == 1'
  done
}

old_section() { [[ -f "$RESULTS" ]] && sed -n '/<!-- compare-kafka: begin -->/,/<!-- compare-kafka: end -->/p' "$RESULTS"; }

report() {
  local kafka_version; kafka_version=$(grep -oE 'kafka[-_.a-z0-9]*-[0-9]+\.[0-9]+\.[0-9]+\.jar' <("$ROOT/scripts/apache-kafka.sh" classpath | tr ':' '\n') | grep -oE '[0-9]+\.[0-9]+\.[0-9]+' | sort | uniq -c | sort -rn | awk 'NR == 1 { print $2 }')
  {
    echo "<!-- compare-kafka: begin -->"
    echo "## Against Apache Kafka $kafka_version"
    echo
    echo "By \`scripts/compare-kafka.sh\`: medians of alternating rounds. Machine: $(nproc) x $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1),"
    echo "$(awk '/MemTotal/ { printf "%.0f GiB", $2 / 1048576 }' /proc/meminfo), Linux $(uname -r | cut -d- -f1), $(stat -f -c %T "$data") on $(df --output=source "$data" | tail -1);"
    echo "brokers on cores $broker_cores, the load generator on core $client_cores. Flumen acknowledges what is on the disk; \"kafka\" acknowledges from memory,"
    echo "\"kafka-fsync\" after an fsync of each append (\`flush.messages=1\`); \"flumen-cached\" has \`write.caching=true\`."
    echo
    echo "$TAKEN_HEADING what | taken (UTC) | commit | rounds | load of the machine after it |"
    echo "|---|---|---|---|---|---|"
    merged taken "$TAKEN_HEADING"
    echo
    echo "$FIGURES_HEADING figure | flumen | against | its figure | ratio | goal | |"
    echo "|---|---|---|---|---|---|---|---|"
    merged figures "$FIGURES_HEADING"
    echo "<!-- compare-kafka: end -->"
  } > "$OUT/section"
  cat "$OUT/section"
  "$TARGET/release/flumen-load" page "$OUT"/*.jsonl --report "$OUT/page.html" 2>/dev/null && say "plots: $OUT/page.html"
  ((write)) || return 0
  [[ -f "$RESULTS" ]] || printf '# Measured\n\nOne section a subject; each says when, where and how.\n\n' > "$RESULTS"
  if grep -q '<!-- compare-kafka: begin -->' "$RESULTS"; then
    awk -v section="$OUT/section" '/<!-- compare-kafka: begin -->/ { while ((getline line < section) > 0) print line; skip = 1 }
      !skip { print } /<!-- compare-kafka: end -->/ { skip = 0 }' "$RESULTS" > "$RESULTS.new"
    mv "$RESULTS.new" "$RESULTS"
  else
    { echo; cat "$OUT/section"; } >> "$RESULTS"
  fi
  say "written to $RESULTS"
}

needs_shared() { local one name; for one in "${WORKLOADS[@]}"; do name="${one%%|*}"; ! wanted "$name" || return 0; done; wanted cold; }

: > "$OUT/figures"
: > "$OUT/taken"
if needs_shared; then
  start_flumen "$data/flumen"
  start_kafka "$data/kafka"
  say "warming Kafka up"
  load kafka produce --topic warm-up --partitions 6 --connections 6 --record-bytes 1024 --batch-bytes 64KiB --duration "$KAFKA_WARM_UP_SECONDS" >/dev/null
  load kafka end-to-end --topic warm-up-small --partitions 6 --connections 64 --record-bytes 100 --batch-records 1 --duration "$KAFKA_WARM_UP_SECONDS" >/dev/null
  if wanted transactions || wanted transactions-1; then
    load kafka transactions --topic warm-up-transactions --partitions 100 --producers 1 --duration "$KAFKA_TRANSACTIONS_WARM_UP_SECONDS" >/dev/null
  fi
  if wanted warm-1 || wanted warm-3; then
    for broker in flumen kafka; do
      fill "$broker" catch-up $((short ? 256 << 20 : 1 << 30))
      # What was written past the page cache is in it from the first read on.
      load "$broker" fetch --topic catch-up --repeat --warm-up 0 --duration 8 >/dev/null
    done
  fi
  for one in "${WORKLOADS[@]}"; do
    IFS='|' read -r name brokers metrics what flags <<<"$one"
    wanted "$name" || continue
    ordinary "$name" "$brokers" "$flags"
    taken "$name" "$what: \`flumen-load $flags\`" "$rounds"
    IFS=';' read -ra lines <<<"$metrics"
    for line in "${lines[@]}"; do row "$name" "${line%% *}" "${line#* }"; done
  done
  ! wanted cold || cold
  stop_flumen
  stop_kafka
fi
for name in idle restart scaling; do ! wanted "$name" || "$name"; done
report
