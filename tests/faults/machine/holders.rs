//! Holders of locks that are stopped.

use std::fs;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::calls::PRODUCE;
use super::logs::{ECHO, lines, prepare};
use crate::proc::{Failure, Place, Running, acknowledged, check_log, seen, works_on};

/// The process that strace runs.
pub fn traced(strace: &Running) -> Option<u32> {
    let pid = strace.child.id();
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok()
}

pub fn stopped_holder(place: &Place, n: usize, held: &Mutex<usize>) -> Result<(), Failure> {
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
