#!/usr/bin/env bash
# The cost of a large group: how long a hundred members take to share a thousand partitions, the
# memory of each, and what they all use while nothing happens. Prints a line a figure: name,
# figure, limit, ok or FAIL. Exit 1 if any failed.
#
#   benches/group-scale.sh [MEMBERS [PARTITIONS [SECONDS]]]     defaults: 100 1000 10
#
# Needs a release build (made if missing) and jq.
set -euo pipefail
cd "$(dirname "$0")/.."
members=${1:-100} partitions=${2:-1000} seconds=${3:-10}
cargo build --quiet --release --bins
bin=$(cd "${CARGO_TARGET_DIR:-target}/release" && pwd)
PATH=$bin:$PATH
dir=$(mktemp -d "${TMPDIR:-/tmp}/mq-scale.XXXXXX")
pids=()
trap 'kill -9 "${pids[@]}" 2> /dev/null || true; wait 2> /dev/null || true; rm -rf "$dir"' EXIT
export MQ_STORE=$dir/store
bad=0

now_ms() { local t=$EPOCHREALTIME; echo $((10#${t/[.,]/} / 1000)); }
verdict() { # NAME FIGURE LIMIT
  local word=ok
  awk -v f="$2" -v l="$3" 'BEGIN {exit !(f > l)}' && { word=FAIL; bad=1; }
  printf '%-62s %10s  limit %-8s %s\n' "$1" "$2" "$3" "$word"
}
stable() {
  jq -e --argjson n "$members" '(.members | length) == $n and .group_epoch == .assignment_epoch
    and (.assignment_epoch as $e | all(.members[]; .member_epoch == $e and .target == null))' \
    "$MQ_STORE/groups/g/group.json" > /dev/null 2>&1
}
ticks() { # user and system time of all of them, in clock ticks
  local pid sum=0 stat
  for pid in "${pids[@]}"; do
    read -r -a stat < "/proc/$pid/stat"
    sum=$((sum + stat[13] + stat[14]))
  done
  echo $sum
}

# Ten topics, or one if the partitions do not divide.
topics=10
((partitions % topics == 0)) || topics=1
for ((i = 0; i < topics; i++)); do
  mq-topics create -q "t$i" -p $((partitions / topics)) -c flush.messages=never
done
started=$(now_ms)
for ((i = 0; i < members; i++)); do
  mq-consume -q -g g 't*' > /dev/null 2> "$dir/err" &
  pids+=($!)
done
while ! stable; do
  (($(now_ms) - started < 60000)) || { echo "FAIL not stable after a minute"; exit 1; }
  sleep 0.1
done
verdict "$members members and $partitions partitions: first start to Stable, ms" $(($(now_ms) - started)) 5000
sleep 2
peak=0
for pid in "${pids[@]}"; do
  kb=$(awk '/^VmHWM/ {print $2}' "/proc/$pid/status")
  ((kb > peak)) && peak=$kb
done
verdict "peak memory of the largest member, MiB" "$(awk -v kb="$peak" 'BEGIN {printf "%.1f", kb / 1024}')" 16
before=$(ticks)
sleep "$seconds"
used=$(($(ticks) - before))
verdict "all $members together, idle, of one core, %" \
  "$(awk -v t="$used" -v hz="$(getconf CLK_TCK)" -v s="$seconds" 'BEGIN {printf "%.1f", t / hz / s * 100}')" 10
exit $bad
