//! A slow disk is not a stopped process.

use crate::cli::Shell;
use crate::common::switches::is_long;
use crate::mounts::Mounts;
use crate::scripts::{TWO_BROKERS, bash, bash_ok, can, page, side_by_side};

#[test]
fn syncs_of_seconds_by_several_producers_are_waited_for() {
    if !can("slow syncs", &["strace"], false) {
        return;
    }
    // Each sync takes 2.5 s and 7 s are waited for one's turn: no holder stands still.
    let rounds = if is_long() { 3 } else { 2 };
    let cases = [
        ("A B C D", rounds, "fdatasync,fsync", 2_500_000),
        // One sync takes longer than a holder of `sync.lock` may stand still.
        ("A B", 1, "fdatasync", 6_000_000),
    ];
    side_by_side(&cases, |(producers, rounds, syncs, delay_us)| {
        let shell = Shell::new();
        let out = bash_ok(
            &shell,
            &format!(
                r#"
mq-topics create -q s
for p in {producers}; do
  (for i in $(seq {rounds}); do echo $p$i; sleep 1; done) |
    strace -f -qq -o trace.$p -e trace={syncs} -e inject={syncs}:delay_exit={delay_us} \
      mq-produce -o '%v\n' s > acks.$p & pids="$pids $!"
done
for pid in $pids; do wait $pid || exit 1; done
cat acks.* | sort | tr -d '\n'; mq-consume -e s | sort | tr -d '\n'
"#
            ),
        );
        let wanted: String = producers
            .split(' ')
            .flat_map(|p| (1..=*rounds).map(move |n| format!("{p}{n}")))
            .collect();
        assert_eq!(out, format!("{wanted}{wanted}"));
        let replica = shell.logs().join("s-0");
        assert_eq!(page(&replica).generation, 1, "nothing was copied");
    });
}

#[test]
fn a_disk_that_is_slow_below_the_file_system_is_waited_for() {
    if !can("slow disk", &["mkfs.ext4", "losetup"], true) {
        return;
    }
    // 1,500 bytes a second: a sync takes 4 s and more, the journal's writes included.
    let shell = Shell::new();
    let done = bash(
        &shell,
        r#"
limit=/sys/fs/cgroup/blkio/blkio.throttle.write_bps_device
[ -w $limit ] || exit 42
truncate -s 32M disk.img && mkfs.ext4 -q disk.img && mkdir -p mnt
mount -o loop disk.img mnt 2> /dev/null || exit 42
device=$(losetup -j disk.img | cut -d : -f 1)
number=$(printf '%d:%d' 0x$(stat -c %t $device) 0x$(stat -c %T $device))
trap 'echo "$number 0" > $limit; umount -l mnt' EXIT
export MQ_STORE=$PWD/mnt/store
mq-topics create -q s && sync -f mnt
echo "$number 1500" > $limit || exit 42
for p in A B C; do
  (echo ${p}1; sleep 0.5; echo ${p}2) | mq-produce -o '%v\n' s > acks.$p & pids="$pids $!"
done
for pid in $pids; do wait $pid || exit 1; done
echo "$number 0" > $limit
cat acks.* | sort | tr '\n' ' '; mq-consume -e s | sort | tr '\n' ' '
od -A n -t u8 -j 64 -N 8 mnt/store/brokers/0/logs/s-0/partition.state
"#,
    );
    if done.status == 42 {
        println!("slow disk: skipped: no disk can be slowed down here");
        return;
    }
    let out = done.text();
    let words: Vec<_> = out.split_whitespace().collect();
    let wanted = ["A1", "A2", "B1", "B2", "C1", "C2"];
    assert_eq!(
        words,
        [&wanted[..], &wanted, &["1"]].concat(),
        "{}",
        done.err
    );
}

#[test]
fn a_process_that_dies_while_it_copies_costs_a_healthy_producer_nothing() {
    if !can("dead copier", &["strace"], false) {
        return;
    }
    let shell = Shell::new();
    let out = bash_ok(
        &shell,
        r#"
mq-topics create -q s; dir=$MQ_STORE/brokers/0/logs/s-0
(echo A1; sleep 3) | strace -f -qq -o trace -e trace=fdatasync -e inject=fdatasync:delay_enter=2500000:when=1 \
  mq-produce -o 'acked %o\n' s & healthy=$!
until [ "$(od -A n -t d8 -j 168 -N 8 $dir/partition.state)" -gt 0 ] || [ "$(od -A n -t d8 -j 4264 -N 8 $dir/partition.state)" -gt 0 ]; do sleep 0.02; done
sleep 0.2
echo K | strace -f -qq -o trace2 -P $dir/partition.state -e trace=pwrite64 -e inject=pwrite64:error=EIO:signal=KILL:when=1 mq-produce s 2> /dev/null
echo B | strace -f -qq -o trace3 -e trace=renameat,renameat2 -e inject=renameat,renameat2:signal=KILL:when=1 mq-produce s 2> /dev/null
wait $healthy || exit 1
mq-consume -e -f '%o %v\n' s
"#,
    );
    assert!(out.starts_with("acked 0\n0 A1\n1 K\n"), "{out}");
    assert_eq!(page(&shell.logs().join("s-0")).intent, 0);
}

