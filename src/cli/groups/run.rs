//! `mq-groups` at work.

use super::job::Job;
use crate::cli::{Env, Outcome};
use crate::error::{Error, Kind, Result};

/// Runs the job.
///
/// # Errors
/// What ended it.
pub fn run(_job: Job, _env: &mut Env) -> Result<Outcome> {
    Err(Error::new(Kind::Usage, "not wired yet"))
}
