//! `mq-topics verify`, and its repairs.

use std::collections::BTreeMap;
use std::io::BufWriter;
use std::sync::Arc;

use super::job::Verify;
use crate::cli::common::TIMEOUT;
use crate::cli::consent::Consent;
use crate::cli::output::{Cell, Column, OutputFormat, RowPrinter};
use crate::cli::stdout::Stdout;
use crate::cli::{Env, Failures, Outcome};
use crate::client::topics::Stray;
use crate::client::{Admin, StoreDir, Verified, brokers, files, groups, repair_refused};
use crate::error::{Error, Kind, Result, shell_word};
use crate::types::{BrokerId, TopicPartition};

const COLUMNS: [Column; 11] = [
    Column::text("topic"),
    Column::number("partition").short("part"),
    Column::text("state"),
    Column::number("segments").short("segs").minor(),
    Column::number("batches").minor(),
    Column::number("records"),
    Column::size("size_bytes").short("size"),
    Column::text("file"),
    Column::number("position"),
    Column::text("finding"),
    Column::number("broker"),
];

/// Verifies, and repairs if asked.
pub fn verify(job: Verify, env: &mut Env) -> Result<Outcome> {
    let store = env.open_store()?;
    let admin = Admin::new(&store, TIMEOUT);
    let all = job.wanted.is_empty();
    if all {
        // An incomplete line is what a killed process leaves, and is ignored; group.json is written
        // again when the group changes. Both are worth a note, but no data is damaged.
        for note in groups::findings(&store)? {
            env.warn(&note);
        }
    }
    let mut failures = Failures::default();
    let (chosen, unmatched) = job.wanted.resolve_or_all(|| admin.list())?;
    failures.notify_all(env, &unmatched);
    // A partition of a named topic, or of any topic if none was named.
    let is_meant = |tp: &TopicPartition| {
        let named = chosen.iter().find(|one| one.topic == tp.topic);
        all || named.is_some_and(|one| one.has(tp.partition))
    };
    let strays: Vec<Stray> = admin
        .strays()?
        .into_iter()
        .filter(|stray| is_meant(&stray.tp))
        .collect();
    let mut observed = Vec::new();
    let mut unseen = Vec::new();
    // Brokers whose log directory cannot be used, and how many replicas each has there.
    let mut unusable: BTreeMap<BrokerId, (Error, usize)> = BTreeMap::new();
    let mut rows = RowPrinter::stdout(env, &COLUMNS, job.output);
    // The rows come after the repair and show its result. Only a person who is asked sees a table of
    // the damage first, and one of the result afterwards.
    let is_read_first =
        job.repair == Some(Consent::Ask) && job.output.format == OutputFormat::Table;
    let after_repair = match job.repair {
        Some(Consent::Given) => true,
        Some(Consent::Ask) => !is_read_first,
        Some(Consent::DryRun) | None => false,
    };
    for chosen in &chosen {
        let name = &chosen.topic;
        let found_by = admin
            .metadata(name)
            .and_then(|meta| chosen.partitions_of(&meta).map(|_| meta));
        let meta = match found_by {
            Ok(meta) => meta,
            Err(e) => {
                failures.notify(env, &e);
                continue;
            }
        };
        for partition in meta.partitions.iter().filter(|p| chosen.has(p.partition)) {
            let tp = TopicPartition::new(name.clone(), partition.partition);
            // A repair needs to know all of the damage.
            let deep = job.deep || job.repair.is_some();
            for replica in &partition.replicas {
                let broker = replica.broker;
                if let Some((_, count)) = unusable.get_mut(&broker) {
                    *count += 1;
                    unseen.push((tp.clone(), broker));
                    continue;
                }
                match admin.verify_replica(&tp, broker, deep) {
                    Ok(verified) => {
                        if !after_repair {
                            enter(&mut rows, &verified, None)?;
                        }
                        observed.push(verified);
                    }
                    Err(e) => {
                        unseen.push((tp.clone(), broker));
                        match brokers::refuse_unusable(&store, broker) {
                            Err(of_all) => {
                                unusable.insert(broker, (of_all, 1));
                            }
                            Ok(()) => {
                                failures.notify(env, &e.at(format!("{tp} on broker {broker}")));
                            }
                        }
                    }
                }
            }
        }
    }
    let rows = if after_repair {
        Some(rows)
    } else {
        enter_strays(&mut rows, &strays)?;
        rows.finish()?;
        None
    };
    for (broker, (e, count)) in unusable {
        let replicas = if count == 1 { "replica" } else { "replicas" };
        let place = format!("broker {broker}: {count} {replicas} could not be checked");
        failures.notify(env, &e.at(place));
    }
    for stray in &strays {
        env.warn(&format!(
            "{}: {STRAY}; {}",
            stray.path.display(),
            cure_of(stray)
        ));
    }
    let damaged: Vec<&Verified> = observed
        .iter()
        .filter(|verified| verified.is_damaged())
        .collect();
    if let Some(consent) = job.repair {
        let (may, kept) = split(damaged, &observed.iter().collect::<Vec<_>>());
        for e in &kept {
            failures.notify(env, e);
        }
        let mut repaired = Vec::new();
        let mut ended = Ok(());
        if kept.is_empty() || !may.is_empty() {
            ended = repair(
                consent,
                &store,
                &may,
                &unseen,
                &mut failures,
                &mut repaired,
                env,
            );
        }
        if let Some(mut rows) = rows {
            // Also after a refusal, since no row was printed before.
            for verified in &observed {
                let of_it = |r: &&Repaired| std::ptr::eq(r.before, verified);
                enter(&mut rows, verified, repaired.iter().find(of_it))?;
            }
            enter_strays(&mut rows, &strays)?;
            rows.finish()?;
        } else if is_read_first && !repaired.is_empty() {
            let mut rows = RowPrinter::stdout(env, &COLUMNS, job.output);
            for one in &repaired {
                enter(&mut rows, one.before, Some(one))?;
            }
            rows.finish()?;
        }
        return ended.map(|()| failures.outcome());
    }
    if let Some(first) = damaged.first() {
        let names = damaged
            .iter()
            .map(|v| name_of(v))
            .collect::<Vec<_>>()
            .join(", ");
        let (kind, what) = damage(&damaged);
        let e = Error::new(kind, format!("{what}: {names}")).cure(format!(
            "'mq-topics verify --repair truncate {}' shows a plan and asks",
            first.tp.topic
        ));
        failures.notify(env, &e);
    }
    Ok(failures.outcome())
}

