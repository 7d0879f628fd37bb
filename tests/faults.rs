//! What a machine does to a store: full disks, failing syncs, too few descriptors, stopped holders
//! of locks, readers that go away. The promise stays: what was acknowledged is there, and the
//! message of what failed says how to go on.

#[macro_use]
#[path = "common/proc.rs"]
mod proc;

use std::collections::VecDeque;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use proc::{
    Failure, PATIENCE, Place, Ran, Running, Score, Seen, acknowledged, check_log, seen, tool,
    works_on,
};
use rustix::process::Signal;

const ECHO: &str = "%p %o %v\\n";
const WORKERS: usize = 2;

type Body = Box<dyn FnOnce(&Place) -> Result<(), Failure> + Send>;

/// Cases, run in the order in which they were named.
#[derive(Default)]
struct Cases(VecDeque<(String, Body)>);

impl Cases {
    fn add(
        &mut self,
        name: impl Into<String>,
        body: impl FnOnce(&Place) -> Result<(), Failure> + Send + 'static,
    ) {
        self.0.push_back((name.into(), Box::new(body)));
    }

    fn run(self, score: &Score) {
        let cases = Mutex::new(self.0);
        std::thread::scope(|scope| {
            for _ in 0..WORKERS {
                scope.spawn(|| {
                    loop {
                        let next = cases.lock().expect("cases").pop_front();
                        let Some((name, body)) = next else { break };
                        score.case(&name, body);
                    }
                });
            }
        });
    }
}

fn lines(who: &str, count: usize) -> Vec<String> {
    (0..count)
        .map(|n| format!("{who} {n} is a line of some length, so that files grow {n}"))
        .collect()
}

/// A topic of two batches in a store of its own.
fn prepare(place: &Place, configs: &[&str]) -> Result<Vec<Seen>, Failure> {
    let args: Vec<&str> = ["create", "t"]
        .into_iter()
        .chain(configs.iter().copied())
        .collect();
    place.run("mq-topics", &args)?.expect(0)?;
    let old = place.input("old", &lines("old", 30));
    let ran = place.feed(
        "mq-produce",
        &["--batch-size", "1KiB", "-o", ECHO, "t"],
        &old,
    )?;
    acknowledged(&ran.expect(0)?)
}

/// Checks the log with `old` lines in it and `new` ones on the way, of which `ran` has echoed some.
fn check(place: &Place, mut owed: Vec<Seen>, ran: &Ran, new: &[String]) -> Result<(), Failure> {
    hold!(
        !ran.stderr.contains("panicked"),
        "{}: {}",
        ran.what,
        ran.stderr
    );
    owed.extend(acknowledged(ran)?);
    if owed.is_empty() && !place.store().join("topics/t.json").exists() {
        return Ok(());
    }
    let there = check_log(place, "t", &[&lines("old", 30), new], &owed)?;
    // Only 74 says that more may be stored than was acknowledged.
    hold!(
        ran.code() == Some(74) || there.len() == owed.len(),
        "{} ended with {}; acknowledged are {}, stored {}",
        ran.what,
        ran.status,
        owed.len(),
        there.len()
    );
    Ok(())
}

/// That an error says what, and how to go on: two lines.
fn clear(ran: &Ran) -> Result<(), Failure> {
    hold!(
        ran.stderr.lines().count() >= 2 && !ran.stderr.contains("panicked"),
        "{} says only: {}",
        ran.what,
        ran.stderr
    );
    Ok(())
}

/// No file may grow beyond a limit.
fn limited(place: &Place, limit: usize, fresh: bool) -> Result<(), Failure> {
    let owed = if fresh {
        Vec::new()
    } else {
        prepare(place, &[])?
    };
    let new = lines("new", 300);
    place.input("new", &new);
    // The echo goes through a pipe: its file has no limit.
    let ran = place.shell(&format!(
        "prlimit --fsize={limit} mq-produce -q --batch-size 1KiB -o '%p %o %v\\n' t < new | cat; \
         exit ${{PIPESTATUS[0]}}"
    ))?;
    match ran.code() {
        Some(0) => {
            let count = acknowledged(&ran)?.len();
            hold!(
                count == new.len(),
                "0, but {count} of {} are acknowledged",
                new.len()
            );
        }
        Some(1) => clear(&ran)?,
        // The page's second copy has no room: what was appended may come to light.
        Some(74) if limit < 4608 => clear(&ran)?,
        _ => {
            return Err(format!(
                "{} ended with {}: {}",
                ran.what, ran.status, ran.stderr
            ));
        }
    }
    check(place, owed, &ran, &new)?;
    works_on(place, "t")
}

