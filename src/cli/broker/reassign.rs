//! `mq-broker reassign`.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::job::Reassign;
use crate::cli::common::usage;
use crate::cli::output::{Cell, Column, OutputOptions, RowPrinter};
use crate::cli::topic_selection::{TopicSelection, scopes};
use crate::cli::{Env, Outcome};
use crate::client::brokers::Liveness;
use crate::client::{Admin, PlannedReassignment, ReassignmentDescription, StoreDir};
use crate::error::{Error, Kind, Result};
use crate::types::{BrokerId, PartitionId, Scope, TopicName, TopicPartition};

/// The timeout of each lock.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The pause between two checks of the reassignments under way.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// The most partitions that an error names.
const NAMED_MAX: usize = 10;

const UNDER_WAY: &[Column] = &[
    Column::text("topic"),
    Column::number("partition"),
    Column::text("from"),
    Column::text("to"),
    Column::text("adding"),
    Column::text("lag"),
    Column::rate("throttle"),
];

const PLAN: &[Column] = &[
    Column::text("topic"),
    Column::number("partition"),
    Column::text("from"),
    Column::text("to"),
];

pub(super) fn reassign(job: Reassign, env: &Env) -> Result<Outcome> {
    let store = env.open_store()?;
    env.end_changes_by_signal(&store);
    let admin = Admin::new(&store, TIMEOUT);
    match job {
        Reassign::List { wait, output } => {
            if let Some(timeout) = wait {
                wait_for_end(&admin, None, timeout, env)?;
            }
            list(&admin, output, env)
        }
        Reassign::Begin {
            wanted,
            throttle,
            wait,
            dry_run,
            output,
        } => {
            let meant = meant(&wanted, || admin.list())?;
            let plan = admin.plan_reassignment(&meant)?;
            if dry_run {
                return print_plan(&plan, output, env);
            }
            if plan.is_empty() {
                env.note(&match meant.as_slice() {
                    [(scope, _)] => {
                        format!("nothing to change: {scope} has these replicas already")
                    }
                    _ => "nothing to change: all have these replicas already".to_owned(),
                });
                return Ok(Outcome::Done);
            }
            admin.reassign(&plan, throttle)?;
            let count = plan.len();
            begun(&store, count, wait.is_some(), env);
            if let Some(timeout) = wait {
                let all: BTreeSet<_> = plan.into_iter().map(|planned| planned.tp).collect();
                wait_for_end(&admin, Some(&all), timeout, env)?;
                env.note(&format!("done: reassigned {}", partitions(count)));
            }
            Ok(Outcome::Done)
        }
        Reassign::Cancel {
            selection,
            dry_run,
            output,
        } => cancel(&admin, &selection, dry_run, output, env),
    }
}

/// The partitions and their new brokers, each partition once.
pub(super) fn meant(
    wanted: &[(TopicSelection, Vec<BrokerId>)],
    there: impl Fn() -> Result<Vec<TopicName>>,
) -> Result<Vec<(Scope, Vec<BrokerId>)>> {
    let mut meant: Vec<(Scope, Vec<BrokerId>)> = Vec::new();
    let mut named: HashMap<TopicName, HashSet<Option<PartitionId>>> = HashMap::new();
    for (selection, brokers) in wanted {
        for scope in scopes(&selection.resolve_all(&there)?) {
            let of_topic = named.entry(scope.topic.clone()).or_default();
            let twice = match scope.partition {
                Some(_) => of_topic.contains(&None) || of_topic.contains(&scope.partition),
                None => !of_topic.is_empty(),
            };
            if twice {
                return Err(usage(
                    format!("{scope} is named twice"),
                    "name each partition once, or its topic",
                ));
            }
            of_topic.insert(scope.partition);
            meant.push((scope, brokers.clone()));
        }
    }
    Ok(meant)
}