#[test]
fn a_sync_lock_that_is_removed_takes_no_note_with_it() {
    if !can("sync.lock", &["strace"], false) {
        return;
    }
    // The second sync fails, and its process dies before it can say so.
    side_by_side(&["", "rm $dir/sync.lock"], |remove| {
        let shell = Shell::new();
        bash_ok(
            &shell,
            &format!(
                r"
mq-topics create -q s; dir=$MQ_STORE/brokers/0/logs/s-0
(echo a1; sleep 0.8; echo a2; sleep 1) | strace -f -qq -o trace -e trace=fdatasync \
  -e inject=fdatasync:error=EIO:signal=KILL:when=2 mq-produce -o '%o\n' s > acks 2> /dev/null & pid=$!
until [ -s acks ]; do sleep 0.02; done
{remove}
wait $pid; [ $? = 137 ] || exit 9
echo c | mq-produce -o '%v\n' s
"
            ),
        );
        let now = page(&shell.logs().join("s-0"));
        assert!(
            now.generation > 1,
            "{remove}: what the failed sync covered was not copied"
        );
        assert_eq!((now.end, now.durable), (3, 3), "{remove}");
    });
}

#[test]
fn a_sync_lock_that_is_replaced_has_one_holder_that_counts() {
    if !can("sync.lock", &["strace"], false) {
        return;
    }
    // While a sync is under way the lock is removed. Who makes it again copies, and the first one
    // learns that by the generation, and is acknowledged.
    let shell = Shell::new();
    let out = bash_ok(
        &shell,
        r"
echo a | mq-produce -q s; dir=$MQ_STORE/brokers/0/logs/s-0
(echo A1; sleep 2.5) | strace -f -qq -o trace -e trace=fdatasync -e inject=fdatasync:delay_enter=2000000:when=1 \
  mq-produce -o 'A %o\n' s > acks & pid=$!
sleep 0.8; rm $dir/sync.lock
echo B1 | mq-produce -o 'B %o\n' s
wait $pid || exit 1
cat acks; mq-consume -e s | tr '\n' ' '
",
    );
    assert_eq!(out, "B 2\nA 1\na A1 B1 ");
    assert!(page(&shell.logs().join("s-0")).generation > 1);
}

#[test]
fn slow_syncs_of_offsets_are_waited_for() {
    if !can("slow offsets", &["strace"], false) {
        return;
    }
    // Three commits, each with a sync of 3 s: no holder stands still, so `offsets.log` stays as it is.
    let shell = Shell::new();
    let out = bash_ok(
        &shell,
        r#"
mq-topics create -q s -p 3; seq 100 | mq-produce s; mq-groups commit -q g s:0=1
log=$MQ_STORE/groups/g/offsets.log; before=$(stat -c %i $log)
for i in 1 2 3; do
  strace -f -qq -o trace.$i -e trace=fdatasync -e inject=fdatasync:delay_exit=3000000 mq-groups commit -q g s:$((i-1))=5 & pids="$pids $!"
done
for pid in $pids; do wait $pid || exit 1; done
[ $before = $(stat -c %i $log) ] && echo same
mq-groups describe g --format tsv | cut -f 4
"#,
    );
    assert_eq!(out, "same\n5\n5\n5\n");
}

#[test]
fn an_append_whose_write_takes_long_is_not_fenced() {
    if !can("slow append", &["strace"], false) {
        return;
    }
    // The disk keeps a write waiting for 5 s, with the append lock held; others wait, and report it.
    let shell = Shell::new();
    let out = bash_ok(
        &shell,
        &format!(
            r#"{TWO_BROKERS}
mq-topics create -q t --assign 1:2; echo first | mq-produce t
mq-broker health --wait --timeout 10s -q
(echo s1; sleep 0.7; echo s2) | strace -f -qq -o trace -P $MQ_STORE/brokers/1/logs/t-0/00000000000000000000.log -e trace=pwrite64 \
  -e inject=pwrite64:delay_enter=5000000:when=2 mq-produce --acks 1 t & slow=$!
sleep 1.5
echo other | mq-produce t || exit 1
wait $slow || exit 2
grep -c pwrite64 trace
mq-topics describe t --format json | tr -d ' \n' | grep -o '"leader_epoch":[0-9]*'
mq-consume -e t
"#
        ),
    );
    assert_eq!(out, "2\n\"leader_epoch\":0\nfirst\ns1\ns2\nother\n");
}