/// A replica that was repaired.
struct Repaired<'a> {
    before: &'a Verified,
    after: Verified,
}

fn enter(
    rows: &mut RowPrinter<BufWriter<Stdout>>,
    verified: &Verified,
    repaired: Option<&Repaired>,
) -> Result<()> {
    let covered = repaired.map_or(&verified.covered, |repaired| &repaired.after.covered);
    let state = match verified.offline {
        _ if repaired.is_some() => "repaired",
        Some(files::Offline::SyncFailed) => "offline: a sync failed",
        Some(_) => "offline",
        None if verified.is_damaged() => "damaged",
        None => "ok",
    };
    let row = |file: Cell, position: Cell, what: Cell| -> Vec<Cell> {
        vec![
            verified.tp.topic.as_str().into(),
            verified.tp.partition.into(),
            state.into(),
            covered.segments.into(),
            covered.batches.into(),
            covered.records.into(),
            covered.bytes.into(),
            file,
            position,
            what,
            verified.broker.into(),
        ]
    };
    let end = repaired.map(|repaired| format!("the log ends at offset {}", repaired.after.log_end));
    if verified.findings.is_empty() {
        rows.row(row(Cell::Null, Cell::Null, end.clone().into()))?;
    }
    for finding in &verified.findings {
        let file = finding.file.display().to_string();
        let what = match &end {
            Some(end) => format!("{}; {end}", finding.what),
            None => finding.what.clone(),
        };
        rows.row(row(file.into(), finding.position.into(), what.into()))?;
    }
    Ok(())
}

/// The name of a replica in messages: that of a follower includes its broker.
fn name_of(verified: &Verified) -> String {
    if verified.follows {
        format!("{} on broker {}", verified.tp, verified.broker)
    } else {
        verified.tp.to_string()
    }
}

const STRAY: &str = "no topic file names this replica, and nothing shows that it was deleted";

fn cure_of(stray: &Stray) -> String {
    let (topic, partition) = (&stray.tp.topic, stray.tp.partition);
    let id = stray
        .topic_id
        .map_or_else(String::new, |id| format!(" (topic id {id})"));
    format!(
        "if its topic file was lost, put that back as topics/{topic}.json{id}, name the directory \
         {topic}-{partition} and repair it; if not, remove the directory"
    )
}

fn enter_strays(rows: &mut RowPrinter<BufWriter<Stdout>>, strays: &[Stray]) -> Result<()> {
    strays.iter().try_for_each(|stray| enter_stray(rows, stray))
}

fn enter_stray(rows: &mut RowPrinter<BufWriter<Stdout>>, stray: &Stray) -> Result<()> {
    rows.row(vec![
        stray.tp.topic.as_str().into(),
        stray.tp.partition.into(),
        "stray".into(),
        Cell::Null,
        Cell::Null,
        Cell::Null,
        Cell::Null,
        stray.path.display().to_string().into(),
        Cell::Null,
        STRAY.into(),
        Cell::Null,
    ])
}

/// The replicas that can be repaired, and why the others cannot.
fn split<'a>(
    damaged: Vec<&'a Verified>,
    observed: &[&Verified],
) -> (Vec<&'a Verified>, Vec<Error>) {
    let (mut may, mut refused) = (Vec::new(), Vec::new());
    for verified in damaged {
        match repair_refused(verified, observed) {
            Some(e) => refused.push(e),
            None => may.push(verified),
        }
    }
    (may, refused)
}