/// A file system that is mounted for a case.
struct Mount<'a>(&'a Path);

impl Drop for Mount<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

fn full_disk(place: &Place) -> Result<(), Failure> {
    let at = place.dir().join("small");
    fs::create_dir(&at).map_err(|e| e.to_string())?;
    let mut mount = Command::new("mount");
    mount
        .args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"])
        .arg(&at)
        .stderr(Stdio::null());
    if !mount.status().is_ok_and(|status| status.success()) {
        println!("a full disk: skipped: may not mount");
        return Ok(());
    }
    let _mount = Mount(&at);
    let ballast = at.join("ballast");
    fs::write(&ballast, vec![7; 256 * 1024]).map_err(|e| e.to_string())?;
    let place = &place.with_store(at.join("store"));
    let owed = prepare(place, &[])?;
    let new = lines("new", 20_000);
    let input = place.input("new", &new);
    let ran = place.feed(
        "mq-produce",
        &["-q", "--batch-size", "8KiB", "-o", ECHO, "t"],
        &input,
    )?;
    let ran = ran.expect(1)?;
    clear(&ran)?;
    hold!(
        ran.stderr.to_lowercase().contains("space"),
        "nothing of space: {}",
        ran.stderr
    );
    check(place, owed.clone(), &ran, &new)?;
    let first = acknowledged(&ran)?;
    hold!(!first.is_empty(), "nothing was stored");
    // Once more, on a disk that is still full.
    let one = place.input("one", &["x".repeat(100_000)]);
    let again = place
        .feed("mq-produce", &["-q", "-o", ECHO, "t"], &one)?
        .expect(1)?;
    hold!(again.stdout.is_empty(), "acknowledged on a full disk");
    fs::remove_file(&ballast).map_err(|e| e.to_string())?;
    check(place, owed, &ran, &new)?;
    works_on(place, "t")
}

/// Produces with a fault in the calls of the process.
fn inject(place: &Place, fault: &str, args: &[&str]) -> Result<Ran, Failure> {
    let inject = format!("inject={fault}");
    let trace = format!("trace={}", fault.split(':').next().unwrap_or_default());
    let prefix = [
        "strace", "-f", "-qq", "-o", "trace", "-e", &trace, "-e", &inject,
    ];
    let new = place.dir().join("new");
    place.start(&prefix, "mq-produce", args, Some(&new))?.end()
}

const PRODUCE: [&str; 6] = ["-q", "--batch-size", "1KiB", "-o", ECHO, "t"];

/// The next process finds the partition offline, and the cure works.
fn mended(place: &Place) -> Result<(), Failure> {
    let one = place.input("one", &["refused".to_owned()]);
    let next = place
        .feed("mq-produce", &["-o", ECHO, "t"], &one)?
        .expect(1)?;
    hold!(
        next.stdout.is_empty(),
        "acknowledged by an offline partition"
    );
    hold!(
        next.stderr.contains("mq-topics verify") && next.stderr.contains("--repair truncate"),
        "no cure: {}",
        next.stderr
    );
    place
        .run(
            "mq-topics",
            &["verify", "--repair", "truncate", "--yes", "t"],
        )?
        .expect(0)
        .map(drop)
}

fn failed_sync(place: &Place, n: usize, configs: &[&str]) -> Result<(), Failure> {
    let owed = prepare(place, configs)?;
    let new = lines("new", 100);
    place.input("new", &new);
    let ran = inject(place, &format!("fdatasync:error=EIO:when={n}"), &PRODUCE)?;
    match ran.code() {
        Some(0) => {
            let trace = fs::read_to_string(place.dir().join("trace")).unwrap_or_default();
            hold!(!trace.contains("INJECTED"), "a failed sync, and 0");
        }
        // 1: the sync of a roll, before anything else was appended.
        Some(1 | 74) => {
            clear(&ran)?;
            mended(place)?;
        }
        _ => {
            return Err(format!(
                "{} ended with {}: {}",
                ran.what, ran.status, ran.stderr
            ));
        }
    }
    check(place, owed, &ran, &new)?;
    works_on(place, "t")
}

