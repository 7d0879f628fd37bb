#!/usr/bin/env bash
# How long each command over a topic of many partitions takes. Prints a line a command: name, seconds
# (the best of three, where it can be run again), limit, ok or FAIL; then what twice as many
# partitions cost. Exit 1 if any failed.
#
#   benches/scale.sh [PARTITIONS]      default: 10000, the most that a topic may have
#
# Needs a release build (made if missing), a memory file system at /dev/shm, and 'ulimit -Hn' of
# 10,000 or more for the topic to be made and filled.
set -euo pipefail
cd "$(dirname "$0")/.."
partitions=${1:-10000}
cargo build --quiet --release --bins
bin=$(cd "${CARGO_TARGET_DIR:-target}/release" && pwd)
PATH=$bin:$PATH
dir=$(mktemp -d /dev/shm/mq-scale.XXXXXX)
trap 'rm -rf "$dir"' EXIT
bad=0
half=$((partitions / 2))

verdict() { # NAME FIGURE LIMIT
  local word=ok
  awk -v f="$2" -v l="$3" 'BEGIN {exit !(f > l)}' && { word=FAIL; bad=1; }
  printf '%-62s %10s  limit %-8s %s\n' "$1" "$2" "$3" "$word"
}

store() { # PARTITIONS: a topic with two records a partition, and a group that has read them
  export MQ_STORE=$dir/$1
  # Made in parts: each replica in the making keeps its lock, and that a descriptor.
  local made=$(($1 < 4000 ? $1 : 4000))
  mq-topics create -q big -p "$made" -c flush.messages=never
  while ((made < $1)); do
    made=$((made + 4000 < $1 ? made + 4000 : $1))
    mq-topics alter -q big --partitions "$made"
  done
  # A producer keeps its partitions open: so many at a time.
  local from
  for ((from = 0; from < $1; from += 2000)); do
    awk -v a="$from" -v b="$((from + 2000 < $1 ? from + 2000 : $1))" \
      'BEGIN { for (p = a; p < b; p++) for (i = 0; i < 2; i++) print p, i }' |
      mq-produce -q -f '%p %v\n' --keep-partition big
  done
  mq-consume -q -e -g g big > /dev/null
}

# In seconds; the status may be 1, where a command says so of what it found.
took() {
  local a=$EPOCHREALTIME b
  "$@" > "$dir/out" 2> "$dir/err" || [ $? = 1 ] || { echo "FAIL: $*" >&2; cat "$dir/err" >&2; }
  b=$EPOCHREALTIME
  awk -v a="${a/,/.}" -v b="${b/,/.}" 'BEGIN {printf "%.2f\n", b - a}'
}
best() { for _ in 1 2 3; do took "$@"; done | sort -n | head -1; }

again=(
  "mq-topics describe big"
  "mq-topics describe big --format json"
  "mq-topics list"
  "mq-topics list --sizes"
  "mq-topics offsets big"
  "mq-topics offsets big --at @-10m"
  "mq-topics dump big"
  "mq-consume -q -e big"
  "mq-consume -q -e --tail 3 big"
  "mq-groups describe g"
  "mq-groups check g --warn 10 --critical 100"
  "mq-groups peek g"
  "mq-groups reset g --to start --yes --topic big"
  "mq-groups list"
  "mq-broker status"
  "mq-broker list"
  "mq-broker health"
)
slow=("mq-topics verify big")
once=("mq-consume -q -e -g h big" "mq-groups delete-offsets g --topic big --yes")
slow_once=("mq-topics alter big -c flush.messages=1" "mq-topics delete big --yes")

declare -A figures
for of in "$half" "$partitions"; do
  store "$of"
  for c in "${again[@]}" "${slow[@]}"; do figures[$of $c]=$(best $c); done
  for c in "${once[@]}" "${slow_once[@]}"; do figures[$of $c]=$(took $c); done
done
for c in "${again[@]}" "${once[@]}"; do verdict "$c, $partitions partitions, s" "${figures[$partitions $c]}" 1.5; done
for c in "${slow[@]}" "${slow_once[@]}"; do verdict "$c, $partitions partitions, s" "${figures[$partitions $c]}" 5; done
for c in "${again[@]}" "${once[@]}" "${slow[@]}" "${slow_once[@]}"; do
  # Below that, what a process takes at all counts more than the partitions.
  ratio=$(awk -v a="${figures[$partitions $c]}" -v b="${figures[$half $c]}" 'BEGIN {print (a < 0.2) ? "1.00" : sprintf("%.2f", a / b)}')
  verdict "$c, $partitions / $half partitions" "$ratio" 2.2
done
exit $bad
