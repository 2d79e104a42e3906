#!/usr/bin/env bash
# Runs Apache Kafka's own broker and tools (the version named in tests/clients/apache-kafka/pom.xml) on loopback.
#
#   apache-kafka.sh start [--port PORT] [--data DIR] [--heap SIZE] [--props KEY=VALUE]...
#   apache-kafka.sh stop  [--port PORT] [--data DIR]
#   apache-kafka.sh tool NAME ARGUMENT...     kafka-topics, kafka-configs, ... ('tool' alone lists them), or a class name
#   apache-kafka.sh classpath                 prints the class path
#
# `start` formats an empty directory as a single-node KRaft cluster, starts the broker in the background and returns
# when the broker answers; a directory that holds a cluster already is started as it is. It prints the bootstrap address.
# DIR holds server.properties, broker.log, broker.pid and log/ (the partition directories). The KRaft controller
# listens on PORT + 1.
set -euo pipefail

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
PROJECT="$ROOT/tests/clients/apache-kafka"
WORK="${CLIENTS_WORK:-$ROOT/tests/clients/.work}"
CLASSPATH_FILE="$WORK/apache-kafka/classpath"
CLASS_ARCHIVE="$WORK/apache-kafka/tools.jsa"
START_SECONDS_MAX=60
STOP_SECONDS_MAX=60
DEFAULT_PORT=19092

fail() { echo "apache-kafka.sh: $*" >&2; exit 1; }

usage() { sed -n '2,/^set -euo/{/^set -euo/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}" >&2; exit 2; }

# A tool lives for a second or two: the cheap collector and the first compiler tier start fastest.
TOOL_JAVA=(java "-Dlog4j2.configurationFile=$PROJECT/log4j2-tools.xml" -Xlog:disable -XX:+UseSerialGC -XX:TieredStopAtLevel=1)

# Archives the parsed classes of a tool that asks a broker which is not there: with them a tool starts in half the time.
archive_classes() {
  printf '%s\n' default.api.timeout.ms=500 request.timeout.ms=500 > "$WORK/apache-kafka/archive.properties"
  rm -f "$CLASS_ARCHIVE"
  "${TOOL_JAVA[@]}" -XX:ArchiveClassesAtExit="$CLASS_ARCHIVE" -cp "$1" org.apache.kafka.tools.TopicCommand --list \
    --bootstrap-server 127.0.0.1:1 --command-config "$WORK/apache-kafka/archive.properties" > /dev/null 2>&1 || true
}

# Resolves the jars once per state of pom.xml.
resolve_classpath() {
  mkdir -p "$WORK/apache-kafka"
  (
    flock 9
    if [[ ! -s "$CLASSPATH_FILE" || "$PROJECT/pom.xml" -nt "$CLASSPATH_FILE" ]]; then
      mvn -q -B -f "$PROJECT/pom.xml" dependency:build-classpath \
        -Dmdep.outputFile="$CLASSPATH_FILE.new" >&2 || fail "maven cannot resolve $PROJECT/pom.xml"
      archive_classes "$(cat "$CLASSPATH_FILE.new")"
      mv "$CLASSPATH_FILE.new" "$CLASSPATH_FILE"
    fi
  ) 9>"$WORK/apache-kafka/lock"
}

classpath() { resolve_classpath; cat "$CLASSPATH_FILE"; }

port=$DEFAULT_PORT data="" heap=512m props=()

parse_broker_options() {
  while (($#)); do
    case "$1" in
      --port) port="${2:?--port needs a value}"; shift 2 ;;
      --data) data="${2:?--data needs a value}"; shift 2 ;;
      --heap) heap="${2:?--heap needs a value}"; shift 2 ;;
      --props) props+=("${2:?--props needs KEY=VALUE}"); shift 2 ;;
      *) usage ;;
    esac
  done
  data="${data:-$WORK/apache-kafka/$port}"
}

running() { [[ -f "$data/broker.pid" ]] && kill -0 "$(cat "$data/broker.pid")" 2>/dev/null; }