#[test]
fn a_recovery_that_died_in_its_sync_is_not_believed() {
    if !can("recovery's sync", &["strace"], false) {
        return;
    }
    // The page is lost. The process that recovers the log meets an error in its sync, and dies before
    // it can say so. The kernel tells the next one nothing: it has to copy.
    let shell = Shell::new();
    let out = bash_ok(
        &shell,
        r"
mq-topics create -q s -c flush.messages=never; dir=$MQ_STORE/brokers/0/logs/s-0
printf 'a\nb\nc\n' | mq-produce s
exec 8< $dir/00000000000000000000.log
dd if=/dev/zero of=$dir/partition.state bs=8192 count=1 conv=notrunc 2> /dev/null
echo d | strace -f -qq -o trace -P $dir/00000000000000000000.log -e trace=fdatasync -e inject=fdatasync:error=EIO:signal=KILL:when=1 mq-produce s 2> /dev/null
[ $? = 137 ] || exit 9
echo e | mq-produce s || exit 1
[ $(stat -Lc %i /proc/self/fd/8) = $(stat -c %i $dir/00000000000000000000.log) ] && echo 'not copied'
mq-consume -e s | tr '\n' ' '
",
    );
    assert_eq!(out, "a b c e ");
}

#[test]
fn a_note_that_comes_late_is_seen_by_either_side() {
    if !can("late note", &["strace"], false) {
        return;
    }
    // A commit has read its page, and its note is on the way, while a recovery begins a generation.
    let shell = Shell::new();
    bash_ok(
        &shell,
        r#"
mq-topics create -q s -c flush.messages=never -c flush.ms=500; dir=$MQ_STORE/brokers/0/logs/s-0
log=$dir/00000000000000000000.log
echo a0 | mq-produce s
echo A1 | strace -f -qq -o trace -P $dir/sync.lock -P $log -e trace=pwrite64,fdatasync -e inject=pwrite64:delay_enter=1500000:when=1 \
  -e inject=fdatasync:error=EIO:signal=KILL:when=1 mq-produce s 2> /dev/null & late=$!
until [ $(stat -c %s $log) -gt 100 ]; do sleep 0.02; done; sleep 0.4
echo K | strace -f -qq -o trace2 -P $dir/partition.state -e trace=pwrite64 -e inject=pwrite64:error=EIO:signal=KILL:when=1 mq-produce s 2> /dev/null
[ $? = 137 ] || exit 9
echo B | mq-produce s || exit 1
wait $late; died=$?
[ "$(mq-consume -e s | sort | tr '\n' ' ')" = 'A1 B K a0 ' ] || exit 2
# It saw the new generation and made no sync of the old one; or its note was seen, and copied.
grep -q fdatasync trace && [ $died = 137 ] && [ $(ls $dir | grep -c '[.]log$') = 1 ] && exit 3
exit 0
"#,
    );
}

#[test]
fn a_commit_that_is_published_is_no_failure_though_its_note_stays() {
    if !can("note", &["strace"], false) {
        return;
    }
    let shell = Shell::new();
    let out = bash_ok(
        &shell,
        r"
echo a | mq-produce -q s; dir=$MQ_STORE/brokers/0/logs/s-0
echo b | strace -f -qq -o trace -P $dir/sync.lock -e trace=pwrite64 -e inject=pwrite64:error=EIO:when=2 mq-produce -o '%o\n' s
grep -c INJECTED trace
",
    );
    assert_eq!(out, "1\n1\n");
}

