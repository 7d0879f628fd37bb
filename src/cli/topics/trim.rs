//! `mq-topics trim`: plan, question, change, and the wait for the other replicas.

use std::sync::Arc;
use std::time::Duration;

use super::job::{TRIMMING, Trim};
use crate::cli::common::TIMEOUT;
use crate::cli::consent::Consent;
use crate::cli::lang::show_duration;
use crate::cli::output::{Column, OutputOptions, RowPrinter, show_size};
use crate::cli::{Env, Failures, Outcome};
use crate::client::topics::TopicHandle;
use crate::client::{Admin, PlannedTrim, StoreDir};
use crate::error::{Error, Kind, Result};
use crate::types::{BrokerId, Offset, TopicPartition};

const PLAN: [Column; 5] = [
    Column::text("topic"),
    Column::number("partition").short("part"),
    Column::number("log_start_offset").short("start"),
    Column::number("new_log_start_offset").short("new start"),
    Column::number("removed_offsets").short("removed"),
];

/// The most partitions that a message names.
const NAMED_MAX: usize = 10;

/// What was removed.
#[derive(Default)]
struct Total {
    partitions: Vec<TopicPartition>,
    offsets: Offset,
    segments: u64,
    bytes: u64,
}

/// Trims topics: all partitions are planned before any is changed.
pub fn trim(job: Trim, env: &mut Env) -> Result<Outcome> {
    let store = env.open_store()?;
    let admin = Admin::new(&store, TIMEOUT);
    let plans = plan(&store, &admin, &job)?;
    let changes: Vec<PlannedTrim> = plans.iter().filter(|p| p.offsets() > 0).cloned().collect();
    if job.consent.is_some_and(Consent::is_dry_run) {
        print(&changes, job.output, env)?;
        note_nothing(&changes, env);
        return Ok(Outcome::Done);
    }
    if !changes.is_empty() {
        let consent = job.consent.ok_or_else(|| env.unasked(TRIMMING))?;
        if consent == Consent::Ask {
            print(&changes, job.output, env)?;
        }
        if !consent.proceed(env, &question(&changes))? {
            return Ok(Outcome::Done);
        }
    }
    // From here on a signal ends it between two partitions.
    env.signals().end_by_first(false);
    let mut failures = Failures::default();
    let (mut total, mut done) = (Total::default(), Vec::with_capacity(plans.len()));
    let outcome = change(&admin, &plans, &mut total, &mut done, &mut failures, env);
    total.say(env);
    outcome?;
    note_nothing(&changes, env);
    if job.consent == Some(Consent::Given) && job.output.is_given {
        let changed: Vec<PlannedTrim> = done.iter().filter(|p| p.offsets() > 0).cloned().collect();
        print(&changed, job.output, env)?;
    }
    let behind = admin.await_trims(&done, job.timeout, || {
        if env.stopping() {
            let text = "interrupted before every in-sync replica had the new log start";
            return Err(Error::new(Kind::Interrupted, text).cure(REPLICAS_CURE));
        }
        Ok(())
    })?;
    if !behind.is_empty() {
        failures.notify(env, &late(&behind, job.timeout));
    }
    Ok(failures.outcome())
}

/// What is to be trimmed, also where that changes nothing.
fn plan(store: &Arc<StoreDir>, admin: &Admin, job: &Trim) -> Result<Vec<PlannedTrim>> {
    let mut plans = Vec::new();
    for chosen in job.wanted.resolve_all(|| admin.list())? {
        let topic = TopicHandle::open(store, &chosen.topic)?;
        for partition in chosen.partitions_of(topic.meta())? {
            let tp = TopicPartition::new(chosen.topic.clone(), partition);
            plans.push(admin.plan_trim(&tp, job.to)?);
        }
    }
    Ok(plans)
}

