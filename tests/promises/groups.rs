//! Groups: backlogs, starts, ends, and what they report.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use crate::cli::Shell;

/// Lines with the numbers of a range.
fn numbers(range: std::ops::Range<u32>) -> Vec<u8> {
    let text = range.fold(String::new(), |mut text, n| {
        let _ = writeln!(text, "{n}");
        text
    });
    text.into_bytes()
}

/// A store in memory, where there is such a place.
fn quick_shell() -> Shell {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() {
        Shell::on(memory)
    } else {
        Shell::new()
    }
}

/// When the group's members committed, milliseconds.
fn commits(shell: &Shell, group: &str) -> Vec<i64> {
    let log = shell.store().join("groups").join(group).join("offsets.log");
    let text = std::fs::read_to_string(log).expect("read");
    let fields = text.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    fields
        .filter(|fields| fields.get(2) == Some(&"commit"))
        .filter_map(|fields| fields.get(1)?.parse().ok())
        .collect()
}

#[test]
fn a_backlog_takes_little_memory_and_is_committed_in_time() {
    let shell = quick_shell();
    shell.produce(&["t"], &numbers(0..3_000_000));
    let mut command = shell.command(
        "mq-consume",
        &["-g", "g", "t", "-e", "--commit-interval", "400ms"],
    );
    let mut child = command.stdout(Stdio::null()).spawn().expect("spawn");
    let status_file = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    let status = loop {
        if let Some(status) = child.try_wait().expect("wait") {
            break status;
        }
        let text = std::fs::read_to_string(&status_file).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
        peak = kib.unwrap_or(peak);
        std::thread::sleep(Duration::from_millis(5));
    };
    assert!(status.success());
    assert!(peak < 32 << 10, "{peak} KiB");
    let times = commits(&shell, "g");
    // Most of them: where others keep the processors busy, some commits come late.
    let mut gaps: Vec<i64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    gaps.sort_unstable();
    let gap = gaps.get(gaps.len() / 2);
    assert!(gap.is_some_and(|gap| *gap <= 800), "{gaps:?} ms");
}

/// How a run reads: plainly, or for a group.
const WAYS: [&[&str]; 2] = [&[], &["-g", "g"]];