#[test]
fn a_reader_waits_for_a_slow_copy_and_says_nothing_wrong() {
    if !can("slow copy", &["strace"], false) {
        return;
    }
    // A producer dies in its sync. The next one copies, and each sync takes 1.5 s; then it is dead, too.
    side_by_side(&["", ":signal=KILL:when=2"], |end| {
        let shell = Shell::new();
        let out = bash_ok(
            &shell,
            &format!(
                r"
mq-topics create -q s -c flush.messages=never -c flush.ms=1000; dir=$MQ_STORE/brokers/0/logs/s-0
seq 3 | mq-produce s
for i in 1 2 3 4; do printf 'b%d-%01100d\n' $i 0; done | strace -f -qq -o trace -e trace=fdatasync -e inject=fdatasync:error=EIO:signal=KILL:when=1 mq-produce --batch-size 1KiB s 2> /dev/null
echo c1 | strace -f -qq -o trace2 -e trace=fdatasync,fsync -e inject=fdatasync,fsync:delay_exit=1500000{end} mq-produce s 2> /dev/null & copier=$!
until [ $(stat -c %s $dir/00000000000000000000.log) -lt 100 ]; do sleep 0.02; done
mq-consume -e -o 4 -f '%o\n' s 2> err | awk 'END {{print NR; print NR ? $1 : 3}}'
mq-consume -e -o @2026-01-01 -f '%o\n' s 2>> err | awk 'END {{print NR; print $1}}'
grep 'older than the log' err
wait $copier; exit 0
"
            ),
        );
        let numbers: Vec<u32> = out.lines().map(|n| n.parse().expect("a number")).collect();
        let [some, last_of_some, all, last] = numbers[..] else {
            panic!("{end}: {out}");
        };
        assert_eq!((some + 3, all), (last_of_some, last + 1), "{end}: {out}");
        // The record of the producer that copies may come between the two.
        assert!(
            (last_of_some..=last_of_some + 1).contains(&last),
            "{end}: {out}"
        );
    });
}

#[test]
fn a_recovery_that_fails_on_a_full_disk_takes_nothing_of_it() {
    if !can("recovery on a full disk", &["strace"], true) {
        return;
    }
    let shell = Shell::new();
    let disk = shell.dir().join("disk");
    let Some(_mounts) = Mounts::new(std::iter::once(disk.as_path()), 8) else {
        println!("recovery on a full disk: skipped: nothing can be mounted here");
        return;
    };
    let out = bash_ok(
        &shell,
        r#"
export MQ_STORE=$PWD/disk/store; dir=$MQ_STORE/brokers/0/logs/t-0
mq-topics create -q t; printf 'a\nb\n' | mq-produce -q t
echo c | strace -f -qq -o trace -e trace=fdatasync -e inject=fdatasync:error=EIO:signal=KILL:when=1 mq-produce t 2> /dev/null
head -c 2000000 /dev/zero | tr '\0' x >> $dir/00000000000000000000.log
dd if=/dev/zero of=disk/fill bs=4096 2> /dev/null; truncate -s -1M disk/fill
for i in 1 2; do
  mq-consume -e t > shown 2> reported; grep -q 'No space' reported || echo "try $i: $(cat reported)"
  ls $dir | grep -e cut -e rescue
done
rm disk/fill
# What a killed process left.
head -c 500000 /dev/zero > $dir/00000000000000000003.cut.tmp
cp $dir/00000000000000000003.cut.tmp $dir/00000000000000000007.cut.tmp
mq-consume -e t 2> reported; ls $dir | grep -e cut -e rescue
stat -c %s $dir/00000000000000000003.cut
"#,
    );
    assert_eq!(out, "a\nb\nc\n00000000000000000003.cut\n2000000\n");
}

#[test]
fn a_reader_waits_for_no_sync_of_a_healthy_producer() {
    if !can("slow sync", &["strace"], false) {
        return;
    }
    let shell = Shell::new();
    let out = bash_ok(
        &shell,
        r"
seq 3 | mq-produce -q s; mq-groups commit -q g s:0=1
echo A | strace -f -qq -o trace -e trace=fdatasync -e inject=fdatasync:delay_exit=4000000 mq-produce -o '%o\n' s > acks & slow=$!
for i in $(seq 100); do [ -s trace ] && break; sleep 0.05; done
mq-consume -e s | tr '\n' ' '; mq-groups describe g --format tsv | cut -f 7
cat acks
wait $slow && mq-consume -e s | wc -l
",
    );
    assert_eq!(out, "1 2 3 2\n4\n", "shown before it is acknowledged");
}

#[test]
fn a_change_of_many_partitions_is_made_though_the_pages_of_a_disk_take_seconds() {
    if !can("slow pages", &["strace"], false) {
        return;
    }
    // Of 12 pages each takes 0.9 s, in one hold of the store's lock: no epoch begins without them.
    let shell = Shell::new();
    let out = bash_ok(
        &shell,
        &format!(
            r#"{TWO_BROKERS}
mq-topics create -q t --assign $(yes 1:2 | head -n 12 | paste -sd ,)
seq 120 | mq-produce --acks all t
mq-broker health --wait --timeout 20s > /dev/null || exit 5
kill -9 $(cat pid1 pid2)
pages=; for p in $(seq 0 11); do pages="$pages -P $MQ_STORE/brokers/2/logs/t-$p/partition.state"; done
strace -f -qq -o trace $pages -e trace=pread64 -e inject=pread64:delay_enter=900ms   mq-topics alter t -c flush.messages=7 || exit 6
mq-topics describe t --format json | jq -r '.configs."flush.messages".value'
"#
        ),
    );
    assert_eq!(out, "7\n");
}