/// A fault after which a run may go on, or end with an error and an offline partition, or without.
fn survived(place: &Place, fault: &str, configs: Option<&[&str]>) -> Result<(), Failure> {
    let owed = configs.map_or(Ok(Vec::new()), |configs| prepare(place, configs))?;
    let new = lines("new", 100);
    place.input("new", &new);
    let ran = inject(place, fault, &PRODUCE)?;
    match ran.code() {
        Some(0) => {
            let count = acknowledged(&ran)?.len();
            hold!(
                count == new.len(),
                "0, but {count} of {} are acknowledged",
                new.len()
            );
        }
        Some(1 | 74 | 75) => clear(&ran)?,
        _ => {
            return Err(format!(
                "{} ended with {}: {}",
                ran.what, ran.status, ran.stderr
            ));
        }
    }
    let one = place.input("one", &["old 0".to_owned()]);
    let dry = place.feed("mq-produce", &["-q", "u"], &one)?;
    hold!(dry.code() == Some(0), "another topic: {}", dry.stderr);
    if matches!(ran.code(), Some(1 | 74)) && place.store().join("topics/t.json").exists() {
        place
            .run("mq-topics", &["verify", "--repair", "truncate", "--yes"])?
            .expect(0)?;
    }
    check(place, owed, &ran, &new)?;
    works_on(place, "t")
}

fn few_descriptors(place: &Place, count: usize) -> Result<(), Failure> {
    let owed = prepare(place, &[])?;
    let new = lines("new", 100);
    place.input("new", &new);
    let ran = place.shell(&format!(
        "ulimit -n {count}; exec mq-produce -q --batch-size 1KiB -o '%p %o %v\\n' t < new"
    ))?;
    match ran.code() {
        Some(0) => hold!(
            acknowledged(&ran)?.len() == 100,
            "0, but not all is acknowledged"
        ),
        // The dynamic loader has too few, too.
        Some(127) => {}
        Some(1 | 74) => clear(&ran)?,
        _ => {
            return Err(format!(
                "{} ended with {}: {}",
                ran.what, ran.status, ran.stderr
            ));
        }
    }
    check(place, owed, &ran, &new)?;
    let read = place.shell(&format!("ulimit -n {count}; exec mq-consume -e t"))?;
    match read.code() {
        Some(0) => hold!(read.lines().len() >= 30, "0, but not all was read"),
        Some(127) => {}
        Some(1) => clear(&read)?,
        _ => {
            return Err(format!(
                "{} ended with {}: {}",
                read.what, read.status, read.stderr
            ));
        }
    }
    works_on(place, "t")
}

/// The process that strace runs.
fn traced(strace: &Running) -> Option<u32> {
    let pid = strace.child.id();
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok()
}

