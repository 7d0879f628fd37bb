#!/usr/bin/env bash
# What thousands of partitions cost the daemons: replicas that are lost together, the rest of a deletion
# that died, a follower's memory, descriptors and a failover under 'ulimit -n'. Prints a line a figure: name,
# figure, limit, ok or FAIL. Exit 1 if any failed.
#
#   benches/daemons.sh [PERCENT]      default: 100; fewer partitions with less
#
# Needs a release build (made if missing; BIN names another), jq, prlimit, and 6 GiB at /dev/shm.
set -euo pipefail
cd "$(dirname "$0")/.."
percent=${1:-100}
if [ -z "${BIN:-}" ]; then
  cargo build --quiet --release --bins
  BIN=$(cd "${CARGO_TARGET_DIR:-target}/release" && pwd)
fi
PATH=$BIN:$PATH
dir=$(mktemp -d /dev/shm/mq-daemons.XXXXXX)
declare -A pids
stop_all() {
  for id in "${!pids[@]}"; do
    kill -9 "${pids[$id]}" 2> /dev/null || true
    wait "${pids[$id]}" 2> /dev/null || true
  done
  pids=()
}
trap 'stop_all; rm -rf "$dir"' EXIT
bad=0

verdict() { # NAME FIGURE LIMIT
  local word=ok
  awk -v f="$2" -v l="$3" 'BEGIN {exit !(f > l)}' && { word=FAIL; bad=1; }
  printf '%-62s %10s  limit %-8s %s\n' "$1" "$2" "$3" "$word"
}
start() { # DESCRIPTORS ID...: brokers, ready
  local most=$1 id; shift
  for id in "$@"; do
    prlimit --nofile="$most:$most" mq-broker start --id "$id" > "$MQ_STORE.$id" 2>&1 &
    pids[$id]=$!
  done
  for id in "$@"; do until grep -q ' ready: ' "$MQ_STORE.$id"; do sleep 0.01; done; done
}
healthy() { mq-broker health --wait --timeout 120s > /dev/null 2>&1; }
since() { local b=$EPOCHREALTIME; awk -v a="${1/,/.}" -v b="${b/,/.}" 'BEGIN {printf "%.2f\n", b - a}'; }
times() { echo $(($1 * percent / 100)); }
each() { for ((i = 0; i < $2; i++)); do printf '%s' "$1"; ((i + 1 < $2)) && printf ,; done; true; }
begin() { stop_all; rm -rf "$dir"/*; export MQ_STORE=$dir/$1; }
full() { jq -e "[.partitions[] | select((.isr | length) < $1)] | length == 0" "$MQ_STORE/topics/t.json" > /dev/null; }
most=$(ulimit -Hn)

begin lost; n=$(times 1000)
start "$most" 1 2
mq-topics create -q t --assign "$(each 1:2 "$n")" 2> /dev/null; healthy
before=$(jq .version "$MQ_STORE/topics/t.json")
a=$EPOCHREALTIME
rm -rf "$MQ_STORE"/brokers/2/logs/t-*
until full 2 && [ "$(ls "$MQ_STORE/brokers/2/logs" | grep -c '^t-[0-9]*$')" = "$n" ]; do sleep 0.05; done
verdict "$n replicas lost at once, in sync again after, s" "$(since "$a")" 5
verdict "  versions of the topic file" $(($(jq .version "$MQ_STORE/topics/t.json") - before)) 60

begin swept; n=$(times 8000)
start "$most" 1 2
mq-topics create -q t --assign "$(each 1 "$n")" 2> /dev/null
mq-topics delete -q t --yes & killed=$!
while [ -e "$MQ_STORE/topics/t.json" ]; do sleep 0.001; done
kill -9 "$killed" 2> /dev/null || true; wait "$killed" 2> /dev/null || true
left() { ls "$MQ_STORE/brokers/1/logs" | grep -c '^t-' || true; }
many=$(left)
while [ "$(left)" = "$many" ]; do sleep 0.01; done
a=$EPOCHREALTIME
mq-topics create -q x --assign 2:1 2> /dev/null; echo a | mq-produce -q x
verdict "a new topic's first record beside a sweep, s" "$(since "$a")" 0.5
until [ "$(left)" = 0 ]; do sleep 0.02; done
verdict "$many directories that a dead deletion left, swept in, s" "$(since "$a")" 3

begin memory; n=$(times 1000)
start "$most" 1 2
mq-topics create -q t --assign "$(each 1:2 "$n")" 2> /dev/null; healthy
mq-broker stop 2 > /dev/null 2>&1; wait "${pids[2]}" || true
yes 'a log-like line of about seventy bytes, as in the README of the house..' | head -c "${n}M" | mq-produce -q --acks 1 t || [ $? = 141 ]
start "$most" 2; healthy
verdict "a follower of $n partitions, at most, MiB" $(($(awk '/VmHWM/ {print $2}' "/proc/${pids[2]}/status") / 1024)) 48

begin few; n=$(times 10000); d=$(times 20000)
start "$d" 1 2 3
made=0
while ((made < n)); do
  # Each replica that is being created keeps its lock, and so a descriptor.
  next=$((made + 2500 < n ? made + 2500 : n))
  if ((made == 0)); then mq-topics create -q t -r 3 -p "$next" 2> /dev/null; else mq-topics alter -q t --partitions "$next" 2> /dev/null; fi
  made=$next
done
healthy
seq "$n" | mq-produce -q --batch-size 1KiB t
verdict "$n x 3 under 'ulimit -n $d', descriptors of a daemon" "$(ls "/proc/${pids[3]}/fd" | wc -l)" $((d * 3 / 4 + 200))
jq -r '.partitions[] | select(.leader == 1) | "\(.partition) x"' "$MQ_STORE/topics/t.json" > "$dir/led"
kill -9 "${pids[1]}"; a=$EPOCHREALTIME
# Cheaper than jq, which took a third of the machine during the measurement.
while grep -q '"leader": 1,' "$MQ_STORE/topics/t.json"; do sleep 0.05; done
verdict "  its $(wc -l < "$dir/led") leaders have moved after, s" "$(since "$a")" 3
mq-produce -q -f '%p %v\n' --keep-partition --batch-size 1KiB t < "$dir/led"
verdict "  each of them has taken a record after, s" "$(since "$a")" 6
seq "$n" | mq-produce -q --batch-size 1KiB t
printf '%-62s %10s\n' "  and all $n, one more each, after, s" "$(since "$a")"
prlimit --nofile=1024:1024 mq-produce -q --acks 1 --batch-size 1KiB t < <(seq "$n")
exit $bad
