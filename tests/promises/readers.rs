//! Readers beside killed rolls, lost mounts, new epochs and damage.

use std::fs;
use std::os::unix::fs::FileExt;

use crate::cli::Shell;
use crate::scripts::{TWO_BROKERS, bash, bash_ok, can, page};

#[test]
fn a_killed_roll_is_no_part_of_what_is_read() {
    if !can("killed roll", &["strace"], false) {
        return;
    }
    // A producer dies between the file of its new segment and the first byte in it. A smaller record
    // goes into the old segment after all, and the next roll begins elsewhere.
    let shell = Shell::new();
    let out = bash_ok(
        &shell,
        r"
mq-topics create -q r -c segment.bytes=2048 -c flush.messages=never
big() { head -c $1 /dev/zero | tr '\0' $2; }
for k in 1 2 3 4; do big 1500 w | mq-produce r; done
mkfifo fifo; mq-produce -o '%o\n' r < fifo > acks & producer=$!
exec 9> fifo
echo b1 >&9; until [ -s acks ]; do sleep 0.02; done
big 900 y | strace -f -qq -o trace -e trace=pwrite64 -P $MQ_STORE/brokers/0/logs/r-0/00000000000000000005.log \
  -e inject=pwrite64:error=EIO:signal=KILL:when=1 mq-produce r 2> /dev/null
[ $? = 137 ] || exit 9
ls $MQ_STORE/brokers/0/logs/r-0 | grep -q 00000000000000000005.log || exit 8
mq-consume r 9>&- > read 2> err & consumer=$!
until grep -q b1 read; do sleep 0.02; done
for i in 2 3 4 5 6; do (big 150 b; echo) >&9; sleep 0.1; done
exec 9>&-; wait $producer || exit 7
for i in $(seq 50); do [ $(wc -l < read) = 10 ] && break; sleep 0.1; done
kill -0 $consumer && kill $consumer; wait $consumer
cat err >&2; wc -l < read
mq-consume -e r | wc -l
",
    );
    assert_eq!(out, "10\n10\n");
}

#[test]
fn a_reader_of_a_follower_goes_on_into_a_new_epoch() {
    let shell = Shell::new();
    let script = format!(
        r"{TWO_BROKERS}
mq-topics create -q f --assign 1:2
seq -f '%0200g' 60000 | mq-produce --batch-size 64KiB f
mkfifo fifo
mq-consume --replica 2 f > fifo 2> err & consumer=$!
exec 8< fifo
# It takes a little: the reader blocks with most of the backlog before it.
head -c 200000 <&8 > read; sleep 0.3
mq-topics alter -q f -c flush.messages=never; sleep 1
head -c 6000000 <&8 >> read; sleep 0.3
echo last | mq-produce f
cat <&8 >> read & copier=$!
for i in $(seq 100); do grep -qx last read && break; kill -0 $consumer || break; sleep 0.1; done
kill $consumer; wait $consumer; echo $?; cat err >&2
tail -n 1 read
"
    );
    assert_eq!(bash_ok(&shell, &script), "143\nlast\n");
}

#[test]
fn a_busy_reader_leaves_a_leader_that_died() {
    for codec in ["none", "zstd"] {
        let shell = Shell::new();
        let script = format!(
            r#"{TWO_BROKERS}
mq-topics create -q f --assign 1:2
head -c 6000000 /dev/urandom | base64 -w 200 > in
mq-produce -z {codec} --batch-size 64KiB f < in
mkfifo fifo
mq-consume f > fifo 2> err & consumer=$!
exec 8< fifo
head -c 200000 <&8 > read; sleep 0.2
kill -9 $(cat pid1)
until mq-topics describe f --format json | grep -q '"leader": *2'; do sleep 0.1; done
cat <&8 >> read & copier=$!
echo last | mq-produce f
for i in $(seq 100); do grep -qx last read && break; sleep 0.1; done
kill $consumer; wait $consumer; cat err >&2
echo "$(tail -n 1 read) $(($(wc -l < read) - $(wc -l < in)))"
"#
        );
        assert_eq!(bash_ok(&shell, &script), "last 1\n", "{codec}");
    }
}