fn stopped_holder(place: &Place, n: usize, held: &Mutex<usize>) -> Result<(), Failure> {
    let mut owed = prepare(place, &[])?;
    let new = lines("new", 100);
    let input = place.input("new", &new);
    let other = lines("other", 20);
    let others = place.input("other", &other);
    let fault = format!("inject=pwrite64:signal=STOP:when={n}");
    let prefix = [
        "strace",
        "-f",
        "-qq",
        "-o",
        "trace",
        "-e",
        "trace=pwrite64",
        "-e",
        &fault,
    ];
    let holder = place.start(&prefix, "mq-produce", &PRODUCE, Some(&input))?;
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(2) {
        let trace = fs::read_to_string(place.dir().join("trace")).unwrap_or_default();
        if trace.contains("stopped by SIGSTOP") {
            break;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let pid = traced(&holder);
    let read = place.run("mq-consume", &["-J", "-e", "t"])?.expect(0)?;
    let early = seen(&read)?;
    let waiting = ["-q", "--timeout", "1s", "-o", ECHO, "t"];
    let second = place.feed("mq-produce", &waiting, &others)?;
    match second.code() {
        Some(0) => {}
        Some(75) => {
            hold!(
                second.stdout.is_empty(),
                "75, but acknowledged {:?}",
                second.lines()
            );
            let pid = pid.ok_or("75, but nobody holds the lock")?.to_string();
            hold!(
                second.stderr.contains(&pid),
                "pid {pid} is not named: {}",
                second.stderr
            );
            *held.lock().expect("held") += 1;
        }
        _ => {
            return Err(format!(
                "{} ended with {}: {}",
                second.what, second.status, second.stderr
            ));
        }
    }
    // Each of its threads may be stopped at its own Nth call.
    let (done, ended) = std::sync::mpsc::channel::<()>();
    let first = std::thread::scope(|scope| {
        let group = rustix::process::Pid::from_child(&holder.child);
        scope.spawn(move || {
            while ended.recv_timeout(Duration::from_millis(20)).is_err() {
                let _ = rustix::process::kill_process_group(group, Signal::CONT);
            }
        });
        let first = holder.end();
        let _ = done.send(());
        first
    })?
    .expect(0)?;
    hold!(
        acknowledged(&first)?.len() == 100,
        "the woken one did not store all"
    );
    owed.extend(acknowledged(&first)?);
    owed.extend(acknowledged(&second)?);
    owed.extend(early);
    check_log(place, "t", &[&lines("old", 30), &new, &other], &owed)?;
    works_on(place, "t")
}

fn many(place: &Place) -> Result<Vec<String>, Failure> {
    let all = lines("old", 5000);
    let input = place.input("many", &all);
    place.feed("mq-produce", &["-q", "t"], &input)?.expect(0)?;
    Ok(all)
}

fn reader_gone(place: &Place) -> Result<(), Failure> {
    let all = many(place)?;
    let ran = place
        .shell("mq-consume t -e | head -1; echo ${PIPESTATUS[@]}")?
        .expect(0)?;
    hold!(ran.lines() == [all[0].as_str(), "0 0"], "{:?}", ran.lines());
    hold!(ran.stderr.is_empty(), "not quiet: {}", ran.stderr);
    let follow = place
        .shell("mq-consume t | head -1; echo ${PIPESTATUS[@]}")?
        .expect(0)?;
    hold!(
        follow.lines() == [all[0].as_str(), "0 0"],
        "{:?}",
        follow.lines()
    );
    works_on(place, "t")
}

fn tee_gone(place: &Place) -> Result<(), Failure> {
    let all = lines("old", 5000);
    place.input("many", &all);
    let ran = place
        .shell("mq-produce -q --batch-size 4KiB -T t < many | head -1; echo ${PIPESTATUS[@]}")?
        .expect(0)?;
    hold!(
        ran.lines() == [all[0].as_str(), "0 0"],
        "{:?}: {}",
        ran.lines(),
        ran.stderr
    );
    let there = check_log(place, "t", &[&all], &[])?;
    hold!(
        there.len() == all.len(),
        "{} of {} are stored",
        there.len(),
        all.len()
    );
    works_on(place, "t")
}

fn interrupted_consumer(place: &Place, group: bool) -> Result<(), Failure> {
    let all = many(place)?;
    let args: &[&str] = if group { &["-g", "g", "t"] } else { &["t"] };
    let consumer = place.start(&[], "mq-consume", args, None)?;
    let begun = Instant::now();
    while consumer
        .printed()
        .iter()
        .filter(|byte| **byte == b'\n')
        .count()
        < all.len()
    {
        hold!(
            begun.elapsed() < PATIENCE,
            "the consumer does not get to the end"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
    consumer.signal_group(Signal::INT);
    let begun = Instant::now();
    let ran = consumer.end()?;
    hold!(
        ran.signal() == Some(2),
        "{} ended with {}: {}",
        ran.what,
        ran.status,
        ran.stderr
    );
    hold!(
        begun.elapsed() < Duration::from_secs(3),
        "it took {:?}",
        begun.elapsed()
    );
    hold!(ran.lines() == all, "the output is not whole");
    if group {
        let rest = place
            .run("mq-consume", &["-g", "g", "-e", "t"])?
            .expect(0)?;
        hold!(
            rest.stdout.is_empty(),
            "not committed: {} lines again",
            rest.lines().len()
        );
    }
    works_on(place, "t")
}

/// Nobody reads its output and the first signal may have to wait; the second does not.
fn interrupted_twice(place: &Place) -> Result<(), Failure> {
    many(place)?;
    let mut child = Command::new(tool("mq-consume"))
        .arg("t")
        .env("MQ_STORE", place.store())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|e| e.to_string())?;
    std::thread::sleep(Duration::from_millis(300));
    let begun = Instant::now();
    let pid = rustix::process::Pid::from_child(&child);
    for _ in 0..2 {
        let _ = rustix::process::kill_process(pid, Signal::INT);
        std::thread::sleep(Duration::from_millis(50));
    }
    let status = loop {
        if let Some(status) = child.try_wait().map_err(|e| e.to_string())? {
            break status;
        }
        if begun.elapsed() > Duration::from_secs(2) {
            let _ = child.kill();
            let _ = child.wait();
            return Err("two signals did not end it".to_owned());
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let signal = std::os::unix::process::ExitStatusExt::signal(&status);
    hold!(signal == Some(2), "it ended with {status}");
    works_on(place, "t")
}

fn interrupted_producer(place: &Place) -> Result<(), Failure> {
    use std::io::Write as _;
    let all = lines("old", 30);
    let fifo = place.dir().join("fifo");
    let made = Command::new("mkfifo").arg(&fifo).status();
    hold!(made.is_ok_and(|status| status.success()), "mkfifo");
    // Opened for both, so that neither end waits for the other.
    let mut writer = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(&fifo)
        .map_err(|e| e.to_string())?;
    let producer = place.start(&[], "mq-produce", &["-q", "-o", ECHO, "t"], Some(&fifo))?;
    let text = all.join("\n") + "\nhalf a line";
    writer
        .write_all(text.as_bytes())
        .map_err(|e| e.to_string())?;
    let begun = Instant::now();
    while producer
        .printed()
        .iter()
        .filter(|byte| **byte == b'\n')
        .count()
        < all.len()
    {
        hold!(
            begun.elapsed() < PATIENCE,
            "idle input, but not all is acknowledged"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
    producer.signal_group(Signal::INT);
    let ran = producer.end()?;
    hold!(
        ran.signal() == Some(2),
        "{} ended with {}: {}",
        ran.what,
        ran.status,
        ran.stderr
    );
    let there = check_log(place, "t", &[&all], &acknowledged(&ran)?)?;
    hold!(
        there.len() == all.len(),
        "{} records are stored",
        there.len()
    );
    works_on(place, "t")
}

#[test]
fn faults_of_the_machine_lose_nothing() {
    static HELD: Mutex<usize> = Mutex::new(0);
    let mut cases = Cases::default();
    cases.add("a full disk", full_disk);
    if proc::has("prlimit") {
        let mut limits: Vec<usize> = (1..=24).map(|step| step * 1024).collect();
        limits.extend([4100, 4607, 4608, 4609, 8191, 8193, 15_001, 15_555]);
        for limit in limits {
            cases.add(format!("files of at most {limit}"), move |p| {
                limited(p, limit, false)
            });
            if limit % 2048 == 0 {
                let name = format!("files of at most {limit}, from nothing");
                cases.add(name, move |p| limited(p, limit, true));
            }
        }
    } else {
        println!("file size limits: skipped: prlimit is missing");
    }
    for count in 5..=24 {
        cases.add(format!("{count} descriptors"), move |p| {
            few_descriptors(p, count)
        });
    }
    cases.add("a consumer's reader that goes away", reader_gone);
    cases.add("a tee's reader that goes away", tee_gone);
    cases.add("an interrupted consumer", |p| {
        interrupted_consumer(p, false)
    });
    cases.add("an interrupted member", |p| interrupted_consumer(p, true));
    cases.add("a consumer interrupted twice", interrupted_twice);
    cases.add("an interrupted producer", interrupted_producer);
    let strace = proc::has_strace("faults that strace injects");
    if strace {
        for n in 1..=8 {
            cases.add(format!("fdatasync {n} fails"), move |p| {
                failed_sync(p, n, &[])
            });
            let name = format!("fdatasync {n} fails, rolling");
            cases.add(name, move |p| {
                failed_sync(p, n, &["-c", "segment.bytes=1024"])
            });
        }
        for n in 1..=14 {
            let fault = format!("fsync:error=EIO:when={n}");
            let name = format!("fsync {n} fails, from nothing");
            let copy = fault.clone();
            cases.add(name, move |p| survived(p, &copy, None));
            if n <= 4 {
                let name = format!("fsync {n} fails, rolling");
                cases.add(name, move |p| {
                    survived(p, &fault, Some(&["-c", "segment.bytes=1024"]))
                });
            }
        }
        for call in [
            "pwrite64",
            "fdatasync",
            "fsync",
            "ftruncate",
            "renameat",
            "flock",
            "write",
        ] {
            for first in 1..=3 {
                let fault = format!("{call}:error=EINTR:when={first}+4");
                let name = format!("{call} is interrupted at {first} and each fourth");
                cases.add(name, move |p| survived(p, &fault, Some(&[])));
            }
        }
        for first in [8, 9, 10, 11] {
            // Those before are the dynamic loader's.
            let fault = format!("read:error=EINTR:when={first}+4");
            let name = format!("read is interrupted at {first} and each fourth");
            cases.add(name, move |p| survived(p, &fault, Some(&[])));
        }
        for n in 1..=8 {
            cases.add(format!("stopped at pwrite64 {n}"), move |p| {
                stopped_holder(p, n, &HELD)
            });
        }
    }
    let score = Score::default();
    cases.run(&score);
    let held = *HELD.lock().expect("held");
    println!("{held} stopped holders of an append lock");
    score.close("faults");
    assert!(
        !strace || held > 0,
        "nobody was stopped while holding the append lock"
    );
}