/// Waits until the group has so many members.
fn has_members(shell: &Shell, group: &str, count: usize) {
    let file = shell.store().join("groups").join(group).join("group.json");
    let started = std::time::Instant::now();
    loop {
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        if text.matches("\"member_id\"").count() == count {
            return;
        }
        assert!(started.elapsed() < Duration::from_secs(30), "{text}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_topic_that_comes_later_is_read_from_its_start() {
    for args in [
        &["-o", "end", "--wait", "later"][..],
        &["--tail", "0", "--wait", "later"],
        &["-o", "end", "l*"],
        &["-g", "g", "-o", "end", "--wait", "later"],
        &["-g", "g", "-o", "end", "l*"],
        &["-g", "g", "-o", "end", "l*", "--commit", "never"],
    ] {
        let shell = Shell::new();
        shell.produce(&["other"], b"x\n");
        let mut running = shell.start("mq-consume", args);
        if args.contains(&"l*") && args.contains(&"-g") {
            has_members(&shell, "g", 1);
        }
        std::thread::sleep(Duration::from_millis(300));
        shell.produce(&["later"], b"a\nb\nc\n");
        running.says("c\n");
        running.signal(rustix::process::Signal::TERM);
        let done = running.end_within(Duration::from_secs(20));
        assert_eq!(done.text(), "a\nb\nc\n", "{args:?}: {}", done.err);
    }
}

#[test]
fn a_member_that_joins_later_does_not_skip_what_came_before_it() {
    let shell = Shell::new();
    shell.topics(&["create", "l0"]);
    // It commits nothing, so that the second finds topics that nobody has begun.
    let args = ["-g", "g", "-o", "end", "--commit", "never", "l*"];
    let first = shell.start("mq-consume", &args);
    has_members(&shell, "g", 1);
    for topic in ["l1", "l2", "l3", "l4"] {
        shell.produce(&[topic], format!("{topic}\n").as_bytes());
        first.says(&format!("{topic}\n"));
    }
    let second = shell.start("mq-consume", &args);
    second.says("\n");
}

#[test]
fn the_end_is_the_end_as_of_the_first_member() {
    for _ in 0..5 {
        let shell = Shell::new();
        shell.produce(&["t"], b"old\n");
        let running = shell.start("mq-consume", &["-g", "g", "-o", "end", "t"]);
        has_members(&shell, "g", 1);
        shell.produce(&["t"], b"new\n");
        running.says("new\n");
        assert_eq!(running.out.bytes(), b"new\n");
    }
}

#[test]
fn short_runs_take_turns() {
    let shell = Shell::new();
    for topic in ["a", "b", "c"] {
        shell.produce(&[topic], &numbers(0..120));
    }
    let mut taken = std::collections::BTreeMap::new();
    for _ in 0..12 {
        let text = shell.consume_text(&["-g", "g", "-c", "10", "-f", "%t\\n", "a", "b", "c"]);
        for topic in text.lines() {
            *taken.entry(topic.to_owned()).or_insert(0) += 1;
        }
    }
    let taken: Vec<i32> = taken.into_values().collect();
    assert_eq!(taken, [40, 40, 40]);
}

#[test]
fn short_runs_take_turns_whatever_ends_them() {
    let shell = Shell::new();
    shell.topics(&["create", "t", "-p", "3"]);
    for partition in ["0", "1", "2"] {
        shell.produce(&["t", "-p", partition], &numbers(0..40));
    }
    let mut begun = Vec::new();
    for run in 0..3 {
        let log = format!("log{run}");
        let command = format!("echo $MQ_PARTITION >> {log}; sleep 0.1");
        let mut member = shell.start("mq-consume", &["t", "-g", "g", "--exec", &command]);
        let path = shell.dir().join(log);
        let started = std::time::Instant::now();
        let first = loop {
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            if let Some((first, _)) = text.split_once('\n') {
                break first.to_owned();
            }
            assert!(started.elapsed() < Duration::from_secs(30), "no command");
            std::thread::sleep(Duration::from_millis(5));
        };
        begun.push(first);
        member.signal(rustix::process::Signal::TERM);
        member.end_within(Duration::from_secs(20));
    }
    begun.sort();
    assert_eq!(begun, ["0", "1", "2"]);
}

#[test]
fn waiting_for_a_topic_ends_as_reading_does() {
    for way in WAYS {
        let shell = Shell::new();
        shell.produce(&["a"], b"x\n");
        let mut command = shell.command("mq-consume", &[way, &["--wait", "nothere"]].concat());
        let child = command.spawn().expect("spawn");
        let mut running = crate::cli::Running::of({
            let mut child = child;
            // Nobody reads.
            drop(child.stdout.take());
            child
        });
        let done = running.end_within(Duration::from_secs(10));
        assert_eq!(done.status, 0, "{way:?}: {}", done.err);
        let args = [way, &["--wait", "--idle-timeout", "300ms", "nothere"]].concat();
        let done = shell
            .start("mq-consume", &args)
            .end_within(Duration::from_secs(10));
        assert_eq!(done.status, 0, "{way:?}: {}", done.err);
        let args = [way, &["--wait", "-e", "a", "nothere"]].concat();
        let mut running = shell.start("mq-consume", &args);
        std::thread::sleep(Duration::from_millis(300));
        assert!(running.child.try_wait().expect("wait").is_none(), "{way:?}");
        shell.produce(&["nothere"], b"y\n");
        let done = running.end_within(Duration::from_secs(20));
        assert_eq!(done.status, 0, "{way:?}: {}", done.err);
        assert_eq!(done.text(), "x\ny\n", "{way:?}");
        // What is there is read, too, where the other never comes; once, and no more than asked for.
        for (more, text, status) in [
            (&["--idle-timeout", "300ms"][..], "x\n", 0),
            (&["-c", "1", "--idle-timeout", "300ms"], "x\n", 0),
            (
                &["-c", "2", "--idle-timeout", "300ms", "--fail-if-empty"],
                "x\n",
                4,
            ),
        ] {
            let shell = Shell::new();
            shell.produce(&["a"], b"x\n");
            let args = [way, &["--wait", "-e"], more, &["a", "nothere"]].concat();
            let done = shell
                .start("mq-consume", &args)
                .end_within(Duration::from_secs(20));
            assert_eq!(
                (&*done.text(), done.status),
                (text, status),
                "{args:?}: {}",
                done.err
            );
        }
    }
}

#[test]
fn a_damaged_topic_file_stops_nothing_else() {
    for way in WAYS {
        for topics in [&["a", "b"][..], &["?"]] {
            let shell = Shell::new();
            shell.produce(&["a"], b"x\n");
            shell.produce(&["b"], b"y\n");
            let file = shell.store().join("topics/b.json");
            let mut text = std::fs::read(&file).expect("read");
            text[20] ^= 1;
            std::fs::write(&file, text).expect("written");
            let args = [way, &["-e"], topics].concat();
            let done = shell
                .start("mq-consume", &args)
                .end_within(Duration::from_secs(20));
            assert_eq!(
                (done.status, done.text().as_str()),
                (65, "x\n"),
                "{args:?}: {}",
                done.err
            );
            assert_eq!(
                done.err.matches("b.json").count(),
                1,
                "{args:?}: {}",
                done.err
            );
            // Nor does one that becomes damaged while it is read.
            let mut args = [way, topics].concat();
            args.extend(["-o", "start"]);
            let mut running = shell.start("mq-consume", &args);
            if way.is_empty() {
                running.says("x\n");
            } else {
                has_members(&shell, "g", 1);
            }
            shell.produce(&["a"], b"z\n");
            running.says("z\n");
            running.signal(rustix::process::Signal::TERM);
            let done = running.end_within(Duration::from_secs(20));
            assert_eq!(done.status, 65, "{args:?}: {}", done.err);
        }
    }
}

/// Partitions of 100 records in ten batches each; a byte of the sixth batch of the last but one is
/// another.
fn damaged_shell(partitions: u32) -> Shell {
    let shell = Shell::new();
    shell.topics(&["create", "t", "-p", &partitions.to_string()]);
    for batch in 0..10 {
        for partition in 0..partitions {
            shell.produce(
                &["t", "-p", &partition.to_string()],
                &numbers(batch * 10..batch * 10 + 10),
            );
        }
    }
    let damaged = partitions.saturating_sub(2);
    let log = shell
        .logs()
        .join(format!("t-{damaged}/00000000000000000000.log"));
    let mut bytes = std::fs::read(&log).expect("read");
    let at = bytes.len() * 11 / 20;
    bytes[at] ^= 1;
    std::fs::write(&log, bytes).expect("written");
    shell
}

#[test]
fn a_damaged_partition_stops_no_other() {
    for way in WAYS {
        for end in [&["-e"][..], &["-o", "0:100"]] {
            let shell = damaged_shell(3);
            let args = [way, &["-f", "%p\\n", "t"], end].concat();
            let done = shell
                .start("mq-consume", &args)
                .end_within(Duration::from_secs(20));
            let text = done.text();
            let of = |partition: &str| text.lines().filter(|line| *line == partition).count();
            assert_eq!(done.status, 65, "{args:?}: {}", done.err);
            assert_eq!((of("0"), of("2")), (100, 100), "{args:?}: {}", done.err);
            assert_eq!(of("1"), 50, "what is sound before it: {}", done.err);
            assert_eq!(
                done.err.matches("is damaged at").count(),
                1,
                "{args:?}: {}",
                done.err
            );
        }
        let shell = damaged_shell(3);
        let args = [way, &["-f", "%p:%v\\n", "t"]].concat();
        let mut running = shell.start("mq-consume", &args);
        running.says("2:99\n");
        shell.produce(&["t", "-p", "2"], b"more\n");
        running.says("2:more\n");
        running.signal(rustix::process::Signal::TERM);
        let done = running.end_within(Duration::from_secs(20));
        assert_eq!(done.status, 65, "{args:?}: {}", done.err);
    }
}

#[test]
fn a_count_ends_where_nothing_is_left_to_count() {
    for way in WAYS {
        let shell = damaged_shell(1);
        let args = [way, &["-c", "100", "t"]].concat();
        let done = shell
            .start("mq-consume", &args)
            .end_within(Duration::from_secs(20));
        assert_eq!(done.status, 65, "{args:?}: {}", done.err);
    }
}

#[test]
fn a_command_gets_what_is_sound_before_damage() {
    let shell = damaged_shell(1);
    let args = ["-g", "g", "-e", "--batch", "7", "--exec", "cat", "t"];
    let done = shell.run("mq-consume", &args, b"");
    assert_eq!(done.status, 65, "{}", done.err);
    assert_eq!(done.out, numbers(0..50), "{}", done.err);
}

#[test]
fn members_outlive_damage_and_keep_its_partition() {
    let shell = damaged_shell(3);
    let args = ["-g", "g", "-f", "%p:%v\\n", "t"];
    let mut members: Vec<_> = (0..3).map(|_| shell.start("mq-consume", &args)).collect();
    has_members(&shell, "g", 3);
    std::thread::sleep(Duration::from_secs(1));
    for (partition, line) in [("0", "0:more"), ("2", "2:more")] {
        shell.produce(&["t", "-p", partition], b"more\n");
        let started = std::time::Instant::now();
        while !members
            .iter()
            .any(|m| memchr::memmem::find(&m.out.bytes(), line.as_bytes()).is_some())
        {
            assert!(started.elapsed() < Duration::from_secs(20), "{line}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    for member in &members {
        member.signal(rustix::process::Signal::TERM);
    }
    let ends: Vec<_> = members
        .iter_mut()
        .map(|m| m.end_within(Duration::from_secs(20)))
        .collect();
    assert!(ends.iter().any(|done| done.status == 65));
    let json = shell.ok("mq-groups", &["describe", "g", "--format", "json"], b"");
    let group: serde_json::Value = serde_json::from_slice(&json).expect("JSON");
    let committed = |at: usize| group["offsets"][at]["committed_offset"].as_i64();
    assert_eq!((committed(0), committed(2)), (Some(101), Some(101)));
    assert!(
        committed(1).is_some_and(|at| at <= 60),
        "{:?}",
        committed(1)
    );
}

#[test]
fn a_wait_for_a_member_that_never_commits_says_so() {
    let shell = Shell::new();
    shell.topics(&["create", "t", "-p", "2"]);
    for partition in ["0", "1"] {
        shell.produce(&["t", "-p", partition], b"x\n");
    }
    let _never = shell.start("mq-consume", &["-g", "g", "t", "--commit", "never"]);
    has_members(&shell, "g", 1);
    let mut waits = shell.start("mq-consume", &["-g", "g", "t", "-e"]);
    let said = waits.err.until(Duration::from_secs(20), |bytes| {
        memchr::memmem::find(bytes, b"--commit never").is_some()
    });
    assert!(said, "{}", String::from_utf8_lossy(&waits.err.bytes()));
    waits.signal(rustix::process::Signal::TERM);
    waits.end_within(Duration::from_secs(20));
}

#[test]
fn offsets_of_a_topic_that_no_member_reads_can_be_deleted() {
    let shell = Shell::new();
    for topic in ["a", "b"] {
        shell.produce(&[topic], b"x\n");
        shell.consume(&["-g", "g", "-e", topic]);
    }
    let member = shell.start("mq-consume", &["-g", "g", "a"]);
    has_members(&shell, "g", 1);
    let refused = shell.run(
        "mq-groups",
        &["delete-offsets", "g", "--topic", "a", "--yes"],
        b"",
    );
    assert_ne!(refused.status, 0);
    assert!(
        refused.err.contains("GROUP_SUBSCRIBED_TO_TOPIC"),
        "{}",
        refused.err
    );
    for more in ["--dry-run", "--yes"] {
        shell.ok(
            "mq-groups",
            &["delete-offsets", "g", "--topic", "b", more],
            b"",
        );
    }
    let json = shell.ok("mq-groups", &["describe", "g", "--format", "json"], b"");
    let group: serde_json::Value = serde_json::from_slice(&json).expect("JSON");
    let topics: Vec<_> = group["offsets"]
        .as_array()
        .expect("rows")
        .iter()
        .map(|row| &row["topic"])
        .collect();
    assert_eq!(topics, ["a"]);
    drop(member);
}

#[test]
fn records_without_a_time_are_counted_all_the_same() {
    let shell = Shell::new();
    shell.produce(&["t"], b"x\n");
    shell.consume(&["-g", "g", "-e", "t"]);
    shell.produce(
        &["t", "-J"],
        b"{\"value\":\"y\",\"timestamp\":-1}\n{\"value\":\"z\",\"timestamp\":-1}\n",
    );
    for (args, status, says) in [
        (["--warn", "5"], 0, "lag 2 records"),
        (["--warn", "1"], 1, "lag 2 records, of unknown age"),
        (["--critical", "1"], 2, "'g lag time'=U"),
        (["--warn", "5s"], 3, "not known"),
    ] {
        let done = shell.run("mq-groups", &["check", "g", args[0], args[1]], b"");
        assert_eq!(done.status, status, "{args:?}: {}", done.text());
        assert!(done.text().contains(says), "{args:?}: {}", done.text());
    }
}

/// A topic of three partitions, with three records in each.
fn three_partitions() -> Shell {
    let shell = Shell::new();
    shell.topics(&["create", "-q", "d", "-p", "3"]);
    for p in ["0", "1", "2"] {
        shell.produce(&["-p", p, "d"], b"a\nb\nc\n");
    }
    shell
}

#[test]
fn a_partition_without_its_directory_stops_no_other() {
    for way in WAYS {
        let shell = three_partitions();
        std::fs::rename(shell.logs().join("d-1"), shell.dir().join("away")).expect("moved");
        let mut running = shell.start("mq-consume", &[way, &["-e", "d"]].concat());
        let done = running.end_within(Duration::from_secs(10));
        assert_eq!(done.status, 75, "{way:?}: {}", done.err);
        assert_eq!(done.text().lines().count(), 6, "{way:?}: {}", done.err);
        let reported = done.err.matches("NOT_LEADER_OR_FOLLOWER").count();
        assert_eq!(reported, 1, "{way:?}: {}", done.err);
        // Nothing else there is: the failure is the run's.
        if way.is_empty() {
            let mut running = shell.start("mq-consume", &["-p", "1", "d"]);
            assert_eq!(running.end_within(Duration::from_secs(10)).status, 75);
        }
    }
}

#[test]
fn a_partition_whose_directory_comes_back_is_read() {
    for way in WAYS {
        for (args, wanted) in [(&["d"][..], 10), (&["-o", "end", "d"], 1)] {
            let shell = three_partitions();
            let (there, away) = (shell.logs().join("d-1"), shell.dir().join("away"));
            std::fs::rename(&there, &away).expect("moved");
            let mut running = shell.start("mq-consume", &[way, args].concat());
            let reported = |err: &[u8]| String::from_utf8_lossy(err).contains("NOT_LEADER");
            assert!(
                running.err.until(Duration::from_secs(10), reported),
                "{way:?}"
            );
            std::fs::rename(&away, &there).expect("moved back");
            std::thread::sleep(Duration::from_millis(1500));
            shell.produce(&["-p", "1", "d"], b"new\n");
            running.says("new\n");
            running.signal(rustix::process::Signal::TERM);
            let done = running.end_within(Duration::from_secs(10));
            let lines = done.text().lines().count();
            assert_eq!(lines, wanted, "{way:?} {args:?}: {}", done.err);
        }
    }
}

#[test]
fn a_topic_that_is_waited_for_has_records_before_a_run_ends_at_its_end() {
    for way in WAYS {
        let shell = Shell::new();
        shell.produce(&["other"], b"x\n");
        let mut running = shell.start("mq-consume", &[way, &["--wait", "-e", "later"]].concat());
        std::thread::sleep(Duration::from_millis(200));
        shell.topics(&["create", "-q", "later"]);
        std::thread::sleep(Duration::from_millis(800));
        assert!(running.child.try_wait().expect("wait").is_none(), "{way:?}");
        shell.produce(&["later"], b"a\n");
        let done = running.end_within(Duration::from_secs(10));
        assert_eq!((done.status, done.text().as_str()), (0, "a\n"), "{way:?}");
    }
}

#[test]
fn the_end_of_a_topic_that_was_unreadable_is_that_as_of_when_it_is_restored() {
    for way in WAYS {
        let shell = Shell::new();
        shell.produce(&["a"], b"x\n");
        shell.produce(&["b"], b"old\n");
        let file = shell.store().join("topics/b.json");
        let sound = std::fs::read(&file).expect("read");
        std::fs::write(&file, b"{").expect("damaged");
        let mut running = shell.start("mq-consume", &[way, &["-o", "end", "?"]].concat());
        let reported = |err: &[u8]| String::from_utf8_lossy(err).contains("b.json");
        assert!(
            running.err.until(Duration::from_secs(10), reported),
            "{way:?}"
        );
        let restored = file.with_extension("restored");
        std::fs::write(&restored, sound).expect("written");
        std::fs::rename(&restored, &file).expect("restored");
        std::thread::sleep(Duration::from_millis(1500));
        shell.produce(&["b"], b"new\n");
        running.says("new\n");
        running.signal(rustix::process::Signal::TERM);
        let done = running.end_within(Duration::from_secs(10));
        assert_eq!(done.text(), "new\n", "{way:?}: {}", done.err);
    }
}

#[test]
fn a_commit_that_fits_in_part_only_is_a_full_disk() {
    let shell = Shell::new();
    // The limit of a file's size cuts a line of the log in two, as a disk does that fills up.
    let out = crate::scripts::bash_ok(
        &shell,
        r"
seq 3 | mq-produce -q t; mq-groups commit -q g t:0=1
ulimit -f 12
for n in $(seq 500); do mq-groups commit g t:0=$((n % 3)) 2> reported || { echo $?; break; }; done
grep -c 'No space left on device' reported; grep -c 'make room' reported
stat -c %s $MQ_STORE/groups/*/offsets.log
",
    );
    assert_eq!(out, "1\n1\n1\n12288\n");
}
