//! The changes that need consent: plan, question, change, result.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::cli::consent::Consent;
use crate::cli::output::{Column, OutputOptions, RowPrinter};
use crate::cli::topic_selection::TopicSelection;
use crate::cli::{Env, Outcome};
use crate::client::StoreDir;
use crate::client::groups::{self, OffsetChange};
use crate::error::Result;
use crate::types::TopicName;

/// A change of a group's offsets that needs consent.
pub(crate) struct Asked<'a> {
    /// The group whose offsets change.
    pub group: &'a str,
    /// Whether the change is made.
    pub consent: Consent,
    /// How it is printed.
    pub output: OutputOptions,
}

impl Asked<'_> {
    /// Makes the change. The plan is printed before it if the user is asked, or if only the plan is
    /// wanted; the result is printed after it if a format was given.
    pub fn change(
        &self,
        env: &Env,
        plan: impl FnOnce() -> Result<Vec<OffsetChange>>,
        question: impl FnOnce(&str) -> String,
        make: impl FnOnce(&mut Vec<String>) -> Result<Vec<OffsetChange>>,
    ) -> Result<Outcome> {
        if self.consent != Consent::Given {
            // A refusal is reported before the user is asked.
            let changes = plan()?;
            print(self.group, &changes, self.output, env)?;
            let moved = changes.iter().filter(|change| change.from != change.to);
            if !self
                .consent
                .proceed(env, &question(&count(moved.count())))?
            {
                return Ok(Outcome::Done);
            }
        }
        let done = warned(env, make)?;
        if self.consent == Consent::Given && self.output.is_given {
            print(self.group, &done, self.output, env)?;
        }
        Ok(Outcome::Done)
    }
}

/// ` of orders:0, app-*`, for messages; empty if nothing was named.
pub(crate) fn of_topics(topics: &TopicSelection) -> String {
    if topics.is_empty() {
        String::new()
    } else {
        format!(" of {topics}")
    }
}

/// The topics that a group has committed offsets of, whether they still exist or not.
pub(crate) fn topics_of(store: &Arc<StoreDir>, group: &str) -> Result<Vec<TopicName>> {
    let state = groups::committed_offsets(store, group)?;
    let names: BTreeSet<TopicName> = state.offsets().map(|(topic, ..)| topic.clone()).collect();
    Ok(names.into_iter().collect())
}

/// Makes a change, and warns of damage in the group's files, whether the change succeeds or not.
pub(crate) fn warned<T>(
    env: &Env,
    change: impl FnOnce(&mut Vec<String>) -> Result<T>,
) -> Result<T> {
    let mut notes = Vec::new();
    let outcome = change(&mut notes);
    for note in notes {
        env.warn(&note);
    }
    outcome
}

/// `1 committed offset`, `2 committed offsets`.
pub(crate) fn count(n: usize) -> String {
    let what = if n == 1 { "offset" } else { "offsets" };
    format!("{n} committed {what}")
}

/// Prints a plan.
pub(crate) fn print(
    group: &str,
    changes: &[OffsetChange],
    output: OutputOptions,
    env: &Env,
) -> Result<()> {
    let mut rows = RowPrinter::stdout(env, &PLAN, output);
    for change in changes {
        rows.row(vec![
            group.into(),
            change.tp.topic.as_str().into(),
            change.tp.partition.into(),
            change.from.into(),
            change.to.into(),
        ])?;
    }
    rows.finish()
}

pub(crate) const PLAN: [Column; 5] = [
    Column::text("group"),
    Column::text("topic"),
    Column::number("partition").short("part"),
    Column::number("committed_offset").short("offset"),
    Column::number("new_offset").short("new"),
];