# A later line of the file wins, so --props override what is written here.
write_properties() {
  cat > "$data/server.properties" <<PROPERTIES
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$((port + 1))
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$((port + 1))
advertised.listeners=PLAINTEXT://127.0.0.1:$port
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=$data/log
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
log.cleaner.dedupe.buffer.size=8388608
PROPERTIES
  ((${#props[@]} == 0)) || printf '%s\n' "${props[@]}" >> "$data/server.properties"
}

start() {
  parse_broker_options "$@"
  mkdir -p "$data"
  data="$(cd "$data" && pwd)"
  running && fail "a broker is running on $data already"
  local classes; classes="$(classpath)"
  write_properties
  local java=(java -cp "$classes" "-Dlog4j2.configurationFile=$PROJECT/log4j2-broker.xml"
    "-Xmx$heap" "-Xms$heap" -XX:+UseG1GC)
  if [[ ! -f "$data/log/meta.properties" ]]; then
    "${java[@]}" kafka.tools.StorageTool format --cluster-id flumentestsclienttests \
      --config "$data/server.properties" > "$data/format.log" 2>&1 || { cat "$data/format.log" >&2; fail "format failed"; }
  fi
  setsid "${java[@]}" kafka.Kafka "$data/server.properties" > "$data/broker.log" 2>&1 < /dev/null &
  echo $! > "$data/broker.pid"
  wait_until_up
  echo "127.0.0.1:$port"
}

wait_until_up() {
  for ((tenth = 0; tenth < START_SECONDS_MAX * 10; tenth++)); do
    grep -qs 'Kafka Server started' "$data/broker.log" && return
    running || { tail -n 20 "$data/broker.log" >&2; fail "the broker ended while it started"; }
    sleep 0.1
  done
  stop_running
  fail "the broker did not start within $START_SECONDS_MAX s; see $data/broker.log"
}

stop_running() {
  local pid; pid="$(cat "$data/broker.pid")"
  kill -TERM "$pid"
  for ((tenth = 0; tenth < STOP_SECONDS_MAX * 10; tenth++)); do
    kill -0 "$pid" 2>/dev/null || { rm -f "$data/broker.pid"; return; }
    sleep 0.1
  done
  kill -KILL "$pid"
  rm -f "$data/broker.pid"
  fail "the broker did not stop within $STOP_SECONDS_MAX s and was killed"
}

stop() {
  parse_broker_options "$@"
  running || fail "no broker is running on $data"
  stop_running
}

declare -A TOOLS=(
  [kafka-broker-api-versions]=org.apache.kafka.tools.BrokerApiVersionsCommand
  [kafka-cluster]=org.apache.kafka.tools.ClusterTool
  [kafka-configs]=kafka.admin.ConfigCommand
  [kafka-console-consumer]=org.apache.kafka.tools.consumer.ConsoleConsumer
  [kafka-console-producer]=org.apache.kafka.tools.ConsoleProducer
  [kafka-consumer-groups]=org.apache.kafka.tools.consumer.group.ConsumerGroupCommand
  [kafka-consumer-perf-test]=org.apache.kafka.tools.ConsumerPerformance
  [kafka-delete-records]=org.apache.kafka.tools.DeleteRecordsCommand
  [kafka-dump-log]=org.apache.kafka.tools.DumpLogSegments
  [kafka-e2e-latency]=org.apache.kafka.tools.EndToEndLatency
  [kafka-features]=org.apache.kafka.tools.FeatureCommand
  [kafka-get-offsets]=org.apache.kafka.tools.GetOffsetShell
  [kafka-groups]=org.apache.kafka.tools.GroupsCommand
  [kafka-leader-election]=org.apache.kafka.tools.LeaderElectionCommand
  [kafka-log-dirs]=org.apache.kafka.tools.LogDirsCommand
  [kafka-metadata-quorum]=org.apache.kafka.tools.MetadataQuorumCommand
  [kafka-producer-perf-test]=org.apache.kafka.tools.ProducerPerformance
  [kafka-reassign-partitions]=org.apache.kafka.tools.reassign.ReassignPartitionsCommand
  [kafka-replica-verification]=org.apache.kafka.tools.ReplicaVerificationTool
  [kafka-storage]=kafka.tools.StorageTool
  [kafka-topics]=org.apache.kafka.tools.TopicCommand
  [kafka-transactions]=org.apache.kafka.tools.TransactionsCommand
  [kafka-verifiable-consumer]=org.apache.kafka.tools.VerifiableConsumer
  [kafka-verifiable-producer]=org.apache.kafka.tools.VerifiableProducer
)

tool() {
  (($#)) || { printf '%s\n' "${!TOOLS[@]}" | sort; return; }
  local class="${TOOLS[$1]:-}"
  [[ -n "$class" || "$1" != *.* ]] || class="$1"
  [[ -n "$class" ]] || fail "unknown tool $1"
  shift
  resolve_classpath
  exec "${TOOL_JAVA[@]}" -XX:SharedArchiveFile="$CLASS_ARCHIVE" "-Xmx${TOOL_HEAP:-256m}" \
    -cp "$(cat "$CLASSPATH_FILE")" "$class" "$@"
}

(($#)) || usage
verb="$1"
shift
case "$verb" in
  start) start "$@" ;;
  stop) stop "$@" ;;
  tool) tool "$@" ;;
  classpath) classpath ;;
  *) usage ;;
esac
