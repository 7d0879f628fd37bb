//! `mq-topics compact`: one partition after the other, and one line of what it saved.

use super::job::Compact;
use crate::cli::common::TIMEOUT;
use crate::cli::output::show_size;
use crate::cli::{Env, Failures, Outcome};
use crate::client::topics::TopicHandle;
use crate::client::{Admin, CompactionTotal, Progress};
use crate::error::{Error, Kind, Result};
use crate::types::TopicPartition;

/// Compacts topics: the policies of all are checked before any is compacted.
pub fn compact(job: Compact, env: &mut Env) -> Result<Outcome> {
    let store = env.open_store()?;
    let admin = Admin::new(&store, TIMEOUT);
    let mut partitions = Vec::new();
    for chosen in job.wanted.resolve_all(|| admin.list())? {
        admin.check_is_compacted(&chosen.topic)?;
        let topic = TopicHandle::open(&store, &chosen.topic)?;
        for partition in chosen.partitions_of(topic.meta())? {
            partitions.push(TopicPartition::new(chosen.topic.clone(), partition));
        }
    }
    // From here on a signal ends it between two batches.
    env.signals().end_by_first(false);
    let mut failures = Failures::default();
    let mut total = CompactionTotal::default();
    let outcome = each(&admin, &partitions, &mut total, &mut failures, env);
    env.progress_done();
    say(&total, env);
    outcome?;
    Ok(failures.outcome())
}

fn each(
    admin: &Admin,
    partitions: &[TopicPartition],
    total: &mut CompactionTotal,
    failures: &mut Failures,
    env: &mut Env,
) -> Result<()> {
    for (at, tp) in partitions.iter().enumerate() {
        let mut shown = 0;
        let done = admin.compact(tp, &mut |progress| go_on(tp, progress, &mut shown, env));
        match done {
            Err(e) if e.kind() == Kind::Interrupted => {
                let count = partitions.len();
                return Err(e.at(format!("after {at} of {count} partitions")));
            }
            Err(e) => failures.notify(env, &e),
            Ok(done) => {
                for damaged in &done.damaged {
                    let e = Error::new(Kind::Damaged, damaged.clone()).cure(format!(
                        "the segment was left as it is; look at it with 'mq-topics verify --deep {}'",
                        tp.topic
                    ));
                    failures.notify(env, &e);
                }
                total.add(&done);
            }
        }
    }
    Ok(())
}

/// Shows how far a partition is, a hundred times at most.
fn go_on(tp: &TopicPartition, progress: Progress, shown: &mut u64, env: &mut Env) -> Result<()> {
    if env.stopping() {
        let text = "interrupted while topics were compacted";
        return Err(Error::new(Kind::Interrupted, text)
            .cure("what was compacted stays so: the same command does the rest"));
    }
    let percent = progress.done * 100 / progress.all.max(1);
    if percent > *shown {
        *shown = percent;
        env.progress_of(progress.done, progress.all, &tp.to_string());
    }
    Ok(())
}

fn say(total: &CompactionTotal, env: &Env) {
    if total.partitions == 0 {
        return;
    }
    let partitions = match total.partitions {
        1 => "1 partition".to_owned(),
        n => format!("{n} partitions"),
    };
    let saved = total.bytes_before.saturating_sub(total.bytes_after);
    let removed = total.records_before.saturating_sub(total.records_after);
    let records = match removed {
        1 => "1 record".to_owned(),
        n => format!("{n} records"),
    };
    let keyless = match total.keyless {
        0 => String::new(),
        1 => "; 1 record without a key stays".to_owned(),
        n => format!("; {n} records without a key stay"),
    };
    env.note(&format!(
        "compacted {partitions}: {records} of {} removed, {} of {} saved{keyless}",
        total.records_before,
        size(saved),
        size(total.bytes_before)
    ));
}

fn size(bytes: u64) -> String {
    show_size(i64::try_from(bytes).unwrap_or(i64::MAX))
}
