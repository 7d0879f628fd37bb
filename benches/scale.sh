#!/usr/bin/env bash
# How long each command over a topic of many partitions takes. Prints a line a command: name, seconds
# (the best of the rounds), limit, ok or FAIL; then what twice as many partitions cost: of a topic of
# half as many, and of two topics (the median of the rounds; in each, a command runs over one size
# right after the other, so that drift in the machine's speed does not matter). Exit 1 if any failed.
#
#   benches/scale.sh [PARTITIONS [ROUNDS]]      default: 10000, the most that a topic may have; 3
#
# Needs a release build (made if missing) and a memory file system at /dev/shm.
set -euo pipefail
cd "$(dirname "$0")/.."
partitions=${1:-10000} rounds=${2:-3}
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
  # A producer keeps its partitions open: this many at a time.
  local from
  for ((from = 0; from < $2; from += 2000)); do
    awk -v a="$from" -v b="$((from + 2000 < $2 ? from + 2000 : $2))" \
      'BEGIN { for (p = a; p < b; p++) for (i = 0; i < 2; i++) print p, i }' |
      mq-produce -q -f '%p %v\n' --keep-partition "$1"
  done
}

at() { # PARTITIONS: from here on in the store of so many, in one topic or two
  export MQ_STORE=$dir/$1
  topics=(big)
  (($1 > partitions)) && topics=(big big2)
  true
}

make_topics() { # PARTITIONS
  local topic
  for topic in "${topics[@]}"; do fill "$topic" $(($1 / ${#topics[@]})); done
}

# A command over TOPICS; --TOPICS stands for an option of each, ROUND for a number.
over() {
  local words line=${1//--TOPICS/${topics[*]/#/--topic }}
  line=${line//ROUND/$round}
  read -ra words <<< "${line//TOPICS/${topics[*]}}"
  "${words[@]}"
}

# In seconds; the status may be 1, which some commands return for what they found.
took() {
  local a=$EPOCHREALTIME b
  over "$1" > "$dir/out" 2> "$dir/err" || [ $? = 1 ] || { echo "FAIL: $1" >&2; cat "$dir/err" >&2; }
  b=$EPOCHREALTIME
  awk -v a="${a/,/.}" -v b="${b/,/.}" 'BEGIN {printf "%.3f\n", b - a}'
}
best() { tr ' ' '\n' | sort -n | head -1; }
median() { sort -n | awk '{v[NR]=$1} END {print (NR % 2) ? v[(NR+1)/2] : (v[NR/2]+v[NR/2+1])/2}'; }

quick=(
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
  "mq-consume -q -e -g round-ROUND TOPICS"
  "mq-groups delete-offsets round-ROUND --yes --TOPICS"
)
slow=(
  "mq-topics verify TOPICS"
  "mq-topics alter TOPICS -c flush.messages=ROUND"
  "mq-topics delete TOPICS --yes"
)

double=$((partitions * 2))
sizes=("$half" "$partitions" "$double")
for of in "${sizes[@]}"; do
  at "$of"
  make_topics "$of"
  mq-consume -q -e -g g "${topics[@]}" > /dev/null
done
declare -A figures
for ((round = 1; round <= rounds; round++)); do
  for c in "${quick[@]}" "${slow[@]}"; do
    for of in "${sizes[@]}"; do
      at "$of"
      figures[$of $c]+=" $(took "$c")"
    done
  done
  # All of them are deleted now.
  if ((round < rounds)); then
    for of in "${sizes[@]}"; do
      at "$of"
      make_topics "$of"
      mq-groups reset -q g --to end --yes "${topics[@]/#/--topic=}" > /dev/null
    done
  fi
done
in_time() { # COMMAND LIMIT
  local figure
  figure=$(best <<< "${figures[$partitions $1]# }")
  verdict "$1, $partitions partitions, s" "$(awk -v a="$figure" 'BEGIN {printf "%.2f", a}')" "$2"
}
for c in "${quick[@]}"; do in_time "$c" 1.5; done
for c in "${slow[@]}"; do in_time "$c" 5; done
for c in "${quick[@]}" "${slow[@]}"; do
  for of in "$partitions" "$double"; do
    less=$((of / 2))
    # Below 0.2 s, the start of a process costs more than the partitions.
    ratio=$(paste <(tr ' ' '\n' <<< "${figures[$of $c]# }") <(tr ' ' '\n' <<< "${figures[$less $c]# }") |
      awk '{print ($1 < 0.2) ? 1 : $1 / $2}' | median | awk '{printf "%.2f", $1}')
    verdict "$c, $of / $less partitions" "$ratio" 2.2
  done
done
exit $bad
