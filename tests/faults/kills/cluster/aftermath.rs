//! What must hold after a kill.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use mq::partition::{PAGE_FILE, Replica};
use mq::store::layout::parse_replica_dir;
use mq::types::TopicPartition;

use super::play::Play;
use crate::proc::{Failure, TIMEOUT, check_log, works_on};

/// With the victim's next life, or without it first, all goes on.
pub fn goes_on(
    play: &mut Play<'_>,
    others_first: bool,
    after: fn(&mut Play<'_>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut live = 0;
    for id in 1..=3 {
        live += usize::from(play.lives(id)?);
    }
    if others_first && live == 2 {
        play.produce(10)?;
    }
    play.start_all()?;
    after(play)?;
    play.poured()?;
    ends(play, "all is well", |play| {
        Ok(trouble(play)
            .map_err(|e| format!("{e}\n{}", play.report()))?
            .is_none())
    })
    .map_err(|e| match trouble(play) {
        Ok(Some(trouble)) => format!("{trouble}\n{e}"),
        _ => e,
    })?;
    let sent: Vec<&[String]> = play.sent.iter().map(Vec::as_slice).collect();
    check_log(play.place, "t", &sent, &play.owed)?;
    works_on(play.place, "t")
}

/// That something comes to hold in time.
pub fn ends(
    play: &mut Play<'_>,
    what: &str,
    holds: impl Fn(&mut Play<'_>) -> Result<bool, Failure>,
) -> Result<(), Failure> {
    let begun = Instant::now();
    while !holds(play)? {
        hold!(
            begun.elapsed() < TIMEOUT,
            "not after {TIMEOUT:?}: {what}\n{}",
            play.report()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// A topic that was being made is whole or not there; it can be made.
pub fn made(play: &mut Play<'_>) -> Result<(), Failure> {
    let described = play
        .place
        .run("mq-topics", &["describe", "u", "--format", "tsv"])?;
    let is_missing = described.stderr.contains("UNKNOWN_TOPIC");
    hold!(
        (described.code() == Some(0) && described.lines().len() == 2)
            || (described.code() == Some(1) && is_missing),
        "{}",
        described.ending()
    );
    if is_missing {
        play.command(&["create", "u", "-p", "2", "-r", "3"])?;
    }
    play.place
        .run(
            "mq-topics",
            &["create", "u", "-p", "2", "-r", "3", "--if-not-exists"],
        )?
        .expect(0)?;
    ends(play, "u is whole", |play| play.whole("u"))?;
    works_on(play.place, "u")
}

/// What is not yet as it should be.
fn trouble(play: &mut Play<'_>) -> Result<Option<String>, Failure> {
    let store = play.store()?;
    let all = play.topic_files()?;
    let mut due = Vec::new();
    for meta in &all {
        if !meta.retired.is_empty() {
            return Ok(Some(format!(
                "{} has retired {:?}",
                meta.name, meta.retired
            )));
        }
        for partition in &meta.partitions {
            let name = format!("{}-{}", meta.name, partition.partition);
            if partition.reassignment.is_some() || partition.isr.len() < partition.replicas.len() {
                return Ok(Some(format!("{name}: {partition:?}")));
            }
            let tp = TopicPartition::new(meta.name.clone(), partition.partition);
            let mut logs = Vec::new();
            for replica in &partition.replicas {
                let opened = Replica::open(&store, &tp, replica.broker);
                let page = opened
                    .and_then(|opened| opened.read_page())
                    .map_err(|e| e.to_string())?;
                if !page.is_some_and(|page| page.seal.is_none() && page.offline.is_none()) {
                    return Ok(Some(format!("{name} of {}: {page:?}", replica.broker)));
                }
                let dir = logs_of(play, replica.broker).join(&name);
                logs.push(log(&dir)?);
                due.push(dir);
            }
            if let Some(at) = logs.iter().position(|log| *log != logs[0]) {
                let sizes: Vec<_> = logs.iter().map(Vec::len).collect();
                return Ok(Some(format!(
                    "{name}: replica {at} differs: {sizes:?} bytes"
                )));
            }
        }
    }
    for id in 1..=3 {
        for path in listed(&logs_of(play, id))? {
            if !due.contains(&path) && !is_accounted_for(&path) {
                return Ok(Some(format!("left over: {}", path.display())));
            }
        }
    }
    let topics = listed(&play.place.store().join("topics"))?;
    let brokers = listed(&play.place.store().join("brokers"))?;
    if topics.len() != all.len() || brokers.iter().any(|path| !is_broker(path)) {
        return Ok(Some(format!("left over: {topics:?} {brokers:?}")));
    }
    Ok(None)
}

fn logs_of(play: &Play<'_>, id: i32) -> PathBuf {
    play.place.store().join(format!("brokers/{id}/logs"))
}

/// The claim; and a directory nobody had filled yet, which is given a minute.
fn is_accounted_for(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let page = fs::read(path.join(PAGE_FILE)).unwrap_or_default();
    name == "meta.properties"
        || (parse_replica_dir(&name).is_none() && page.iter().all(|byte| *byte == 0))
}

/// One in the making that nobody has locked yet is given a minute.
fn is_broker(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.parse::<i32>().is_ok() || !path.join("lock.0/0").exists()
}

fn listed(dir: &Path) -> Result<Vec<PathBuf>, Failure> {
    let error = |e: std::io::Error| format!("{}: {e}", dir.display());
    let mut all = Vec::new();
    for entry in fs::read_dir(dir).map_err(error)? {
        all.push(entry.map_err(error)?.path());
    }
    all.sort();
    Ok(all)
}

/// A replica's batches.
fn log(dir: &Path) -> Result<Vec<u8>, Failure> {
    let mut all = Vec::new();
    for path in listed(dir)? {
        if path.extension().is_some_and(|found| found == "log") {
            all.extend(fs::read(&path).map_err(|e| e.to_string())?);
        }
    }
    Ok(all)
}