#[test]
fn records_of_a_lost_mount_are_shown() {
    if !can("lost mount", &["mkfs.ext4", "python3"], true) {
        return;
    }
    // The log was synced, the page was not: after the mount is lost, and made again in the same boot,
    // the page is older than the log.
    for reader in [
        "mq-consume -e w",
        "mq-consume -e -g g w",
        "mq-topics offsets w --format tsv | cut -f 4 | xargs seq",
        "mq-topics verify --deep w > /dev/null && mq-consume -e w",
    ] {
        let shell = Shell::new();
        let done = bash(
            &shell,
            &format!(
                r#"
truncate -s 32M disk.img && mkfs.ext4 -q disk.img && mkdir -p mnt
mount -o loop disk.img mnt 2> /dev/null || exit 42
trap 'umount -l mnt' EXIT
export MQ_STORE=$PWD/mnt/store
mq-topics create -q w && sync -f mnt
seq 5 | mq-produce w || exit 1
python3 -c 'import fcntl, os, struct
fcntl.ioctl(os.open("mnt", os.O_RDONLY), 0x8004587D, struct.pack("I", 2))' || exit 43
umount mnt && mount -o loop disk.img mnt || exit 43
{reader}
"#
            ),
        );
        if done.status == 42 {
            println!("lost mount: skipped: nothing can be mounted here");
            return;
        }
        assert_eq!(done.text(), "1\n2\n3\n4\n5\n", "{reader}: {}", done.err);
    }
}

#[test]
fn pages_older_than_their_logs_are_seen_at_each_replica() {
    // As after a mount that was lost in the same boot, without daemons: the logs have what was
    // acknowledged, the pages are older. Each time another tool is the first to look.
    let shell = Shell::new();
    let script = format!(
        r#"{TWO_BROKERS}
dir1=$MQ_STORE/brokers/1/logs/w-0; dir2=$MQ_STORE/brokers/2/logs/w-0
mq-topics create -q w --assign 1:2; seq 2 | mq-produce w; mq-groups commit -q g w:0=1
mq-broker health --wait --timeout 10s -q; sleep 0.3
for id in 1 2; do cp $MQ_STORE/brokers/$id/logs/w-0/partition.state page$id; done
seq 3 5 | mq-produce w || exit 1
kill -9 $(cat pid1 pid2); wait
first() {{
  for id in $1; do cat page$id > $MQ_STORE/brokers/$id/logs/w-0/partition.state; done
  shift; echo "$("$@" 2>&1 | tr '\n\t' '  ')"
}}
first '1 2' mq-consume -e w
first '1 2' mq-consume -e --replica 2 w
first '2' mq-consume -e --replica 2 w
first '1' mq-consume -e --replica 2 w
first '1 2' mq-consume -e -o 4 w
first '1 2' mq-topics offsets w --format tsv
first '1 2' mq-groups describe g --format tsv | cut -d ' ' -f 3-7
first '1 2' mq-groups commit g w:0=4
first '1 2' mq-topics verify -q w
mq-topics offsets w --format tsv
"#
    );
    let out = bash_ok(&shell, &script);
    let all = "1 2 3 4 5 \n".repeat(4);
    let wanted = format!("{all}5 \nw 0 0 5 \n0 1 0 5 4\n");
    assert!(out.starts_with(&wanted), "{out}");
    assert!(out.ends_with("w\t0\t0\t5\n"), "{out}");
    assert!(!out.contains("OUT_OF_RANGE"), "{out}");
}

#[test]
fn a_follower_has_no_epoch_in_memory_that_its_checkpoint_lacks() {
    if !can("epoch checkpoint", &["strace"], true) {
        return;
    }
    let shell = Shell::new();
    let script = format!(
        r"{TWO_BROKERS}
mq-topics create -q f --assign 1:2
seq 5 | mq-produce f
mq-topics alter -q f -c flush.messages=2; sleep 1
strace -f -qq -p $(cat pid2) -o trace -e trace=renameat,renameat2 -e inject=renameat,renameat2:error=ENOSPC:when=1 & tracer=$!
until grep -q TracerPid:.*[1-9] /proc/$(cat pid2)/status; do sleep 0.05; done
echo six | mq-produce f
for i in $(seq 50); do grep -q ENOSPC trace && break; sleep 0.1; done
kill $tracer; wait $tracer
grep -c ENOSPC trace
for i in $(seq 100); do cmp -s $MQ_STORE/brokers/[12]/logs/f-0/leader-epoch-checkpoint && break; sleep 0.1; done
cat $MQ_STORE/brokers/2/logs/f-0/leader-epoch-checkpoint
mq-broker health --wait --timeout 10s -q
mq-consume -e --replica 2 f
"
    );
    let out = bash_ok(&shell, &script);
    assert_eq!(out, "1\n0\n2\n0 0\n1 5\n1\n2\n3\n4\n5\nsix\n");
}

