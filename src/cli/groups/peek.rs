//! `mq-groups peek` and `skip`: the records around a group's committed offsets.

use std::sync::Arc;

use super::asked::{of_topics, warned};
use super::job::{Peek, RecordOutput, Skip};
use crate::cli::common::TIMEOUT;
use crate::cli::lang::OutputRecord;
use crate::cli::output::{Cell, Column, OutputOptions, RowPrinter};
use crate::cli::{Env, Failures, Outcome};
use crate::client::groups::{self, CommitEntry, Committed, OffsetCheck};
use crate::client::{BatchInfo, StoreDir, for_each_around, open_reader, topics};
use crate::error::{Error, Kind, Result, shell_word};
use crate::record::Record;
use crate::types::TopicPartition;

const PEEK: [Column; 8] = [
    Column::text("group"),
    Column::text("topic"),
    Column::number("partition").short("part"),
    Column::number("offset"),
    Column::text("place"),
    Column::time("timestamp").minor(),
    Column::text("key"),
    Column::text("value"),
];

const SKIP: [Column; 8] = [
    Column::text("group"),
    Column::text("topic"),
    Column::number("partition").short("part"),
    Column::number("committed_offset").short("offset"),
    Column::number("new_offset").short("new"),
    Column::time("timestamp").minor(),
    Column::text("key"),
    Column::text("value"),
];

/// Shows the records that a group read last and those that it will read next.
pub fn peek(job: Peek, env: &mut Env) -> Result<Outcome> {
    let store = env.open_store()?;
    let seen = groups::describe(&store, &job.group)?;
    for note in seen.notes.iter().chain(&seen.damage) {
        env.warn(note);
    }
    let mut failures = Failures::default();
    let records = job.records.for_screen(env);
    let mut shown = Shown::new(&records, &PEEK);
    let mut any = false;
    for row in &seen.offsets {
        let tp = TopicPartition::new(crate::types::TopicName::new(&*row.topic)?, row.partition);
        let wanted = job.topics.has_partition(&tp);
        let Some(committed) = row.committed_offset.filter(|_| wanted) else {
            continue;
        };
        any = true;
        let observed = open_reader(&store, &tp).and_then(|mut reader| {
            for_each_around(
                &mut reader,
                committed,
                job.before,
                job.after,
                |info, record| {
                    let mut place = "unread";
                    if record.offset < committed {
                        place = "read";
                    } else if !shown.next_seen(&tp) {
                        place = "next";
                    }
                    shown.enter(&tp, info, record, |record| {
                        let mut cells = vec![
                            job.group.as_str().into(),
                            tp.topic.as_str().into(),
                            tp.partition.into(),
                            record.offset.into(),
                            place.into(),
                        ];
                        cells.extend(payload(record));
                        cells
                    })
                },
            )
        });
        if let Err(e) = observed {
            failures.notify(env, &e);
        }
    }
    shown.print(env)?;
    if !any {
        return Err(nothing_committed(&job.group, &of_topics(&job.topics)));
    }
    Ok(failures.outcome())
}

/// Moves a group over one record, and prints the record.
pub fn skip(job: Skip, env: &mut Env) -> Result<Outcome> {
    let store = env.open_store()?;
    let tp = &job.tp;
    let stored = committed(&store, &job.group, tp)?;
    let committed = stored.offset;
    // A group with members is refused before anything is shown.
    groups::reset(&store, &job.group, &[], true, TIMEOUT, &mut Vec::new())?;
    let mut reader = open_reader(&store, tp)?;
    // Where the log diverges from what the group read, a skip would pass over other records.
    if let OffsetCheck::Beyond(point) = groups::check_offset(&reader, &reader.page()?, &stored)? {
        return Err(groups::beyond(&job.group, tp, committed, point));
    }
    let records = job.records.for_screen(env);
    let mut shown = Shown::new(&records, &SKIP);
    let mut next = None;
    for_each_around(&mut reader, committed, 0, 1, |info, record| {
        next = Some(record.offset + 1);
        shown.enter(tp, info, record, |record| {
            let mut cells = vec![
                job.group.as_str().into(),
                tp.topic.as_str().into(),
                tp.partition.into(),
                committed.into(),
                (record.offset + 1).into(),
            ];
            cells.extend(payload(record));
            cells
        })
    })
    .map_err(|e| match e.kind() {
        // Where the damaged batch ends is unknown: its header may be wrong, too.
        Kind::Damaged => e.cure(format!(
            "'mq-groups reset {} --to N --topic {tp}' moves the group to an offset N behind the damage",
            shell_word(&job.group)
        )),
        _ => e,
    })?;
    let Some(offset) = next else {
        let group = job.group.escape_debug();
        return Err(Error::new(
            Kind::OffsetOutOfRange,
            format!("group '{group}' is at the end of {tp}, offset {committed}"),
        )
        .cure("there is no record that could be skipped"));
    };
    let plan = [CommitEntry {
        tp: tp.clone(),
        offset,
    }];
    shown.print(env)?;
    if job.consent.is_dry_run() {
        return Ok(Outcome::Done);
    }
    let question = format!(
        "skip this record: move the offset of group '{}' for {tp} from {committed} to {offset}?",
        job.group.escape_debug()
    );
    if job.consent.proceed(env, &question)? {
        warned(env, |notes| {
            groups::reset(&store, &job.group, &plan, false, TIMEOUT, notes)
        })?;
    }
    Ok(Outcome::Done)
}

