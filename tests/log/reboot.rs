//! The real tools over a reboot: another boot id with a torn log, and a file system that is shut
//! down under its writers. What was acknowledged is there, and what was shown is not renamed.

use crate::proc;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::common::switches::is_long;
use crate::proc::{Failure, Place, Ran, Running, Score, Seen, acknowledged, check_log, works_on};
use rustix::process::Signal;
use serde_json::Value;

const REPLICA: &str = "brokers/0/logs/t-0";
const ECHO: &str = "%p %o %v\\n";
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

fn lines(producer: &str, count: usize) -> Vec<String> {
    (0..count)
        .map(|n| format!("{producer} {n} is a line of some length, so that files grow {n}"))
        .collect()
}

fn create(place: &Place, configs: &[&str]) -> Result<(), Failure> {
    let args: Vec<&str> = ["create", "t"]
        .into_iter()
        .chain(configs.iter().copied())
        .collect();
    place.run("mq-topics", &args)?.expect(0).map(drop)
}

/// What a process runs behind to see another boot id.
fn in_boot(place: &Place, n: u8) -> Vec<String> {
    let file = place.dir().join(format!("boot{n}"));
    let id = format!("{n:08}-0000-4000-8000-000000000000\n");
    fs::write(&file, id).expect("a boot id");
    let script = format!("mount --bind {} {BOOT_ID} && exec \"$@\"", file.display());
    ["unshare", "-m", "sh", "-c", &script, "sh"]
        .map(str::to_owned)
        .to_vec()
}

fn run_in(
    place: &Place,
    boot: u8,
    name: &str,
    args: &[&str],
    input: Option<&Path>,
) -> Result<Ran, Failure> {
    let prefix = in_boot(place, boot);
    let prefix: Vec<&str> = prefix.iter().map(String::as_str).collect();
    place.start(&prefix, name, args, input)?.end()
}

fn may_change_boots() -> bool {
    let place = Place::new("boot");
    let prefix = in_boot(&place, 9);
    let output = Command::new(&prefix[0])
        .args(&prefix[1..])
        .args(["cat", BOOT_ID])
        .stderr(Stdio::null())
        .output();
    place.remove();
    output.is_ok_and(|out| out.stdout.starts_with(b"00000009-"))
}

/// The newest of the page's two copies.
fn page(place: &Place) -> Result<Vec<u8>, Failure> {
    let path = place.store().join(REPLICA).join("partition.state");
    let raw = fs::read(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let number = |copy: &[u8]| u64::from_le_bytes(copy[8..16].try_into().expect("8 bytes"));
    let (first, second) = raw.split_at(4096);
    Ok(if number(first) > number(second) {
        first.to_vec()
    } else {
        second.to_vec()
    })
}

/// Log end and durable offset, by the page.
fn ends(place: &Place) -> Result<(i64, i64), Failure> {
    let page = page(place)?;
    let at = |at: usize| i64::from_le_bytes(page[at..at + 8].try_into().expect("8 bytes"));
    Ok((at(168), at(232)))
}

/// The last segment of the log.
fn last_log(place: &Place) -> Result<PathBuf, Failure> {
    let entries = fs::read_dir(place.store().join(REPLICA)).map_err(|e| e.to_string())?;
    let mut logs: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|e| e == "log"))
        .collect();
    logs.sort();
    logs.pop().ok_or_else(|| "no log".to_owned())
}

/// A write that the power cut through.
fn tear(place: &Place, torn: &[u8]) -> Result<(), Failure> {
    let path = last_log(place)?;
    OpenOptions::new()
        .append(true)
        .open(&path)
        .and_then(|mut file| file.write_all(torn))
        .map_err(|e| format!("{}: {e}", path.display()))
}

