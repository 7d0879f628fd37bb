//! `mq-broker health`.

use std::time::Duration;

use super::job::HealthJob;
use crate::cli::lang::show_duration;
use crate::cli::output::{Column, OutputOptions, RowPrinter};
use crate::cli::{Env, Outcome};
use crate::client::brokers::{self, Health};
use crate::error::{Error, Kind, Result};
use crate::types::TopicPartition;

/// The pause between two checks.
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// The pause between two checks of the modes of all files.
const MODES_INTERVAL: Duration = Duration::from_secs(2);
/// The pause is also at least so many times as long as the check takes.
const REST: u32 = 20;
/// The most partitions that a note names.
const NAMED_MAX: usize = 5;

const COLUMNS: &[Column] = &[
    Column::text("reason"),
    Column::number("broker"),
    Column::text("topic"),
    Column::number("partition"),
    Column::text("text"),
];

pub(super) fn health(job: HealthJob, env: &Env) -> Result<Outcome> {
    let store = env.open_store()?;
    let started = env.monotonic();
    let mut modes_due = started;
    loop {
        let mut health = brokers::health(&store)?;
        let began = env.monotonic();
        let is_last = job
            .wait
            .is_none_or(|timeout| began.saturating_sub(started) >= timeout);
        // This check walks the whole store: it runs rarely, and only if there is no other problem.
        let is_healthy = health.amiss.is_empty() && began >= modes_due;
        if is_last || is_healthy {
            health.check_modes(&store)?;
            let now = env.monotonic();
            modes_due = now + MODES_INTERVAL.max(now.saturating_sub(began) * REST);
        }
        if is_last || is_healthy && health.amiss.is_empty() {
            let outcome = notify(&health, job.output, env)?;
            if let Some(timeout) = job.wait
                && !health.amiss.is_empty()
            {
                let waited = show_duration(timeout);
                env.note(&format!(
                    "the problems are still there after {waited}; wait longer with --timeout"
                ));
            }
            return Ok(outcome);
        }
        if env.stopping() {
            let text = "stopped while there were problems";
            return Err(Error::new(Kind::Interrupted, text)
                .cure("'mq-broker health' without --wait lists them"));
        }
        env.sleep(POLL_INTERVAL);
    }
}

fn notify(health: &Health, output: OutputOptions, env: &Env) -> Result<Outcome> {
    let mut rows = RowPrinter::stdout(env, COLUMNS, output);
    for amiss in &health.amiss {
        let partition = amiss.partition.as_ref();
        rows.row(vec![
            amiss.trouble.as_str().into(),
            amiss.broker.into(),
            partition.map(|tp| tp.topic.as_str()).into(),
            partition.map(|tp| tp.partition).into(),
            amiss.text.as_str().into(),
        ])?;
    }
    rows.finish()?;
    note(
        &health.not_preferred,
        "not led by the preferred leader ('mq-broker elect preferred' changes that)",
        env,
    );
    note(
        &health.awaiting_preferred,
        "the preferred leader cannot lead now, because it does not run, is drained or is not in sync yet",
        env,
    );
    if health.all_drained {
        env.note(
            "every broker that runs is drained: leaders stay where they are ('mq-broker drain ID --undo')",
        );
    }
    note(&health.reassigning, "being reassigned", env);
    Ok(if health.amiss.is_empty() {
        env.note("healthy");
        Outcome::Done
    } else {
        Outcome::Partial
    })
}

fn note(partitions: &[TopicPartition], what: &str, env: &Env) {
    if partitions.is_empty() {
        return;
    }
    let names = TopicPartition::first_of(partitions, NAMED_MAX);
    env.note(&format!("{what}: {names}"));
}
