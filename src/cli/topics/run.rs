//! Runs `mq-topics`.

use super::job::TopicsJob;
use super::{change, compact, dump, show, stats, trim, verify};
use crate::cli::{Env, Outcome};
use crate::error::Result;

/// Runs the job.
///
/// # Errors
/// The run ended with this error.
pub fn run(job: TopicsJob, env: &mut Env) -> Result<Outcome> {
    // Replicas that were created for a topic and do not belong to it yet are removed before the
    // end.
    let makes_replicas = match &job {
        TopicsJob::Create(_) => true,
        TopicsJob::Alter(alter) => alter.partitions.is_some(),
        _ => false,
    };
    if !makes_replicas {
        env.signals().end_by_first(true);
    }
    match job {
        TopicsJob::Create(job) => change::create(job, env),
        TopicsJob::Alter(job) => change::alter(job, env),
        TopicsJob::Delete(job) => change::delete(job, env),
        TopicsJob::List(job) => show::list(job, env),
        TopicsJob::Describe(job) => show::describe(job, env),
        TopicsJob::Offsets(job) => show::offsets(job, env),
        TopicsJob::Trim(job) => trim::trim(job, env),
        TopicsJob::Stats(job) => stats::stats(job, env),
        TopicsJob::Compact(job) => compact::compact(job, env),
        TopicsJob::Dump(job) => dump::dump(job, env),
        TopicsJob::Verify(job) => verify::verify(job, env),
    }
}
