//! Signals that ask to stop.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::logs::{ECHO, lines};
use super::readers::many;
use crate::proc::{Failure, Place, acknowledged, check_log, tool, works_on};

pub fn interrupted_consumer(place: &Place, group: bool) -> Result<(), Failure> {
    let all = many(place)?;
    let args: &[&str] = if group { &["-g", "g", "t"] } else { &["t"] };
    let consumer = place.start(&[], "mq-consume", args, None)?;
    consumer.prints(all.len())?;
    consumer.signal_group(Signal::INT);
    let begun = Instant::now();
    let ran = consumer.end()?;
    hold!(ran.signal() == Some(2), "{}", ran.ending());
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
pub fn interrupted_twice(place: &Place) -> Result<(), Failure> {
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

pub fn interrupted_producer(place: &Place) -> Result<(), Failure> {
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
    producer.prints(all.len())?;
    producer.signal_group(Signal::INT);
    let ran = producer.end()?;
    hold!(ran.signal() == Some(2), "{}", ran.ending());
    let there = check_log(place, "t", &[&all], &acknowledged(&ran)?)?;
    hold!(
        there.len() == all.len(),
        "{} records are stored",
        there.len()
    );
    works_on(place, "t")
}