fn begun(store: &Arc<StoreDir>, count: usize, waits: bool, env: &Env) {
    let what = partitions(count);
    env.note(&if Liveness::new(store).controller_lives() {
        let progress = if waits {
            ""
        } else {
            "; 'mq-broker reassign' shows its progress"
        };
        format!("reassigning {what}{progress}")
    } else {
        format!("reassigning {what}: no controller runs, so it waits until a broker is started")
    });
}

fn partitions(count: usize) -> String {
    match count {
        1 => "1 partition".to_owned(),
        count => format!("{count} partitions"),
    }
}

fn list(admin: &Admin, output: OutputOptions, env: &Env) -> Result<Outcome> {
    let mut rows = RowPrinter::stdout(env, UNDER_WAY, output);
    for one in admin.reassignments()? {
        rows.row(row(one))?;
    }
    rows.finish()?;
    Ok(Outcome::Done)
}

fn row(one: ReassignmentDescription) -> Vec<Cell> {
    vec![
        one.tp.topic.as_str().into(),
        one.tp.partition.into(),
        Cell::list(one.from),
        Cell::list(one.to),
        Cell::list(one.adding.iter().map(|follower| follower.broker)),
        Cell::list(one.adding.iter().map(|follower| follower.lag)),
        one.throttle.into(),
    ]
}

fn print_plan(plan: &[PlannedReassignment], output: OutputOptions, env: &Env) -> Result<Outcome> {
    let mut rows = RowPrinter::stdout(env, PLAN, output);
    for planned in plan {
        rows.row(plan_row(&planned.tp, &planned.from, &planned.to))?;
    }
    rows.finish()?;
    Ok(Outcome::Done)
}

fn plan_row(tp: &TopicPartition, from: &[BrokerId], to: &[BrokerId]) -> Vec<Cell> {
    vec![
        tp.topic.as_str().into(),
        tp.partition.into(),
        Cell::list(from.iter().copied()),
        Cell::list(to.iter().copied()),
    ]
}

fn cancel(
    admin: &Admin,
    selection: &TopicSelection,
    dry_run: bool,
    output: OutputOptions,
    env: &Env,
) -> Result<Outcome> {
    // A glob selects among the partitions that are being reassigned.
    let under_way = || {
        let all = admin.reassignments()?.into_iter();
        let names: BTreeSet<TopicName> = all.map(|one| one.tp.topic).collect();
        Ok(names.into_iter().collect())
    };
    let scopes = &*scopes(&selection.resolve_all(under_way)?);
    if dry_run {
        let all: BTreeSet<_> = admin.reassigning(scopes)?.into_iter().collect();
        let mut rows = RowPrinter::stdout(env, PLAN, output);
        for one in admin.reassignments()? {
            if all.contains(&one.tp) {
                rows.row(plan_row(&one.tp, &one.to, &one.from))?;
            }
        }
        rows.finish()?;
        return Ok(Outcome::Done);
    }
    let cancelled = admin.cancel_reassignments(scopes)?;
    let what = partitions(cancelled.len());
    env.note(&format!("the reassignment of {what} is cancelled"));
    Ok(Outcome::Done)
}

/// Waits until none of these reassignments is under way; `None`: none at all.
fn wait_for_end(
    admin: &Admin,
    only: Option<&BTreeSet<TopicPartition>>,
    timeout: Duration,
    env: &Env,
) -> Result<()> {
    let started = env.monotonic();
    loop {
        let mut left = admin.reassignments()?;
        left.retain(|one| only.is_none_or(|only| only.contains(&one.tp)));
        if left.is_empty() {
            return Ok(());
        }
        let stopped = env.stopping();
        let late = env.monotonic().saturating_sub(started) >= timeout;
        if stopped || late {
            let left: Vec<_> = left.into_iter().map(|one| one.tp).collect();
            let names = TopicPartition::first_of(&left, NAMED_MAX);
            let text = format!("still being reassigned: {names}");
            let kind = if stopped {
                Kind::Interrupted
            } else {
                Kind::Busy
            };
            return Err(Error::new(kind, text)
                .cure("it goes on; 'mq-broker reassign' shows its progress, --cancel ends it"));
        }
        env.sleep(POLL_INTERVAL);
    }
}
