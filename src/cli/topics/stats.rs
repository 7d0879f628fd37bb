//! `mq-topics stats`: counts records in one pass.

use std::ops::ControlFlow;

use jiff::tz::TimeZone;

use super::job::{StatsBy, StatsJob};
use crate::cli::output::{Cell, Column, OutputFormat, RowPrinter, show_size};
use crate::cli::{Env, Failures, Outcome, local_zone};
use crate::client::stats::{Grouping, RecordGroup, RecordGroupStats, Stats};
use crate::client::topics::{self, TopicHandle};
use crate::client::unresolved_offset::UnresolvedOffset;
use crate::client::{Consumer, Until, resolve_range};
use crate::error::{Error, Kind, Result};
use crate::record::Decompressor;
use crate::types::{Offset, Timestamp, TopicPartition};

/// Most memory of keys or times.
const MEMORY: usize = 64 << 20;
/// About so many bytes of a fetch.
const FETCH_BYTES: usize = 1 << 20;
/// The longest bar of the chart.
const BAR: u64 = 30;

const HOUR_MS: i64 = 3_600_000;
const MINUTE_MS: i64 = 60_000;

const RECORDS: Column = Column::number("records");
const BYTES: Column = Column::size("bytes");
const CHART: Column = Column::text("chart");
const MISSED: Column = Column::size("bytes_missed_max").short("missed").minor();
const BY_KEY: [Column; 5] = [Column::text("key"), RECORDS, BYTES, MISSED, CHART];
const BY_TIME: [Column; 5] = [Column::time("time"), RECORDS, BYTES, MISSED, CHART];
/// Of a table in which nothing was missed.
const BY_KEY_EXACT: [Column; 4] = [Column::text("key"), RECORDS, BYTES, CHART];
const BY_TIME_EXACT: [Column; 4] = [Column::time("time"), RECORDS, BYTES, CHART];
const BY_SIZE: [Column; 4] = [
    Column::size("size_from").short("size"),
    RECORDS,
    BYTES,
    CHART,
];
const BY_PARTITION: [Column; 5] = [
    Column::text("topic"),
    Column::number("partition").short("part"),
    RECORDS,
    BYTES,
    CHART,
];

/// Counts, then prints the groups.
pub fn stats(job: StatsJob, env: &mut Env) -> Result<Outcome> {
    let store = env.open_store()?;
    let mut failures = Failures::default();
    let (chosen, unmatched) = job.wanted.resolve(|| topics::list(&store))?;
    failures.notify_all(env, &unmatched);
    let mut stats = Stats::new(job.by.grouping(), MEMORY);
    let mut consumer = Consumer::new(&store);
    for chosen in &chosen {
        let topic = TopicHandle::open(&store, &chosen.topic);
        let partitions = match topic.and_then(|topic| chosen.partitions_of(topic.meta())) {
            Ok(partitions) => partitions,
            Err(e) => {
                failures.notify(env, &e);
                continue;
            }
        };
        for partition in partitions {
            let tp = TopicPartition::new(chosen.topic.clone(), partition);
            match assign(&mut consumer, &tp, &job, env) {
                Ok(()) => stats.add_partition(&tp),
                Err(e) => failures.notify(env, &e),
            }
        }
    }
    count(&mut consumer, &mut stats, &job, &mut failures, env)?;
    print(&stats, &job, env)?;
    Ok(failures.outcome())
}

fn assign(consumer: &mut Consumer, tp: &TopicPartition, job: &StatsJob, env: &Env) -> Result<()> {
    let reader = consumer.open_reader(tp)?;
    let page = reader.page()?;
    let now = env.now().now_ms;
    let start = UnresolvedOffset::Start;
    let range = resolve_range(&reader, &page, job.range, start, None, true, now)?;
    let until = match range.until {
        Until::Offset(until) => until,
        Until::Never | Until::Time(_) => page.high_watermark,
    };
    consumer.assign_reader(reader, range.from, Some(until));
    Ok(())
}

fn count(
    consumer: &mut Consumer,
    stats: &mut Stats,
    job: &StatsJob,
    failures: &mut Failures,
    env: &mut Env,
) -> Result<()> {
    let mut spans = TimeSpans::new(job.by);
    let mut decompressor = Decompressor::default();
    let mut buf = Vec::new();
    env.progress_source(None, env.stdout_is_terminal());
    while !consumer.is_done() {
        match consumer.fetch(FETCH_BYTES, &mut buf) {
            Ok(None) => break,
            Ok(Some(fetched)) => {
                let before = stats.total();
                let counted = fetched.for_each(&mut decompressor, |_, record| {
                    stats.add(&fetched.tp, &record, |timestamp| spans.begin(timestamp));
                    ControlFlow::<()>::Continue(())
                });
                if let Err(e) = counted {
                    failures.notify(env, &e);
                    consumer.unassign(&fetched.tp);
                }
                let total = stats.total();
                env.progress(total.bytes - before.bytes, total.records);
                buf = fetched.bytes;
            }
            Err(e) => {
                let Some(tp) = consumer.failed_at().cloned() else {
                    failures.notify(env, &e);
                    break;
                };
                match removed_meanwhile(consumer, &tp) {
                    Some((missed, start)) => {
                        failures.notify(env, &missed);
                        consumer.seek(&tp, start)?;
                    }
                    None => {
                        failures.notify(env, &e);
                        consumer.unassign(&tp);
                    }
                }
            }
        }
    }
    env.progress_done();
    Ok(())
}

