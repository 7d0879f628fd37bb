//! `mq-groups alter`.

use std::collections::BTreeMap;

use super::job::Alter;
use crate::cli::common::TIMEOUT;
use crate::cli::output::{Column, RowPrinter};
use crate::cli::{Env, Outcome};
use crate::client::groups;
use crate::error::Result;

/// The columns of a plan.
const PLAN: [Column; 3] = [
    Column::text("group"),
    Column::text("change"),
    Column::text("detail"),
];

/// Changes a group's configs.
pub fn alter(job: Alter, env: &mut Env) -> Result<Outcome> {
    for (config, value) in &job.set {
        groups::check_config_value(config, value)?;
    }
    let store = env.open_store()?;
    let is_printed = job.dry_run || job.output.is_given;
    let before = if is_printed {
        groups::configs(&store, &job.group)?
    } else {
        BTreeMap::default()
    };
    if !job.dry_run {
        for note in groups::alter_configs(&store, &job.group, &job.set, &job.unset, TIMEOUT)? {
            env.warn(&note);
        }
    }
    if is_printed {
        let mut rows = RowPrinter::stdout(env, &PLAN, job.output);
        let mut plan = |change: &str, detail: String| {
            rows.row(vec![
                job.group.as_str().into(),
                change.into(),
                detail.into(),
            ])
        };
        for (config, value) in &job.set {
            if before.get(config) != Some(value) {
                plan("set", format!("{config}={value}"))?;
            }
        }
        for config in job.unset.iter().filter(|name| before.contains_key(*name)) {
            plan("unset", config.clone())?;
        }
        rows.finish()?;
    }
    Ok(Outcome::Done)
}