#[test]
fn what_is_durable_is_read_though_the_rest_cannot_be_put_in_order() {
    if !can("reader", &["strace"], false) {
        return;
    }
    let shell = Shell::new();
    let done = bash(
        &shell,
        r"
printf 'a\nb\n' | mq-produce -q t
dir=$MQ_STORE/brokers/0/logs/t-0
# A producer is killed between the publication of its append and the note of its sync.
echo c | strace -f -qq -o trace -P $dir/sync.lock -e trace=pwrite64 -e inject=pwrite64:error=EIO:signal=KILL:when=1 mq-produce t 2> /dev/null
[ $? = 137 ] || exit 9
strace -f -qq -o trace -e trace=fdatasync -e inject=fdatasync:error=EIO:when=1 mq-consume -e t
",
    );
    assert_eq!(
        (done.status, done.text().as_str()),
        (0, "a\nb\n"),
        "{}",
        done.err
    );
}

#[test]
fn sound_records_before_a_damaged_batch_are_given_out() {
    let shell = Shell::new();
    shell.topics(&["create", "-q", "t"]);
    let lines: String = (0..200).map(|n| format!("{n}\n")).collect();
    for (n, line) in lines.lines().enumerate() {
        if n % 50 == 0 {
            let batch: String = (n..n + 50).map(|n| format!("{n}\n")).collect();
            shell.produce(&["t"], batch.as_bytes());
        }
        assert_eq!(line, n.to_string());
    }
    let log = shell.logs().join("t-0/00000000000000000000.log");
    let raw = fs::read(&log).expect("the log");
    // The fourth batch: three lengths of their own lie before it.
    let mut at = 0;
    for _ in 0..3 {
        let len = i32::from_be_bytes(raw[at + 8..at + 12].try_into().expect("a length"));
        at += 12 + usize::try_from(len).expect("a length");
    }
    let file = fs::OpenOptions::new().write(true).open(&log).expect("open");
    file.write_all_at(&[raw[at + 70] ^ 1], at as u64 + 70)
        .expect("flip");
    let done = shell.run("mq-consume", &["-e", "t"], b"");
    let sound: String = (0..150).map(|n| format!("{n}\n")).collect();
    assert_eq!((done.status, done.text()), (65, sound), "{}", done.err);
    assert!(done.err.contains("CORRUPT_MESSAGE"), "{}", done.err);
}

#[test]
fn nothing_is_shown_that_is_not_durable_when_configs_change_within_an_append() {
    if !can("alter within an append", &["strace"], false) {
        return;
    }
    // The topic file changes between an append and its confirmation: the lock's release takes 1.5 s.
    let shell = Shell::new();
    bash_ok(
        &shell,
        r"
mq-topics create -q w -c flush.messages=never
(echo a1; sleep 2.5; echo a2; sleep 0.3; echo a3) |
  strace -f -qq -o trace -e trace=flock -e inject=flock:delay_exit=1500000:when=2 mq-produce w & producer=$!
sleep 0.7; mq-topics alter -q w -c flush.messages=1
wait $producer
",
    );
    let now = page(&shell.logs().join("w-0"));
    assert_eq!((now.end, now.durable, now.high_watermark), (3, 3, 3));
}

#[test]
fn a_search_by_time_passes_over_no_gap() {
    let shell = Shell::new();
    shell.topics(&["create", "-q", "t", "-c", "segment.bytes=2000"]);
    for n in 0..10 {
        let lines: String = (0..20)
            .map(|i| format!("{} of some length\n", n * 20 + i))
            .collect();
        shell.produce(&["-q", "t"], lines.as_bytes());
    }
    let dir = shell.logs().join("t-0");
    let mut logs: Vec<_> = fs::read_dir(&dir)
        .expect("a directory")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|end| end == "log"))
        .collect();
    logs.sort();
    assert!(logs.len() > 3, "{logs:?}");
    fs::remove_file(&logs[1]).expect("remove");
    for group in [&[][..], &["-g", "g"]] {
        let args = [group, &["-e", "-o", "@2020-01-01", "t"]].concat();
        let done = shell.run("mq-consume", &args, b"");
        assert_eq!(done.status, 65, "{group:?}: {}", done.err);
    }
    // Nothing is as young as that: all of it has to be examined, the gap too.
    let done = shell.run("mq-topics", &["offsets", "t", "--at", "@2100-01-01"], b"");
    assert_eq!(done.status, 65, "{}{}", done.text(), done.err);
}

#[test]
fn damage_of_a_replicated_log_is_reported_at_once() {
    let shell = Shell::new();
    let script = format!(
        r"{TWO_BROKERS}
mq-topics create -q t --assign 1:2
seq 100 | mq-produce t
mq-broker health --wait --timeout 20s > /dev/null || exit 5
printf X | dd of=$MQ_STORE/brokers/1/logs/t-0/00000000000000000000.log bs=1 seek=70 conv=notrunc status=none
timeout 5 mq-consume -e t
"
    );
    let done = bash(&shell, &script);
    assert_eq!(done.status, 65, "{}", done.err);
    assert!(done.err.contains("CORRUPT_MESSAGE"), "{}", done.err);
}
