//! Runs `mq-topics`.

use super::job::Job;
use super::{change, dump, show, verify};
use crate::cli::{Env, Outcome};
use crate::error::Result;

/// Runs the job.
///
/// # Errors
/// The run ended with this error.
pub fn run(job: Job, env: &mut Env) -> Result<Outcome> {
    // Replicas that were created for a topic and do not belong to it yet are removed before the
    // end.
    let makes_replicas = match &job {
        Job::Create(_) => true,
        Job::Alter(alter) => alter.partitions.is_some(),
        _ => false,
    };
    if !makes_replicas {
        env.signals().end_by_first(true);
    }
    match job {
        Job::Create(job) => change::create(job, env),
        Job::Alter(job) => change::alter(job, env),
        Job::Delete(job) => change::delete(job, env),
        Job::List(job) => show::list(job, env),
        Job::Describe(job) => show::describe(job, env),
        Job::Offsets(job) => show::offsets(job, env),
        Job::Dump(job) => dump::dump(job, env),
        Job::Verify(job) => verify::verify(job, env),
    }
}