/// The files that keep what was cut.
fn cuts(place: &Place) -> Result<Vec<(String, Vec<u8>)>, Failure> {
    let entries = fs::read_dir(place.store().join(REPLICA)).map_err(|e| e.to_string())?;
    let mut cuts = Vec::new();
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        if path.extension().is_some_and(|e| e == "cut") {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            cuts.push((
                name.into_owned(),
                fs::read(&path).map_err(|e| e.to_string())?,
            ));
        }
    }
    cuts.sort();
    Ok(cuts)
}

/// Starts a producer, and kills it once it has acknowledged so many records.
fn produce_and_kill(place: &Place, input: &Path, least: usize) -> Result<Ran, Failure> {
    let args = ["-q", "--batch-size", "1KiB", "-o", ECHO, "t"];
    let producer = place.start(&[], "mq-produce", &args, Some(input))?;
    let begun = Instant::now();
    while producer.lines_so_far() < least && begun.elapsed() < Duration::from_secs(5) {
        std::thread::sleep(Duration::from_micros(200));
    }
    producer.signal_group(Signal::KILL);
    producer.end()
}

/// A producer is killed, the power goes and leaves a torn tail, the machine comes up again.
fn torn_tail(place: &Place, configs: &[&str], least: usize) -> Result<(), Failure> {
    create(place, configs)?;
    let sent = lines("old", 5_000);
    let input = place.input("old", &sent);
    let killed = produce_and_kill(place, &input, least)?;
    let owed = acknowledged(&killed)?;
    hold!(owed.len() >= least, "only {} acknowledged", owed.len());
    let torn = b"a torn write: no batch begins so".repeat(5);
    tear(place, &torn)?;
    let sound = run_in(place, 1, "mq-consume", &["-q", "-e", "t"], None)?.expect(0)?;
    hold!(
        sound.lines().len() >= owed.len(),
        "{} acknowledged, {} there",
        owed.len(),
        sound.lines().len()
    );
    let (end, durable) = ends(place)?;
    hold!(
        end == durable && end == sound.lines().len() as i64,
        "the log ends at {end}, is durable up to {durable}, and {} were read",
        sound.lines().len()
    );
    let first = cuts(place)?;
    let [(name, kept)] = first.as_slice() else {
        return Err(format!("{} files of cuts", first.len()));
    };
    hold!(
        *name == format!("{end:020}.cut") && kept.ends_with(&torn),
        "{name} keeps other bytes"
    );
    // The same again: the power went before anything was appended.
    tear(place, b"torn again")?;
    let one = place.input("one", &["after".to_owned()]);
    let args = ["-o", ECHO, "t"];
    let reported = run_in(place, 2, "mq-produce", &args, Some(&one))?.expect(0)?;
    let second = format!("{end:020}.2.cut");
    hold!(
        reported.stderr.contains(&second) && reported.stderr.contains("10 bytes"),
        "the cut is not reported: {}",
        reported.stderr
    );
    let now = cuts(place)?;
    hold!(
        now == [
            (second, b"torn again".to_vec()),
            (name.clone(), kept.clone())
        ],
        "{} files of cuts",
        now.len()
    );
    let ends = ends(place)?;
    // Without syncs the new record waits for one.
    let durable = end + i64::from(!configs.contains(&"flush.messages=never"));
    hold!(
        ends == (end + 1, durable),
        "after one more record end and durable offset are {ends:?}, not {} and {durable}",
        end + 1
    );
    let after = acknowledged(&reported)?;
    hold!(
        after.first().is_some_and(|record| record.offset == end),
        "{after:?} does not follow {end}"
    );
    let all: Vec<Seen> = owed.into_iter().chain(after).collect();
    check_log(place, "t", &[&sent, &["after".to_owned()]], &all)?;
    works_on(place, "t")
}

/// (leader epoch, offset, value) of every record.
fn named(ran: &Ran) -> Result<Vec<(i64, i64, String)>, Failure> {
    let parse = |line: String| {
        let row: Value = serde_json::from_str(&line).map_err(|e| format!("{line}: {e}"))?;
        let whole = || {
            Some((
                row["leader_epoch"].as_i64()?,
                row["offset"].as_i64()?,
                row["value"].as_str()?.to_owned(),
            ))
        };
        whole().ok_or_else(|| format!("not a record: {line}"))
    };
    ran.lines().into_iter().map(parse).collect()
}