/// The error for offsets that were removed before they were counted, and where the log starts now.
fn removed_meanwhile(consumer: &Consumer, tp: &TopicPartition) -> Option<(Error, Offset)> {
    let at = consumer.position(tp)?;
    let start = consumer.open_reader(tp).ok()?.page().ok()?.tail.log_start;
    if at >= start {
        return None;
    }
    let text = format!(
        "{tp}: offsets {at} to {} were removed before they were counted",
        start - 1
    );
    Some((Error::new(Kind::OffsetOutOfRange, text), start))
}

fn print(stats: &Stats, job: &StatsJob, env: &Env) -> Result<()> {
    let (shown, left) = stats.groups(job.limit.unwrap_or(usize::MAX));
    let is_table = job.output.format == OutputFormat::Table;
    let is_brief = is_table && stats.unkept_max() == 0;
    let all: &'static [Column] = match job.by {
        StatsBy::Key if is_brief => &BY_KEY_EXACT,
        StatsBy::Key => &BY_KEY,
        StatsBy::Hour | StatsBy::Minute if is_brief => &BY_TIME_EXACT,
        StatsBy::Hour | StatsBy::Minute => &BY_TIME,
        StatsBy::Size => &BY_SIZE,
        StatsBy::Partition => &BY_PARTITION,
    };
    let columns = match all.split_last() {
        Some((_, without_chart)) if !is_table => without_chart,
        _ => all,
    };
    let most = shown
        .iter()
        .map(|one| one.estimate.tally.bytes)
        .max()
        .unwrap_or(0);
    let mut rows = RowPrinter::stdout(env, columns, job.output);
    for one in &shown {
        let mut row = cells(one, is_brief);
        row.push(chart(one.estimate.tally.bytes, most).into());
        row.truncate(columns.len());
        rows.row(row)?;
    }
    rows.finish()?;
    let unkept = stats.unkept_max();
    if left > 0 {
        env.note(&format!("{left} more: --limit N shows the first N"));
    }
    if unkept > 0 {
        env.note(&format!(
            "not all fit into 64 MiB: what is not listed has {} at most each",
            show_size(i64::try_from(unkept).unwrap_or(i64::MAX))
        ));
    }
    Ok(())
}

fn cells(one: &RecordGroupStats, is_brief: bool) -> Vec<Cell> {
    let (tally, missed) = (one.estimate.tally, one.estimate.bytes_missed_max);
    let counts: [Cell; 2] = [tally.records.into(), tally.bytes.into()];
    let mut row = match &one.group {
        RecordGroup::Key(key) => vec![key.as_ref().map_or(Cell::Null, |key| {
            Cell::Text(String::from_utf8_lossy(key).into_owned())
        })],
        RecordGroup::Time(begin) => vec![(*begin).into()],
        RecordGroup::Size(least) => vec![(*least).into()],
        RecordGroup::Partition(tp) => vec![tp.topic.as_str().into(), tp.partition.into()],
    };
    row.extend(counts);
    if !is_brief && matches!(one.group, RecordGroup::Key(_) | RecordGroup::Time(_)) {
        row.push(missed.into());
    }
    row
}

/// A bar whose length is that share of the longest one.
fn chart(bytes: u64, most: u64) -> String {
    let length = u128::from(bytes) * u128::from(BAR) / u128::from(most.max(1));
    let length = usize::try_from(length).unwrap_or_default();
    // What is there at all is seen.
    "#".repeat(length.max(usize::from(bytes > 0)))
}

impl StatsBy {
    fn grouping(self) -> Grouping {
        match self {
            StatsBy::Key => Grouping::Key,
            StatsBy::Hour | StatsBy::Minute => Grouping::Time,
            StatsBy::Size => Grouping::Size,
            StatsBy::Partition => Grouping::Partition,
        }
    }
}

/// Hours or minutes of the local time zone.
struct TimeSpans {
    zone: TimeZone,
    span_ms: i64,
    /// Where the last one began.
    begun: Timestamp,
}

impl TimeSpans {
    fn new(by: StatsBy) -> Self {
        TimeSpans {
            zone: local_zone(),
            span_ms: if by == StatsBy::Hour {
                HOUR_MS
            } else {
                MINUTE_MS
            },
            begun: Timestamp::MIN,
        }
    }

    /// Where the one begins that a timestamp lies in. A zone is whole minutes from UTC, in this century.
    fn begin(&mut self, timestamp: Timestamp) -> Timestamp {
        if timestamp.wrapping_sub(self.begun) as u64 >= self.span_ms as u64 {
            let offset_ms = jiff::Timestamp::from_millisecond(timestamp).map_or(0, |time| {
                i64::from(self.zone.to_offset(time).seconds()) * 1000
            });
            let local = timestamp.saturating_add(offset_ms);
            self.begun = local - local.rem_euclid(self.span_ms) - offset_ms;
        }
        self.begun
    }
}
