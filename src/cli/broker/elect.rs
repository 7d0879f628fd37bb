//! `mq-broker elect`.

use std::sync::Arc;
use std::time::Duration;

use super::job::{Elect, ElectWhat};
use crate::cli::consent::Consent;
use crate::cli::output::{Cell, Column, OutputOptions, RowPrinter};
use crate::cli::topic_selection::TopicSelection;
use crate::cli::{Env, Failures, Outcome};
use crate::client::StoreDir;
use crate::client::brokers::{self, LeadershipTransfer, Liveness, Terms, UncleanElection};
use crate::client::topics::{self, TopicHandle};
use crate::error::{Kind, Result};
use crate::types::{BrokerId, Offset, TopicPartition};

/// The timeout of the store's lock.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long a leadership transfer may make no progress.
const STALLED_AFTER: Duration = Duration::from_secs(5);

const COLUMNS: &[Column] = &[
    Column::text("topic"),
    Column::number("partition"),
    Column::number("from"),
    Column::number("to"),
    Column::number("log_end_offset"),
    Column::text("result"),
];

const PLANNED: &str = "planned";
const ELECTED: &str = "elected";
const FAILED: &str = "failed";

pub(super) fn elect(job: Elect, env: &Env) -> Result<Outcome> {
    let store = env.open_store()?;
    match job.what {
        ElectWhat::Preferred { selection, dry_run } => {
            preferred(&store, &selection, dry_run, job.output, env)
        }
        ElectWhat::Unclean {
            partitions,
            to,
            consent,
        } => unclean(&store, &partitions, to, consent, job.output, env),
    }
}

/// One row: old and new leader, the end of the new leader's log if it matters, and the result.
fn row(
    tp: &TopicPartition,
    from: BrokerId,
    to: BrokerId,
    end: Option<Offset>,
    result: &str,
) -> Vec<Cell> {
    vec![
        tp.topic.as_str().into(),
        tp.partition.into(),
        from.into(),
        to.into(),
        end.into(),
        result.into(),
    ]
}

fn preferred(
    store: &Arc<StoreDir>,
    selection: &TopicSelection,
    dry_run: bool,
    output: OutputOptions,
    env: &Env,
) -> Result<Outcome> {
    let mut failures = Failures::default();
    let mut moves: Vec<LeadershipTransfer> = Vec::new();
    let liveness = Liveness::new(store);
    let all = selection.is_empty();
    let (chosen, unmatched) = selection.resolve_or_all(|| topics::list(store))?;
    failures.notify_all(env, &unmatched);
    for chosen in &chosen {
        let opened = TopicHandle::open(store, &chosen.topic)
            .and_then(|topic| chosen.partitions_of(topic.meta()).map(|_| topic));
        let topic = match opened {
            Ok(topic) => topic,
            // The topic was deleted since it was listed.
            Err(e) if e.kind() == Kind::UnknownTopic && all => continue,
            Err(e) => {
                failures.notify(env, &e);
                continue;
            }
        };
        let partitions = topic.meta().partitions.iter();
        for p in partitions.filter(|p| chosen.has(p.partition)) {
            match brokers::move_to_preferred(store, &liveness, topic.meta(), p) {
                Ok(wanted) => moves.extend(wanted),
                Err(e) => failures.notify(env, &e),
            }
        }
    }
    if moves.is_empty() && failures.outcome() == Outcome::Done {
        env.note("nothing to do: the preferred leaders lead");
    }
    let mut rows = RowPrinter::stdout(env, COLUMNS, output);
    let outcomes: Vec<Result<&str>> = if dry_run {
        moves.iter().map(|_| Ok(PLANNED)).collect()
    } else {
        let mut outcomes: Vec<_> = moves.iter().map(|_| None).collect();
        let terms = Terms {
            authority: &|_| Ok(true),
            goes_on: &|| !env.stopping(),
            stalled_after: STALLED_AFTER,
        };
        brokers::move_leaders(store, &moves, terms, &mut outcomes);
        let outcomes = outcomes.into_iter().flatten();
        outcomes.map(|o| o.map(|()| ELECTED)).collect()
    };
    for (wanted, outcome) in moves.iter().zip(outcomes) {
        let result = outcome.unwrap_or_else(|e| {
            failures.notify(env, &e);
            FAILED
        });
        rows.row(row(&wanted.tp, wanted.from, wanted.to, None, result))?;
    }
    rows.finish()?;
    Ok(failures.outcome())
}

fn unclean(
    store: &Arc<StoreDir>,
    partitions: &[TopicPartition],
    to: Option<BrokerId>,
    consent: Consent,
    output: OutputOptions,
    env: &Env,
) -> Result<Outcome> {
    let mut failures = Failures::default();
    let mut plan: Vec<UncleanElection> = Vec::new();
    for tp in partitions {
        match brokers::plan_unclean(store, tp, to) {
            Ok(election) => plan.push(election),
            Err(e) => failures.notify(env, &e),
        }
    }
    let go_on = match plan.as_slice() {
        [] => return Ok(failures.outcome()),
        [one] => consent.proceed(
            env,
            &format!(
                "let broker {} lead {} from offset {} on? Records that it lacks are lost",
                one.to, one.tp, one.log_end_offset
            ),
        )?,
        more => consent.proceed(
            env,
            &format!(
                "hold {} unclean elections? Records that the elected replicas lack are lost",
                more.len()
            ),
        )?,
    };
    let mut rows = RowPrinter::stdout(env, COLUMNS, output);
    for one in &plan {
        let result = if go_on {
            match brokers::elect_unclean(store, one, TIMEOUT) {
                Ok(()) => ELECTED,
                Err(e) => {
                    failures.notify(env, &e);
                    FAILED
                }
            }
        } else {
            PLANNED
        };
        let end = Some(one.log_end_offset);
        rows.row(row(&one.tp, one.from, one.to, end, result))?;
    }
    rows.finish()?;
    Ok(failures.outcome())
}
