#!/usr/bin/env bash
# What many partitions and long backlogs cost: descriptors, memory, time. Prints a line a figure: name,
# figure, limit, ok or FAIL. Exit 1 if any failed.
#
#   benches/limits.sh [PARTITIONS]      default: 10000, of three replicas each
#
# Needs a release build (made if missing), a memory file system at /dev/shm with some gigabytes of room,
# jq, and 'ulimit -Hn' of at least 20000. It takes some minutes.
set -euo pipefail
cd "$(dirname "$0")/.."
partitions=${1:-10000}
cargo build --quiet --release --bins
bin=$(cd "${CARGO_TARGET_DIR:-target}/release" && pwd)
PATH=$bin:$PATH
dir=$(mktemp -d /dev/shm/mq-limits.XXXXXX)
declare -A daemon
trap 'kill -9 "${daemon[@]}" 2> /dev/null; rm -rf "$dir"' EXIT
export MQ_STORE
bad=0

verdict() { # NAME FIGURE LIMIT
  local word=ok
  awk -v f="$2" -v l="$3" 'BEGIN {exit !(f > l)}' && { word=FAIL; bad=1; }
  printf '%-66s %10s  limit %-8s %s\n' "$1" "$2" "$3" "$word"
}
ms() { echo $((${EPOCHREALTIME/[.,]/} / 1000)); }
seconds() { awk -v a="$1" -v b="$(ms)" 'BEGIN {printf "%.2f\n", (b - a) / 1000}'; }
start() { # ID DESCRIPTORS
  prlimit --nofile="$2:$2" mq-broker start --id "$1" >> "$dir/log$1" 2>&1 &
  daemon[$1]=$!
  until grep -q ready: "$dir/log$1"; do sleep 0.05; done
}
peak() { awk '/VmHWM/ {printf "%.1f\n", $2 / 1024}' "/proc/$1/status"; }
stop_all() {
  for id in "${!daemon[@]}"; do kill -9 "${daemon[$id]}" 2> /dev/null || true; done
  wait 2> /dev/null || true
  daemon=()
}
of_brokers() { # BROKERS PARTITIONS: an assignment
  awk -v b="$1" -v n="$2" 'BEGIN {for (i = 0; i < n; i++) printf "%s%s", (i ? "," : ""), b}'
}

# A daemon that follows 1,000 partitions, each with more to copy than a buffer holds.
MQ_STORE=$dir/followed
start 1 20000
start 2 20000
mq-topics create -q t --assign "$(of_brokers 1:2 1000)" -c flush.messages=never 2> /dev/null
mq-broker health -q --wait --timeout 60s
kill -9 "${daemon[2]}"
wait "${daemon[2]}" 2> /dev/null || true
yes 'a log-like line of about seventy bytes, as in the README of the house..' | head -c 1500M |
  mq-produce -q --acks 1 t
rm "$dir/log2"
start 2 20000
mq-broker health -q --wait --timeout 120s
verdict "a daemon that follows 1,000 partitions: peak, MiB" "$(peak "${daemon[2]}")" 48
stop_all
rm -rf "$MQ_STORE" "$dir"/log*

# Removal.
MQ_STORE=$dir/removed
mq-topics create -q t -p 4000 -c flush.messages=never
mq-topics alter -q t --partitions 8000
a=$(ms); mq-topics delete -q --yes t
verdict "delete of 8,000 partitions, s" "$(seconds "$a")" 3
rm -rf "$MQ_STORE"

# A backlog of small records, read by a group into a pipe that takes its time.
MQ_STORE=$dir/backlog
yes 'short line' | head -n 40000000 | mq-produce -q t
mq-consume -q -e -g g t > "$dir/fifo" & consumer=$!
highest=0
while kill -0 $consumer 2> /dev/null; do
  now=$(peak $consumer 2> /dev/null || echo 0)
  highest=$(awk -v a="$highest" -v b="${now:-0}" 'BEGIN {print (b > a) ? b : a}')
  sleep 0.05
done
wait $consumer
rm "$dir/fifo"
verdict "a member over a backlog of 40 M records: peak, MiB" "$highest" 32
mq-consume -q -e -g h --commit-interval 500ms t > "$dir/slow" & consumer=$!
log=$MQ_STORE/groups/h/offsets.log
until [ -s "$log" ]; do sleep 0.01; done
last=$(stat -c %s "$log") since=$(ms) longest=0
while kill -0 $consumer 2> /dev/null; do
  size=$(stat -c %s "$log") now=$(ms)
  if [ "$size" != "$last" ]; then last=$size since=$now; fi
  [ $((now - since)) -gt $longest ] && longest=$((now - since))
  sleep 0.02
done
wait $consumer || true
verdict "longest time between two commits, interval 500 ms, ms" "$longest" 1100
rm -rf "$MQ_STORE" "$dir/slow"

# Many partitions of three replicas under few descriptors.
MQ_STORE=$dir/many
for id in 1 2 3; do start $id 20000; done
made=0
while ((made < partitions)); do
  made=$((made + 2000 < partitions ? made + 2000 : partitions))
  if ((made <= 2000)); then
    mq-topics create -q t -p "$made" -r 3 -c flush.messages=never 2> /dev/null
  else
    mq-topics alter -q t --partitions "$made"
  fi
done
mq-broker health -q --wait --timeout 300s || { echo "FAIL: not healthy" >&2; bad=1; }
a=$(ms)
seq $((partitions * 2)) | mq-produce -q --timeout 120s --batch-size 1KiB t
verdict "records to $partitions partitions x 3, s" "$(seconds "$a")" 120
led() { jq "[.partitions[] | select(.leader == $1)] | length" "$MQ_STORE/topics/t.json"; }
before=$(led 1)
a=$(ms)
kill -9 "${daemon[1]}"
until [ "$(led 1)" = 0 ]; do
  sleep 0.1
  [ $(($(ms) - a)) -gt 60000 ] && break
done
verdict "kill -9 of the leader of $before: all have moved, s" "$(seconds "$a")" 3
seq $((partitions * 2)) | mq-produce -q --acks 1 --timeout 120s --batch-size 1KiB t
verdict "and each took a record, s" "$(seconds "$a")" 6
for id in 2 3; do
  verdict "descriptors of daemon $id, of 20,000" "$(ls "/proc/${daemon[$id]}/fd" | wc -l)" 15000
done
exit $bad
