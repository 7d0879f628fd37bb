//! What must hold of a history of failures.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::history::{Copy, Event, Led, Page, Tp};

/// How soon all is in sync after the last fault.
pub const SETTLED: Duration = Duration::from_secs(10);

/// The rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// Every acknowledged record is at its offset.
    Lost,
    /// No record is stored twice.
    Twice,
    /// An offset has one value, over all replicas, reads and acknowledgements.
    TwoValues,
    /// A log has no gap.
    Hole,
    /// A reader misses nothing.
    Gap,
    /// A reader gets nothing again.
    Repeat,
    /// A reader gets all that there is.
    Unread,
    /// A replica's high watermark only rises.
    Sunk,
    /// A leader has all that was committed before.
    Shrunk,
    /// An epoch has one leader.
    TwoLeaders,
    /// Epochs only rise.
    EpochFell,
    /// A topic file's versions only rise, and each has one content.
    VersionFell,
    /// The leader is in the in-sync set, all of which hold replicas.
    BadSet,
    /// Followers are their leader's, byte for byte, up to the high watermark.
    Differs,
    /// Each partition has all its replicas at the end.
    Missing,
    /// All is in sync soon after the last fault.
    NotSettled,
    /// No process ends with an error.
    Failed,
}

/// A rule that does not hold, and why.
pub type Violation = (Rule, String);

/// Finds what cannot be.
pub fn check(history: &[Event], replicas: usize) -> Vec<Violation> {
    let mut checker = Checker::default();
    for event in history {
        checker.take(event);
    }
    checker.close(replicas);
    checker.found
}

/// The first few violations of each rule.
pub fn report(found: &[Violation]) -> String {
    let mut reported: BTreeMap<Rule, usize> = BTreeMap::new();
    let mut text = String::new();
    for (rule, why) in found {
        let count = reported.entry(*rule).or_default();
        *count += 1;
        if *count <= 5 {
            text.push_str(&format!("{rule:?}: {why}\n"));
        }
    }
    for (rule, count) in reported {
        text.push_str(&format!("{rule:?}: {count} in all\n"));
    }
    text
}

#[derive(Default)]
struct Checker<'a> {
    found: Vec<Violation>,
    /// The value of each offset, and who said so first.
    values: BTreeMap<(&'a Tp, i64), (&'a str, String)>,
    acknowledged: Vec<(&'a Tp, i64, &'a str)>,
    /// What each reader gets next.
    next: BTreeMap<(usize, &'a Tp), i64>,
    /// By partition, broker and replica.
    high_watermarks: BTreeMap<(&'a Tp, i64, &'a str), (u64, i64)>,
    /// The largest high watermark of each epoch.
    committed: BTreeMap<&'a Tp, BTreeMap<i64, i64>>,
    leaders: BTreeMap<(&'a Tp, i64), i64>,
    epochs: BTreeMap<&'a Tp, i64>,
    topics: BTreeMap<&'a str, (u64, &'a [Led])>,
    copies: BTreeMap<&'a Tp, Vec<&'a Copy>>,
    settled: bool,
}

impl<'a> Checker<'a> {
    fn say(&mut self, rule: Rule, why: String) {
        self.found.push((rule, why));
    }

    fn take(&mut self, event: &'a Event) {
        match event {
            Event::Acknowledged {
                producer,
                tp,
                offset,
                value,
            } => {
                self.value(tp, *offset, value, format!("acknowledged to {producer}"));
                self.acknowledged.push((tp, *offset, value));
            }
            Event::Read {
                reader,
                tp,
                offset,
                value,
            } => {
                self.value(tp, *offset, value, format!("read by {reader}"));
                self.read(*reader, tp, *offset);
            }
            Event::ReadAll { reader, tp, until } => {
                let next = self.next.get(&(*reader, tp)).copied().unwrap_or(0);
                if next < *until {
                    let why = format!("{tp:?} by {reader} up to {next} of {until}");
                    self.say(Rule::Unread, why);
                }
            }
            Event::Topic {
                version,
                partitions,
            } => self.topic(*version, partitions),
            Event::Page(page) => self.page(page),
            Event::Ended { what, status, said } => {
                if *status != 0 {
                    self.say(Rule::Failed, format!("{what} ended with {status}: {said}"));
                }
            }
            Event::Settled(took) => {
                self.settled = true;
                if took.is_none_or(|took| took > SETTLED) {
                    self.say(Rule::NotSettled, format!("in sync after {took:?}"));
                }
            }
            Event::Copy(copy) => self.copies.entry(&copy.tp).or_default().push(copy),
        }
    }

    fn value(&mut self, tp: &'a Tp, offset: i64, value: &'a str, source: String) {
        match self.values.entry((tp, offset)) {
            Entry::Vacant(vacant) => {
                vacant.insert((value, source));
            }
            Entry::Occupied(first) => {
                let (known, by) = first.get();
                if *known != value {
                    let why = format!("{tp:?} {offset}: {known:.40} {by}, {value:.40} {source}");
                    self.say(Rule::TwoValues, why);
                }
            }
        }
    }

    fn read(&mut self, reader: usize, tp: &'a Tp, offset: i64) {
        let next = self.next.entry((reader, tp)).or_insert(0);
        let due = *next;
        *next = offset + 1;
        if offset > due {
            self.say(
                Rule::Gap,
                format!("{tp:?} by {reader}: {offset} where {due} was due"),
            );
        } else if offset < due {
            self.say(
                Rule::Repeat,
                format!("{tp:?} by {reader}: {offset} where {due} was due"),
            );
        }
    }