/// Without syncs a power cut takes records that were shown: their names are not used again.
fn shown_and_lost(place: &Place, keep: f64, reader_first: bool) -> Result<(), Failure> {
    create(place, &["-c", "flush.messages=never"])?;
    let sent = lines("old", 200);
    let input = place.input("old", &sent);
    place
        .feed("mq-produce", &["-q", "--batch-size", "1KiB", "t"], &input)?
        .expect(0)?;
    let shown = named(&place.run("mq-consume", &["-J", "-e", "t"])?.expect(0)?)?;
    hold!(shown.len() == sent.len(), "{} shown", shown.len());
    let log = last_log(place)?;
    let len = fs::metadata(&log).map_err(|e| e.to_string())?.len();
    OpenOptions::new()
        .write(true)
        .open(&log)
        .and_then(|file| file.set_len((len as f64 * keep) as u64))
        .map_err(|e| e.to_string())?;
    let mut left = None;
    if reader_first {
        let ran = run_in(place, 1, "mq-consume", &["-J", "-e", "t"], None)?.expect(0)?;
        left = Some(named(&ran)?);
    }
    let new = lines("new", 30);
    let input = place.input("new", &new);
    let args = ["-q", "--batch-size", "1KiB", "-o", ECHO, "t"];
    let ran = run_in(place, 1, "mq-produce", &args, Some(&input))?.expect(0)?;
    let acked = acknowledged(&ran)?;
    hold!(acked.len() == new.len(), "{} acknowledged", acked.len());
    let there = named(&run_in(place, 1, "mq-consume", &["-J", "-e", "t"], None)?.expect(0)?)?;
    let kept = there.len() - new.len();
    hold!(kept < shown.len(), "nothing was cut");
    hold!(
        there[..kept] == shown[..kept] && left.is_none_or(|left| left == shown[..kept]),
        "what is left differs from what was shown"
    );
    for (epoch, offset, value) in &there[kept..] {
        hold!(
            !shown.iter().any(|(e, o, _)| (e, o) == (epoch, offset)),
            "({epoch}, {offset}) names {value:?}, and named another record"
        );
        hold!(
            *epoch > 0,
            "no new leader epoch at {offset}: the seal is not lifted by one"
        );
    }
    let values: Vec<&String> = there[kept..].iter().map(|(_, _, value)| value).collect();
    hold!(
        values == new.iter().collect::<Vec<_>>(),
        "other records than those that were sent"
    );
    run_in(place, 1, "mq-topics", &["verify", "--deep"], None)?
        .expect(0)
        .map(drop)
}