fn committed(store: &Arc<StoreDir>, group: &str, tp: &TopicPartition) -> Result<Committed> {
    groups::summarize(store, group)?;
    let topic_id = topics::read(store, &tp.topic)?.0.topic_id;
    let state = groups::committed_offsets(store, group)?;
    state
        .committed(&tp.topic, topic_id, tp.partition)
        .ok_or_else(|| nothing_committed(group, &format!(" of {tp}")))
}

fn nothing_committed(group: &str, of: &str) -> Error {
    let group = group.escape_debug();
    Error::new(
        Kind::UnknownTopic,
        format!("group '{group}' has no committed offset{of}"),
    )
    .cure("'mq-groups describe' shows its offsets")
}

/// Timestamp, key and value as cells. Bytes that are not text are shown as in a template with
/// `{escape}`.
fn payload(record: &Record<'_>) -> [Cell; 3] {
    let text = |bytes: Option<&[u8]>| -> Cell {
        bytes
            .map(|bytes| match std::str::from_utf8(bytes) {
                Ok(text) => text.to_owned(),
                Err(_) => bytes.escape_ascii().to_string(),
            })
            .into()
    };
    [
        record.timestamp.into(),
        text(record.key),
        text(record.value),
    ]
}

/// Records on their way to standard output, rendered or as rows.
struct Shown<'a> {
    records: &'a RecordOutput,
    columns: &'static [Column],
    rendered: Vec<u8>,
    count: u64,
    rows: Vec<Vec<Cell>>,
    next: Option<TopicPartition>,
}

impl<'a> Shown<'a> {
    fn new(records: &'a RecordOutput, columns: &'static [Column]) -> Self {
        Shown {
            records,
            columns,
            rendered: Vec::new(),
            count: 0,
            rows: Vec::new(),
            next: None,
        }
    }

    /// Whether the partition's first unread record was seen before; marks it as seen.
    fn next_seen(&mut self, tp: &TopicPartition) -> bool {
        self.next.replace(tp.clone()).as_ref() == Some(tp)
    }

    fn enter(
        &mut self,
        tp: &TopicPartition,
        info: BatchInfo,
        record: &Record<'_>,
        row: impl FnOnce(&Record<'_>) -> Vec<Cell>,
    ) -> Result<()> {
        match self.records {
            RecordOutput::Rows(_) => {
                self.rows.push(row(record));
                Ok(())
            }
            RecordOutput::Rendered(renderer) => {
                let record = OutputRecord::stored(tp, info, record, self.count);
                self.count += 1;
                renderer.render(&record, &mut self.rendered)
            }
        }
    }

    fn print(self, env: &Env) -> Result<()> {
        match self.records {
            RecordOutput::Rows(output) => rows(env, self.columns, *output, self.rows),
            RecordOutput::Rendered(_) => env.stdout().print(&self.rendered),
        }
    }
}

fn rows(
    env: &Env,
    columns: &'static [Column],
    output: OutputOptions,
    rows: Vec<Vec<Cell>>,
) -> Result<()> {
    let mut listing = RowPrinter::stdout(env, columns, output);
    for row in rows {
        listing.row(row)?;
    }
    listing.finish()
}