/// Where a repair kept the bytes that it cut.
fn kept_in(store: &StoreDir, repaired: &TopicPartition, env: &Env) -> String {
    let mut kept = Vec::new();
    for (tp, cut) in store.take_cuts() {
        if tp == *repaired {
            kept.extend(cut.kept);
        } else {
            env.warn(&format!("{tp}: {cut}"));
        }
    }
    let Some(first) = kept.first().map(|path| path.display().to_string()) else {
        return String::new();
    };
    let more = match kept.len() {
        1 => String::new(),
        more => format!(" ({more} files, of which this is the first)"),
    };
    let word = shell_word(&first);
    format!("; to see the batches of the cut part{more}: mq-topics dump --file {word}")
}

/// The plan for repairing a leader's replica. `unseen`: replicas that could not be verified.
fn plan_of(verified: &Verified, unseen: &[(TopicPartition, BrokerId)]) -> String {
    format!("{} {}\n", verified.tp, what_of(verified, unseen))
}

fn what_of(verified: &Verified, unseen: &[(TopicPartition, BrokerId)]) -> String {
    let lost = verified.log_end - verified.sound_end;
    let mut what = if lost > 0 {
        let rest = match verified.bytes_behind {
            0 => "none of their bytes are left".to_owned(),
            bytes => format!("the {bytes} bytes after that point are kept beside the log"),
        };
        let offsets = match lost {
            1 => "1 offset is".to_owned(),
            _ => format!("{lost} offsets are"),
        };
        let sound = match verified.sound_behind {
            0 => String::new(),
            1 => ", 1 undamaged record behind the damage among them".to_owned(),
            more => format!(", {more} undamaged records behind the damage among them"),
        };
        format!(
            "ends at offset {} instead of {}: {offsets} cut{sound}; {rest}",
            verified.sound_end, verified.log_end
        )
    } else {
        format!("keeps all records, up to offset {}", verified.log_end)
    };
    for file in &verified.renewed {
        what.push_str(&format!("; {file} is rebuilt"));
    }
    if verified.may_lose() {
        for (_, broker) in unseen.iter().filter(|(tp, _)| *tp == verified.tp) {
            what.push_str(&format!(
                "; broker {broker}, whose replica could not be checked, loses its records beyond that"
            ));
        }
    }
    what
}

/// The kind and the words of the problem: damaged data, or only replicas that are offline.
fn damage(damaged: &[&Verified]) -> (Kind, &'static str) {
    let mut findings = damaged.iter().flat_map(|verified| &verified.findings);
    if findings.any(|finding| finding.data) {
        (Kind::Damaged, "damaged")
    } else {
        (Kind::Offline, "offline")
    }
}

/// Repairs these replicas if that is wanted; those that are repaired now are added to `repaired`.
fn repair<'a>(
    consent: Consent,
    store: &Arc<StoreDir>,
    damaged: &[&'a Verified],
    unseen: &[(TopicPartition, BrokerId)],
    failures: &mut Failures,
    repaired: &mut Vec<Repaired<'a>>,
    env: &mut Env,
) -> Result<()> {
    if damaged.is_empty() {
        // The state of replicas that could not be verified is unknown.
        if matches!(failures.outcome(), Outcome::Done) {
            env.note("nothing needs a repair");
        }
        return Ok(());
    }
    let mut plan = String::new();
    for verified in damaged {
        if verified.follows {
            plan.push_str(&format!(
                "{} is recreated, and fills from the leader once its broker runs\n",
                name_of(verified)
            ));
            continue;
        }
        plan.push_str(&plan_of(verified, unseen));
    }
    // With consent given in advance, only the result is reported, in the same words.
    if consent != Consent::Given {
        for line in plan.lines() {
            env.say(line);
        }
    }
    let names = damaged
        .iter()
        .map(|verified| name_of(verified))
        .collect::<Vec<_>>()
        .join(", ");
    if !consent.proceed(env, &format!("repair {names} this way?"))? {
        // The replica is still damaged.
        let (kind, what) = damage(damaged);
        let cure = "run it without --dry-run to do this";
        failures.notify(
            env,
            &Error::new(kind, format!("{what}: {names}")).cure(cure),
        );
        return Ok(());
    }
    let admin = Admin::new(store, TIMEOUT);
    let mut done = |before: &'a Verified| {
        // Where it cannot be read, its state is as unknown as before.
        let after = admin.verify_replica(&before.tp, before.broker, true);
        repaired.extend(after.ok().map(|after| Repaired { before, after }));
    };
    for verified in damaged.iter().copied() {
        if verified.follows {
            match admin.replace_follower(&verified.tp, verified.broker) {
                Ok(()) => {
                    env.note(&format!("{} is recreated", name_of(verified)));
                    done(verified);
                }
                Err(e) => failures.notify(env, &e),
            }
            continue;
        }
        match admin.repair(&verified.tp) {
            Ok(page) => {
                let result = if consent == Consent::Given {
                    format!("is repaired: {}", what_of(verified, unseen))
                } else {
                    format!("is repaired; its log now ends at offset {}", page.tail.end)
                };
                let tp = &verified.tp;
                let text = format!("{tp} {result}{}", kept_in(store, tp, env));
                // The text says where the cut data is kept.
                env.say(&text);
                done(verified);
            }
            Err(e) => failures.notify(env, &e),
        }
    }
    Ok(())
}