/// Trims one partition after the other. Those that have the planned start afterwards are in `done`.
fn change(
    admin: &Admin,
    plans: &[PlannedTrim],
    total: &mut Total,
    done: &mut Vec<PlannedTrim>,
    failures: &mut Failures,
    env: &Env,
) -> Result<()> {
    for (at, plan) in plans.iter().enumerate() {
        if env.stopping() {
            let text = format!("interrupted after {at} of {} partitions", plans.len());
            return Err(Error::new(Kind::Interrupted, text)
                .cure("what was trimmed stays trimmed: the same command does the rest"));
        }
        // A log that was never trimmed has nothing below its start, not even of a killed trim.
        if plan.to > 0 {
            match admin.trim(plan) {
                Err(e) => {
                    failures.notify(env, &e);
                    continue;
                }
                Ok(raised) => {
                    total.segments += raised.removed.segments;
                    total.bytes += raised.removed.bytes;
                }
            }
        }
        if plan.offsets() > 0 {
            total.offsets += plan.offsets();
            total.partitions.push(plan.tp.clone());
        }
        done.push(plan.clone());
    }
    Ok(())
}

fn note_nothing(changes: &[PlannedTrim], env: &Env) {
    if changes.is_empty() {
        env.note("nothing to remove: no log starts below that point");
    }
}

fn question(changes: &[PlannedTrim]) -> String {
    let offsets = changes.iter().map(PlannedTrim::offsets).sum();
    let partitions: Vec<TopicPartition> = changes.iter().map(|p| p.tp.clone()).collect();
    format!(
        "remove {} of {}?",
        offsets_text(offsets),
        TopicPartition::first_of(&partitions, NAMED_MAX)
    )
}

fn offsets_text(offsets: Offset) -> String {
    match offsets {
        1 => "1 offset".to_owned(),
        n => format!("{n} offsets"),
    }
}

impl Total {
    fn say(&self, env: &Env) {
        if self.partitions.is_empty() && self.segments == 0 {
            return;
        }
        let files = match self.segments {
            0 => "no segment file (the files still have later records)".to_owned(),
            1 => format!("1 segment file ({})", size(self.bytes)),
            n => format!("{n} segment files ({})", size(self.bytes)),
        };
        let of = match self.partitions.as_slice() {
            [] => String::new(),
            some => format!(" of {}", TopicPartition::first_of(some, NAMED_MAX)),
        };
        env.note(&format!(
            "removed {}{of}, and {files}",
            offsets_text(self.offsets)
        ));
    }
}

fn size(bytes: u64) -> String {
    show_size(i64::try_from(bytes).unwrap_or(i64::MAX))
}

const REPLICAS_CURE: &str = "the leaders have it, and the replicas take it from them; the same command \
                             waits again";

/// The error for replicas that do not have the new start in time.
fn late(behind: &[(TopicPartition, Vec<BrokerId>)], timeout: Duration) -> Error {
    let each = behind.iter().take(NAMED_MAX).map(|(tp, brokers)| {
        let ids: Vec<String> = brokers.iter().map(BrokerId::to_string).collect();
        let what = if ids.len() == 1 { "broker" } else { "brokers" };
        format!("{tp}: {what} {}", ids.join(", "))
    });
    let mut named: Vec<String> = each.collect();
    if behind.len() > NAMED_MAX {
        named.push(format!("and {} more partitions", behind.len() - NAMED_MAX));
    }
    let text = format!(
        "after {} these in-sync replicas do not have the new log start: {}",
        show_duration(timeout),
        named.join("; ")
    );
    Error::new(Kind::Busy, text).cure(REPLICAS_CURE)
}

fn print(plans: &[PlannedTrim], output: OutputOptions, env: &Env) -> Result<()> {
    let mut rows = RowPrinter::stdout(env, &PLAN, output);
    for plan in plans {
        rows.row(vec![
            plan.tp.topic.as_str().into(),
            plan.tp.partition.into(),
            plan.from.into(),
            plan.to.into(),
            plan.offsets().into(),
        ])?;
    }
    rows.finish()
}