/// A failed sync, and then the page is lost: the mark of the failure is not.
fn failed_sync_without_a_page(place: &Place, n: usize, lost: &[u64]) -> Result<(), Failure> {
    create(place, &[])?;
    let sent = lines("new", 100);
    let input = place.input("new", &sent);
    let inject = format!("inject=fdatasync:error=EIO:when={n}");
    let prefix = [
        "strace",
        "-f",
        "-qq",
        "-o",
        "trace",
        "-e",
        "trace=fdatasync",
        "-e",
        &inject,
    ];
    let args = ["-q", "--batch-size", "1KiB", "-o", ECHO, "t"];
    let ran = place
        .start(&prefix, "mq-produce", &args, Some(&input))?
        .end()?;
    if ran.code() == Some(0) {
        // Fewer syncs than that covered everything.
        let trace = fs::read_to_string(place.dir().join("trace")).unwrap_or_default();
        hold!(!trace.contains("INJECTED"), "a failed sync, and 0");
        return Ok(());
    }
    hold!(
        matches!(ran.code(), Some(1 | 74)),
        "{} ended with {}",
        ran.what,
        ran.status
    );
    let state = place.store().join(REPLICA).join("partition.state");
    let mut raw = fs::read(&state).map_err(|e| e.to_string())?;
    let newer = usize::from(raw[8..16].iter().rev().lt(raw[4104..4112].iter().rev()));
    for copy in lost {
        // 0: the newer one, 1: the other.
        let at = 4096 * (newer ^ *copy as usize);
        raw[at..at + 512].fill(0x55);
    }
    fs::write(&state, &raw).map_err(|e| e.to_string())?;
    let one = place.input("one", &["refused".to_owned()]);
    let refused = place
        .feed("mq-produce", &["-o", ECHO, "t"], &one)?
        .expect(1)?;
    hold!(
        refused.stdout.is_empty() && refused.stderr.contains("--repair truncate"),
        "not refused: {}",
        refused.stderr
    );
    place
        .run(
            "mq-topics",
            &["verify", "--repair", "truncate", "--yes", "t"],
        )?
        .expect(0)?;
    check_log(place, "t", &[&sent], &acknowledged(&ran)?)?;
    works_on(place, "t")
}

/// A file system in a file, mounted for a case.
struct Ext4 {
    image: PathBuf,
    at: PathBuf,
}

impl Ext4 {
    fn make(place: &Place) -> Option<Ext4> {
        let (image, at) = (place.dir().join("image"), place.dir().join("mnt"));
        fs::create_dir(&at).ok()?;
        fs::File::create(&image).ok()?.set_len(96 << 20).ok()?;
        let made = Command::new("mkfs.ext4")
            .args(["-q", "-F"])
            .arg(&image)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        let ext4 = Ext4 { image, at };
        (made.is_ok_and(|status| status.success()) && ext4.mount()).then_some(ext4)
    }

    fn mount(&self) -> bool {
        let mut mount = Command::new("mount");
        mount.args(["-o", "loop"]).arg(&self.image).arg(&self.at);
        mount
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    }

    fn unmount(&self) -> bool {
        let mut umount = Command::new("umount");
        umount.arg(&self.at).stderr(Stdio::null());
        umount.status().is_ok_and(|status| status.success())
    }

    /// From here on nothing reaches the image: EXT4_IOC_SHUTDOWN, `how` 1 with the journal
    /// written out, 2 without.
    fn shut_down(&self, how: u32) -> bool {
        let script = "import fcntl, os, struct, sys\n\
                      fd = os.open(sys.argv[1], os.O_RDONLY)\n\
                      fcntl.ioctl(fd, 0x8004587D, struct.pack('I', int(sys.argv[2])))\n";
        let mut python = Command::new("python3");
        python.args(["-c", script]).arg(&self.at);
        python
            .arg(how.to_string())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    }
}

impl Drop for Ext4 {
    fn drop(&mut self) {
        let _ = Command::new("umount")
            .arg("-l")
            .arg(&self.at)
            .stderr(Stdio::null())
            .status();
    }
}

/// Whether there may be a file system to shut down; says why not.
fn may_shut_down() -> bool {
    for program in ["mkfs.ext4", "python3", "mount"] {
        if !proc::has(program) && !Path::new("/usr/sbin").join(program).exists() {
            println!("a file system that is shut down: skipped: {program} is missing");
            return false;
        }
    }
    let place = Place::new("ext4");
    let works = Ext4::make(&place).is_some_and(|ext4| ext4.shut_down(2));
    place.remove();
    if !works {
        println!("a file system that is shut down: skipped: may not mount, or not shut it down");
    }
    works
}

