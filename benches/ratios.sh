#!/usr/bin/env bash
# How fast mq is, as ratios against known commands, measured in turns (A B A B ...), so that
# drift in the machine's speed does not matter. Prints a line a figure: name, figure, limit, ok or
# FAIL. Exit 1 if any failed.
#
#   benches/ratios.sh [MEGABYTES [ROUNDS]]      defaults: 500 MB of 70-byte lines, 7 rounds
#
# Needs a release build (made if missing) and about four times MEGABYTES in $TMPDIR.
set -euo pipefail
cd "$(dirname "$0")/.."
mb=${1:-500} rounds=${2:-7}
cargo build --quiet --release --bins
bin=$(cd "${CARGO_TARGET_DIR:-target}/release" && pwd)
PATH=$bin:$PATH
dir=$(mktemp -d "${TMPDIR:-/tmp}/mq-ratios.XXXXXX")
trap 'rm -rf "$dir"' EXIT
export MQ_STORE=$dir/store
bad=0

# In us. No subshell in between: a fork of bash may take a millisecond.
took() { local a=$EPOCHREALTIME b; "$@"; b=$EPOCHREALTIME; echo $((10#${b/[.,]/} - 10#${a/[.,]/})); }
median() { sort -n | awk '{v[NR]=$1} END {print (NR % 2) ? v[(NR+1)/2] : (v[NR/2]+v[NR/2+1])/2}'; }
verdict() { # NAME FIGURE LIMIT
  local word=ok
  awk -v f="$2" -v l="$3" 'BEGIN {exit !(f > l)}' && { word=FAIL; bad=1; }
  printf '%-62s %10s  limit %-8s %s\n' "$1" "$2" "$3" "$word"
}
pair() { # NAME LIMIT A B: the median of A/B, in turns
  local i a b
  "$3"; "$4"
  for ((i = 0; i < rounds; i++)); do
    a=$(took "$3"); b=$(took "$4")
    awk -v a="$a" -v b="$b" 'BEGIN {printf "%.3f\n", a / b}'
  done | median | { read -r ratio; verdict "$1" "$ratio" "$2"; exit $bad; } || bad=1
}

lines=$dir/lines
awk -v n=$((mb * 1000000 / 70)) 'BEGIN {
  srand(1); for (i = 0; i < n; i++) {
    printf "%09d %08x%08x INFO request served in %05d us from %010d end\n", i, rand()*4294967295, rand()*4294967295, rand()*99999, rand()*1e9 } }' |
  awk '{ print substr($0 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", 1, 69) }' > "$lines"

produce1() { rm -rf "$MQ_STORE"; mq-produce -q t < "$lines"; }
produce8() { rm -rf "$MQ_STORE"; mq-produce -q --create-partitions 8 t < "$lines"; }
cat_sync() { rm -f "$dir/copy"; cat "$lines" > "$dir/copy" && sync "$dir/copy"; }
cat_only() { rm -f "$dir/copy"; cat "$lines" > "$dir/copy"; }
consume() { rm -f "$dir/out"; mq-consume -e t > "$dir/out"; }

pair "durable produce / cat FILE > COPY && sync COPY" 1.5 produce1 cat_sync
pair "produce to 8 partitions / to 1" 1.3 produce8 produce1
produce1
pair "consume to a file / cat FILE > COPY" 1.5 consume cat_only
cmp -s "$dir/out" "$lines" || { echo "FAIL what was consumed is not what was produced"; bad=1; }

peak() { # NAME LIMIT_MB COMMAND...
  local name=$1 limit=$2; shift 2
  if ! [ -x /usr/bin/time ]; then echo "skipped: $name (no /usr/bin/time)"; return; fi
  /usr/bin/time -o "$dir/peak" -f %M "$@" > /dev/null
  verdict "$name" "$(awk '{printf "%.1f", $1 / 1024}' "$dir/peak")" "$limit"
}
peak "peak memory of consume, MiB" 32 mq-consume -e t
rm -rf "$MQ_STORE"
peak "peak memory of produce to 100 partitions, MiB" 32 mq-produce -q --create-partitions 100 t < "$lines"
peak "peak memory of consume from 100 partitions, MiB" 32 mq-consume -e t
head -c 300000000 /dev/zero | tr '\0' 'x' | fold -w 1000000 > "$dir/large"
rm -rf "$MQ_STORE"
peak "peak memory of produce, records of 1 MB, 100 partitions, MiB" 32 mq-produce -q --create-partitions 100 t < "$dir/large"
peak "peak memory of consume, records of 1 MB, MiB" 32 mq-consume -e t
rm -f "$dir/large" "$dir/copy" "$dir/out"
rm -rf "$MQ_STORE"
seq $((mb * 80000)) | mq-produce -q t
peak "peak memory of a group's member, $((mb * 80 / 1000)) M small records, MiB" 32 mq-consume -g g -e --commit-interval 200ms t
gap=$(awk '$3 == "commit" { if (last && $2 - last > most) most = $2 - last; last = $2 } END { print most + 0 }' "$MQ_STORE/groups/g/offsets.log")
verdict "its longest time between two commits, at 200 ms, ms" "$gap" 400

rm -rf "$MQ_STORE"
each() { local i; for ((i = 0; i < 100; i++)); do took "$@"; done | median; }
echo_one() { echo x | mq-produce -q t; }
write_synced() { echo x | dd of="$dir/one" oflag=append conv=notrunc,fdatasync status=none; }
write_only() { echo x | dd of="$dir/one" oflag=append conv=notrunc status=none; }
nothing() { /bin/true; }
consume_one() { mq-consume -e -c 1 t > /dev/null; }
echo_one
one=$(each echo_one) synced=$(each write_synced) plain=$(each write_only)
# The next three figures include the cost of starting a process.
printf '%-62s %10s\n' "a process that does nothing (/bin/true), ms" "$(each nothing | awk '{printf "%.2f", $1 / 1000}')"
verdict "echo x | mq-produce t, less one fdatasync, ms" \
  "$(awk -v a="$one" -v b="$synced" -v c="$plain" 'BEGIN {d = b - c; if (d < 0) d = 0; printf "%.2f", (a - d) / 1000}')" 3
verdict "mq-consume -e -c 1, ms" "$(each consume_one | awk '{printf "%.2f", $1 / 1000}')" 3
mq-topics create -q many -c segment.bytes=1024
seq -f '%.0f xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx' 11000 | mq-produce -q many
segments=$(ls "$MQ_STORE"/brokers/0/logs/many-0/*.log | wc -l)
consume_many() { mq-consume -e -c 1 many > /dev/null; }
verdict "mq-consume -e -c 1 at $segments segments, ms" "$(each consume_many | awk '{printf "%.2f", $1 / 1000}')" 3

rm -rf "$MQ_STORE"
mq-topics create -q $(seq -f 'topic-%.0f' 1000) -p 5
list() { mq-topics list > /dev/null; }
verdict "mq-topics list, 5000 partitions in 1000 topics, ms" "$(each list | awk '{printf "%.1f", $1 / 1000}')" 50

rm -rf "$MQ_STORE"
mq-topics create -q fast -c flush.messages=never
cargo bench --quiet --bench latency -- "$MQ_STORE" fast | while read -r name figure limit; do
  verdict "append to a follower's stdout, $name, us" "$figure" "$limit"
  [ $bad = 0 ]
done || bad=1

mq-consume -q fast > /dev/null &
follower=$!
sleep 1
switches() { awk '/^voluntary_ctxt_switches/ {n += $2} END {print n}' /proc/$follower/task/*/status; }
before=$(switches); sleep 10; after=$(switches)
kill $follower; wait $follower 2> /dev/null || true
verdict "wake-ups of an idle follower, per second" "$(awk -v a="$after" -v b="$before" 'BEGIN {printf "%.1f", (a - b) / 10}')" 2
exit $bad
