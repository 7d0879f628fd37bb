#!/usr/bin/env bash
# How long each command over a topic of many partitions takes. Prints a line a command: name, seconds
# (the best of three, where it can be run again), limit, ok or FAIL; then what twice as many
# partitions cost: of a topic of half as many, and of two topics. Exit 1 if any failed.
#
#   benches/scale.sh [PARTITIONS]      default: 10000, the most that a topic may have
#
# Needs a release build (made if missing) and a memory file system at /dev/shm.
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

fill() { # TOPIC PARTITIONS: two records a partition
  mq-topics create -q "$1" -p "$2" -c flush.messages=never
  # A producer keeps its partitions open: so many at a time.
  local from
  for ((from = 0; from < $2; from += 2000)); do
    awk -v a="$from" -v b="$((from + 2000 < $2 ? from + 2000 : $2))" \
      'BEGIN { for (p = a; p < b; p++) for (i = 0; i < 2; i++) print p, i }' |
      mq-produce -q -f '%p %v\n' --keep-partition "$1"
  done
}

store() { # PARTITIONS: in one topic or two, and a group that has read them
  export MQ_STORE=$dir/$1
  topics=(big)
  (($1 > partitions)) && topics=(big big2)
  local topic
  for topic in "${topics[@]}"; do fill "$topic" $(($1 / ${#topics[@]})); done
  mq-consume -q -e -g g "${topics[@]}" > /dev/null
}

# A command over TOPICS; --TOPICS stands for an option of each.
over() {
  local words line=${1//--TOPICS/${topics[*]/#/--topic }}
  read -ra words <<< "${line//TOPICS/${topics[*]}}"
  "${words[@]}"
}

# In seconds; the status may be 1, where a command says so of what it found.
took() {
  local a=$EPOCHREALTIME b
  over "$1" > "$dir/out" 2> "$dir/err" || [ $? = 1 ] || { echo "FAIL: $1" >&2; cat "$dir/err" >&2; }
  b=$EPOCHREALTIME
  awk -v a="${a/,/.}" -v b="${b/,/.}" 'BEGIN {printf "%.2f\n", b - a}'
}
best() { for _ in 1 2 3; do took "$1"; done | sort -n | head -1; }

again=(
  "mq-topics describe TOPICS"
  "mq-topics describe TOPICS --format json"
  "mq-topics list"
  "mq-topics list --sizes"
  "mq-topics offsets TOPICS"
  "mq-topics offsets TOPICS --at @-10m"
  "mq-topics dump TOPICS"
  "mq-consume -q -e TOPICS"
  "mq-consume -q -e --tail 3 TOPICS"
  "mq-groups describe g"
  "mq-groups check g --warn 10 --critical 100"
  "mq-groups peek g"
  "mq-groups reset g --to start --yes --TOPICS"
  "mq-groups list"
  "mq-broker status"
  "mq-broker list"
  "mq-broker health"
)
slow=("mq-topics verify TOPICS")
once=("mq-consume -q -e -g h TOPICS" "mq-groups delete-offsets g --yes --TOPICS")
slow_once=("mq-topics alter TOPICS -c flush.messages=1" "mq-topics delete TOPICS --yes")

double=$((partitions * 2))
declare -A figures
for of in "$half" "$partitions" "$double"; do
  store "$of"
  for c in "${again[@]}" "${slow[@]}"; do figures[$of $c]=$(best "$c"); done
  for c in "${once[@]}" "${slow_once[@]}"; do figures[$of $c]=$(took "$c"); done
done
for c in "${again[@]}" "${once[@]}"; do verdict "$c, $partitions partitions, s" "${figures[$partitions $c]}" 1.5; done
for c in "${slow[@]}" "${slow_once[@]}"; do verdict "$c, $partitions partitions, s" "${figures[$partitions $c]}" 5; done
for c in "${again[@]}" "${once[@]}" "${slow[@]}" "${slow_once[@]}"; do
  for of in "$partitions" "$double"; do
    less=$((of / 2))
    # Below that, what a process takes at all counts more than the partitions.
    ratio=$(awk -v a="${figures[$of $c]}" -v b="${figures[$less $c]}" 'BEGIN {print (a < 0.2) ? "1.00" : sprintf("%.2f", a / b)}')
    verdict "$c, $of / $less partitions" "$ratio" 2.2
  done
done
exit $bad