    fn topic(&mut self, version: u64, partitions: &'a [Led]) {
        let Some(first) = partitions.first() else {
            return;
        };
        let name = first.tp.0.as_str();
        if let Some((known, content)) = self.topics.insert(name, (version, partitions))
            && (version < known || version == known && content != partitions)
        {
            self.say(
                Rule::VersionFell,
                format!("{name}: {version} after {known}"),
            );
        }
        for led in partitions {
            self.leader(&led.tp, led.epoch, led.leader);
            let epoch = self.epochs.insert(&led.tp, led.epoch);
            if epoch.is_some_and(|before| led.epoch < before) {
                let why = format!("{:?}: {} after {epoch:?}", led.tp, led.epoch);
                self.say(Rule::EpochFell, why);
            }
            let held: BTreeSet<i64> = led.replicas.iter().map(|(broker, _)| *broker).collect();
            let set: BTreeSet<i64> = led.isr.iter().copied().collect();
            if !set.contains(&led.leader) || !set.is_subset(&held) || set.len() != led.isr.len() {
                self.say(Rule::BadSet, format!("version {version}: {led:?}"));
            }
        }
    }

    fn leader(&mut self, tp: &'a Tp, epoch: i64, leader: i64) {
        let known = *self.leaders.entry((tp, epoch)).or_insert(leader);
        if known != leader {
            self.say(
                Rule::TwoLeaders,
                format!("{tp:?} epoch {epoch}: {known} and {leader}"),
            );
        }
    }

    fn page(&mut self, page: &'a Page) {
        let tp = &page.tp;
        let shown = page.high_watermark;
        let key = (tp, page.broker, page.uuid.as_str());
        let (sequence, before) = *self
            .high_watermarks
            .entry(key)
            .or_insert((page.sequence, shown));
        if page.sequence < sequence {
            // The older copy, while the newer one was being written.
            return;
        }
        self.high_watermarks.insert(key, (page.sequence, shown));
        if shown < before {
            let why = format!(
                "{tp:?} on {}: {shown} after {before}: {page:?}",
                page.broker
            );
            self.say(Rule::Sunk, why);
        }
        let by_epoch = self.committed.entry(tp).or_default();
        let earlier = by_epoch.range(..=page.epoch).map(|(_, mark)| *mark).max();
        let mark = by_epoch.entry(page.epoch).or_insert(shown);
        *mark = shown.max(*mark);
        if page.leads {
            if earlier.is_some_and(|committed| page.end < committed) {
                self.say(
                    Rule::Shrunk,
                    format!("{earlier:?} was committed before {page:?}"),
                );
            }
            self.leader(tp, page.epoch, page.broker);
        }
    }

    fn close(&mut self, replicas: usize) {
        if !self.settled {
            self.say(Rule::NotSettled, "never verified".to_owned());
        }
        let copies = std::mem::take(&mut self.copies);
        for (tp, of_tp) in &copies {
            if of_tp.len() != replicas {
                self.say(
                    Rule::Missing,
                    format!("{tp:?} has {} of {replicas} replicas", of_tp.len()),
                );
            }
            for copy in of_tp {
                self.copy(copy);
            }
            for pair in of_tp.windows(2) {
                let [one, other] = pair else { continue };
                if one.bytes != other.bytes || one.high_watermark != other.high_watermark {
                    let at = one.bytes.iter().zip(&other.bytes).position(|(a, b)| a != b);
                    self.say(
                        Rule::Differs,
                        format!(
                            "{tp:?}: broker {} has {} bytes up to {}, broker {} {} up to {}; from \
                             byte {at:?} on",
                            one.broker,
                            one.bytes.len(),
                            one.high_watermark,
                            other.broker,
                            other.bytes.len(),
                            other.high_watermark
                        ),
                    );
                }
            }
        }
        let there: BTreeSet<&Tp> = copies.keys().copied().collect();
        for (tp, offset, value) in std::mem::take(&mut self.acknowledged) {
            if !there.contains(tp) {
                self.say(Rule::Missing, format!("{tp:?} was not read at the end"));
                continue;
            }
            for copy in copies.get(tp).into_iter().flatten() {
                let index = usize::try_from(offset - copy.records.first().map_or(0, |r| r.offset));
                let found = index.ok().and_then(|at| copy.records.get(at));
                if offset >= copy.high_watermark || found.is_none_or(|found| found.value != value) {
                    let why = format!(
                        "{tp:?} {offset} on broker {} (up to {}): {found:.40?} for {value:.40}",
                        copy.broker, copy.high_watermark
                    );
                    self.say(Rule::Lost, why);
                }
            }
        }
    }

    fn copy(&mut self, copy: &'a Copy) {
        let mut places: BTreeMap<&str, i64> = BTreeMap::new();
        let mut due = copy.records.first().map_or(0, |first| first.offset);
        for record in &copy.records {
            let (tp, offset) = (&copy.tp, record.offset);
            if offset != due {
                self.say(
                    Rule::Hole,
                    format!("{tp:?} on broker {}: {offset}, not {due}", copy.broker),
                );
            }
            due = offset + 1;
            if let Some(other) = places.insert(&record.value, offset) {
                let why = format!(
                    "{tp:?} on broker {}: {:.40} at {other} and {offset}",
                    copy.broker, record.value
                );
                self.say(Rule::Twice, why);
            }
            if offset < copy.high_watermark {
                let source = format!("on broker {}", copy.broker);
                self.value(tp, offset, &record.value, source);
            }
        }
    }
}