/// Producers at work on a file system whose power goes.
fn shut_down(
    place: &Place,
    how: u32,
    configs: &[&str],
    least: usize,
    boot: Option<u8>,
) -> Result<(), Failure> {
    let ext4 = Ext4::make(place).ok_or("no file system")?;
    // What the tools print goes beside it.
    let place = &place.with_store(ext4.at.join("store"));
    create(place, configs)?;
    let sent: Vec<Vec<String>> = ["a", "b"]
        .iter()
        .map(|producer| lines(producer, 100_000))
        .collect();
    let mut producers = Vec::new();
    for (producer, lines) in sent.iter().enumerate() {
        let input = place.input(&format!("in{producer}"), lines);
        let args = ["-q", "--batch-size", "1KiB", "-o", ECHO, "t"];
        producers.push(place.start(&[], "mq-produce", &args, Some(&input))?);
    }
    let begun = Instant::now();
    while producers.iter().map(Running::lines_so_far).min() < Some(least)
        && begun.elapsed() < Duration::from_secs(8)
    {
        std::thread::sleep(Duration::from_millis(1));
    }
    hold!(ext4.shut_down(how), "could not be shut down");
    let mut owed = Vec::new();
    for producer in producers {
        let ran = producer.end()?;
        hold!(
            matches!(ran.code(), Some(code) if code != 0) && !ran.stderr.contains("panicked"),
            "{}",
            ran.ending()
        );
        owed.extend(acknowledged(&ran)?);
    }
    hold!(owed.len() >= 2 * least, "only {} acknowledged", owed.len());
    hold!(ext4.unmount() && ext4.mount(), "could not be mounted again");
    let prefix = boot.map_or(Vec::new(), |boot| in_boot(place, boot));
    let prefix: Vec<&str> = prefix.iter().map(String::as_str).collect();
    let one = place.input("one", &["after".to_owned()]);
    let reported = place
        .start(&prefix, "mq-produce", &["-o", ECHO, "t"], Some(&one))?
        .end()?
        .expect(0)?;
    owed.extend(acknowledged(&reported)?);
    let after = vec!["after".to_owned()];
    check_log(place, "t", &[&sent[0], &sent[1], &after], &owed)?;
    works_on(place, "t")?;
    hold!(ext4.unmount(), "could not be unmounted");
    Ok(())
}

#[test]
fn a_reboot_loses_nothing_that_was_acknowledged() {
    let score = Score::default();
    if may_change_boots() {
        for (configs, least) in [
            (&[][..], 20),
            (&["-c", "segment.bytes=4096"][..], 100),
            (&["-c", "flush.messages=10"][..], 50),
            (&["-c", "flush.messages=never"][..], 50),
        ] {
            score.case(&format!("a torn tail {configs:?}"), |place| {
                torn_tail(place, configs, least)
            });
        }
        for keep in [0.9, 0.5, 0.01] {
            for reader_first in [true, false] {
                let name = format!("{keep} of what was shown, read first: {reader_first}");
                score.case(&name, |place| shown_and_lost(place, keep, reader_first));
            }
        }
    } else {
        println!("another boot id: skipped: may not unshare and mount");
    }
    if proc::has_strace("a failed sync without a page") {
        for n in [1, 2, 3] {
            for (what, lost) in [("both copies", &[0, 1][..]), ("the newer copy", &[0][..])] {
                let name = format!("fdatasync {n} fails, then {what} of the page are lost");
                score.case(&name, |place| failed_sync_without_a_page(place, n, lost));
            }
        }
    }
    if may_shut_down() {
        let rounds = if is_long() { 10 } else { 1 };
        for round in 0..rounds {
            for (how, configs, boot) in [
                (1, &[][..], None),
                (2, &[][..], Some(3)),
                (2, &["-c", "segment.bytes=16384"][..], None),
                (2, &["-c", "segment.bytes=16384"][..], Some(3)),
            ] {
                let boot = boot.filter(|_| may_change_boots());
                let name = format!("ext4 shut down, {how} {configs:?} {boot:?}, round {round}");
                score.case(&name, |place| {
                    shut_down(place, how, configs, 30 + 40 * round, boot)
                });
            }
        }
    }
    score.close("reboot");
}
