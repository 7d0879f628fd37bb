//! Opens topics and creates missing ones, but only once there is a record for them: a run that
//! fails at its first record leaves no empty topic.

use std::sync::Arc;
use std::time::Duration;

use super::job::{AutoCreate, check_missing};
use super::run::Run;
use crate::cli::lang::{InputFormat, shown};
use crate::client::topics::{self, TopicConfigs, TopicHandle};
use crate::client::{
    Admin, ProducerOptions, ProducerRecord, TopicRequest, UntimedProducer, check_for_new_topic,
    make_with,
};
use crate::error::{Error, Kind, Result};
use crate::record::DECOMPRESSED_LEN_MAX;
use crate::types::{Compression, PARTITIONS_MAX, PartitionId, TopicName};

/// With several open topics, the most bytes of each that are sent and not acknowledged.
const EACH_UNACKNOWLEDGED_BYTES_MAX: usize = 4 << 20;
/// And the most bytes in batches that are being built.
const EACH_BUILDING_BYTES_MAX: usize = 1 << 20;
/// How often partitions are added to a topic while others change it, before that is an error.
const GROWTHS_MAX: u32 = 10;
/// How often the limits of all topics are read while a record is larger than the known limits.
const LIMITS_INTERVAL: Duration = Duration::from_millis(500);

impl Run<'_> {
    /// Makes the record's topic the current one, and opens or creates it if necessary.
    ///
    /// # Errors
    /// [`Kind::InvalidRecord`], [`Kind::UnknownTopic`] and [`Kind::MessageTooLarge`] concern the
    /// record; all others end the run.
    pub(super) fn turn_to(
        &mut self,
        named: Option<&str>,
        record: &ProducerRecord<'_>,
    ) -> Result<()> {
        let name = match (&self.job.topic, named) {
            (Some(topic), _) => {
                if self.topics.get().is_some() {
                    return Ok(());
                }
                topic.clone()
            }
            (None, Some(named)) => {
                if self.topics.turn_to(named) {
                    return self.grow(record);
                }
                let bad = |e: Error| e.with_kind(Kind::InvalidRecord).at("topic");
                TopicName::new(named).map_err(bad)?
            }
            (None, None) => {
                return Err(
                    Error::new(Kind::InvalidRecord, "the record names no topic").cure(
                        "with --each-topic each record needs a \"topic\"; \
                         where all are for one topic, name that instead of --each-topic",
                    ),
                );
            }
        };
        if topics::read_if_there(&self.store, &name)?.is_none() {
            check_missing(&self.store, &self.job, &name)?;
            self.check_new(&name, record, named)?;
            self.make(&name)?;
        }
        self.open(&name)?;
        self.grow(record)
    }

    /// Whether topics that this run creates get the partitions that their records name.
    fn grows(&self) -> bool {
        self.job.topic.is_none()
            && self.job.keep_partition
            && self.job.create == AutoCreate::WithOne
    }

    /// Adds a record's partition to the current topic, if this run created the topic: an archive of
    /// many topics does not say at its beginning how many partitions each has. A topic that another
    /// process created, also a later one of the same name, keeps its partitions.
    fn grow(&mut self, record: &ProducerRecord<'_>) -> Result<()> {
        let Some(partition) = record.partition.filter(|p| *p < PARTITIONS_MAX) else {
            return Ok(());
        };
        let open = self.topics.current()?;
        for _ in 0..GROWTHS_MAX {
            let has = open.producer.partitions();
            let topic_id = open.producer.topic_id();
            if partition < 0 || (partition as usize) < has || !self.made.contains(&topic_id) {
                return Ok(());
            }
            // Reads the present state: the producer may not have noticed a deletion.
            let now = topics::read_if_there(&self.store, &open.name)?;
            let Some((known, _)) = now.filter(|(meta, _)| meta.topic_id == topic_id) else {
                return Ok(());
            };
            // A record that would be refused adds no partition.
            let timestamp = record.timestamp.unwrap_or_default();
            check_for_new_topic(&open.name, self.job.delivery.compression, record, timestamp)?;
            let admin = Admin::new(&self.store, self.job.delivery.timeout);
            match admin.add_partitions_to(&known, partition + 1) {
                // Another process changed the topic first or at the same time: try again.
                Err(e) if matches!(e.kind(), Kind::Usage | Kind::TopicExists | Kind::Busy) => {}
                added => drop(added?),
            }
            open.producer.refresh_partitions()?;
        }
        Ok(())
    }

    /// Opens an existing topic.
    pub(super) fn open(&mut self, name: &TopicName) -> Result<()> {
        if let Some(surplus) = self.topics.take_surplus() {
            self.close(surplus)?;
        }
        let each = self.job.topic.is_none();
        let delivery = self.job.delivery.clone();
        let options = ProducerOptions {
            observer: Some(self.waits.clone()),
            unacknowledged_bytes_max: if each {
                EACH_UNACKNOWLEDGED_BYTES_MAX
            } else {
                delivery.unacknowledged_bytes_max
            },
            building_bytes_max: if each {
                EACH_BUILDING_BYTES_MAX
            } else {
                delivery.building_bytes_max
            },
            ..delivery
        };
        let producer = UntimedProducer::open(&self.store, name, options)?;
        self.topics.enter(Arc::new(name.clone()), producer);
        Ok(())
    }

    /// Checks that a new topic can take the record that it is created for and, in a copy, the
    /// records after it. `named`: the topic that the record comes from.
    fn check_new(
        &self,
        name: &TopicName,
        record: &ProducerRecord<'_>,
        named: Option<&str>,
    ) -> Result<()> {
        let Some(partitions) = self.job.create.partitions() else {
            return Ok(());
        };
        let refuse = |why: String| {
            let made = count_of(partitions);
            let text =
                format!("UNKNOWN_TOPIC_OR_PARTITION: {name} would be created with {made}, {why}");
            Error::new(Kind::UnknownTopic, text)
        };
        let most = if self.grows() {
            PARTITIONS_MAX
        } else {
            partitions
        };
        let is_beyond = |one: &PartitionId| *one >= most;
        if let Some(partition) = record.partition.filter(is_beyond) {
            let cure = self.make_for(name, partition, named);
            return Err(refuse(format!("not with partition {partition}")).cure(cure));
        }
        if self.job.keep_partition
            && self.job.create == AutoCreate::WithOne
            && !self.grows()
            && let Some((from, known)) = self.origin_of(name, named)
            && known > partitions
        {
            // Otherwise the copy would stop half done, at the first record of another partition.
            let has = format!(
                "and {from}, where the record is from, has {}",
                count_of(known)
            );
            return Err(refuse(has).cure(format!(
                "create it first: {}; or say --create-partitions N",
                create_like(name, &from)
            )));
        }
        let timestamp = record.timestamp.unwrap_or_else(|| self.clock_now());
        check_for_new_topic(name, self.job.delivery.compression, record, timestamp)
    }

    /// The other topic of this store that a record says it comes from, and its partitions.
    fn origin_of(&self, name: &TopicName, named: Option<&str>) -> Option<(TopicName, PartitionId)> {
        let from = TopicName::new(named?).ok().filter(|from| from != name)?;
        let (meta, _) = topics::read_if_there(&self.store, &from).ok()??;
        let known = PartitionId::try_from(meta.partitions.len()).ok()?;
        Some((from, known))
    }

    /// How to create a missing topic for a record that names this partition.
    fn make_for(&self, name: &TopicName, partition: PartitionId, named: Option<&str>) -> String {
        match self.origin_of(name, named) {
            Some((from, known)) if known > partition => {
                format!("create it first: {}", create_like(name, &from))
            }
            _ if partition >= PARTITIONS_MAX => {
                format!(
                    "partitions are whole numbers from 0 to {}",
                    PARTITIONS_MAX - 1
                )
            }
            _ => format!(
                "create it first: 'mq-topics create {name} -p N', or as another topic is: 'mq-topics \
                 create {name} --like OTHER'"
            ),
        }
    }

    /// Adds advice to the error for a record whose partition the topic does not have.
    pub(super) fn with_partitions(
        &self,
        e: Error,
        own: Option<PartitionId>,
        named: Option<&str>,
    ) -> Error {
        let (Some(partition), Some(open)) = (own, self.topics.get()) else {
            return e;
        };
        let has = PartitionId::try_from(open.producer.partitions()).unwrap_or(PARTITIONS_MAX);
        if e.kind() != Kind::UnknownTopic || !(has..PARTITIONS_MAX).contains(&partition) {
            return e;
        }
        let name = &open.name;
        let due = match self.origin_of(name, named) {
            Some((from, known)) if known > partition => {
                format!("as many as {from} has: 'mq-topics alter {name} --partitions {known}'")
            }
            _ if self.grows() => format!(
                "'mq-topics alter {name} --partitions N', {} or more, as its records need",
                partition + 1
            ),
            _ => format!("'mq-topics alter {name} --partitions {}'", partition + 1),
        };
        e.cure(format!("it has {}; add some, {due}", count_of(has)))
    }

    /// Creates a missing topic, and notes it.
    pub(super) fn make(&mut self, name: &TopicName) -> Result<()> {
        let Some(partitions) = self.job.create.partitions() else {
            return Ok(());
        };
        let known = topics::list(&self.store)?;
        let near = crate::error::near_names(
            name.as_str(),
            known.iter().map(crate::types::TopicName::as_str),
        );
        let admin = Admin::new(&self.store, self.job.delivery.timeout);
        let (topic, made) = admin.open_or_create(&TopicRequest::new(name.clone(), partitions))?;
        if made {
            if self.grows() {
                self.made.insert(topic.meta().topic_id);
            }
            let like = if near.is_empty() {
                String::new()
            } else {
                format!(" (there is also '{}')", near.join("', '"))
            };
            let count = count_of(partitions);
            self.env
                .note(&format!("created topic {name} with {count}{like}"));
        }
        Ok(())
    }

    /// The most bytes of a stored batch in the current topic, else in a new one.
    pub(super) fn message_bytes_max(&self) -> usize {
        match self.topics.get() {
            Some(open) => open.producer.message_bytes_max(),
            None => TopicConfigs::default().batch_bytes_max() as usize,
        }
    }

    /// The most bytes of input that a record may take under its topic's present limit; `pending`
    /// bytes of it are read. Before the topic is known, the largest limit of any topic counts.
    pub(super) fn input_bytes_max(&mut self, pending: usize) -> usize {
        let ours = self.job.delivery.compression;
        let (most, compression) = match (&self.job.topic, self.topics.get()) {
            (Some(_), Some(open)) => (
                open.producer.message_bytes_max(),
                open.producer.compression(),
            ),
            (Some(_), None) => (self.message_bytes_max(), ours),
            (None, _) => {
                if pending > self.input_bytes(self.each_bytes_max) / 2 {
                    self.refresh_limits();
                }
                (self.each_bytes_max, ours)
            }
        };
        // A record above the topic's limit may fit once it is compressed.
        self.input_bytes(if compression == Compression::None {
            most
        } else {
            most.max(DECOMPRESSED_LEN_MAX)
        })
    }

    fn input_bytes(&self, most: usize) -> usize {
        // JSON escapes one byte with up to six.
        let bytes = match self.job.input.format {
            InputFormat::Json | InputFormat::Kcat => most.saturating_mul(6),
            _ => most,
        };
        bytes.saturating_add(65_536)
    }

    /// The largest limit of any topic.
    fn refresh_limits(&mut self) {
        let now = self.env.monotonic();
        if self
            .limits_seen
            .is_some_and(|seen| now - seen < LIMITS_INTERVAL)
        {
            return;
        }
        self.limits_seen = Some(now);
        // A topic that cannot be read sets no limit: its own records report the failure.
        let names = topics::list(&self.store).unwrap_or_default();
        let open = names
            .iter()
            .map(|name| TopicHandle::open(&self.store, name));
        let limits = open.flatten().map(|topic| {
            let configs = topic.configs();
            let most = configs.batch_bytes_max() as usize;
            match configs.compression {
                None | Some(Compression::None) => most,
                Some(_) => most.max(DECOMPRESSED_LEN_MAX),
            }
        });
        self.each_bytes_max = limits.fold(self.each_bytes_max, usize::max);
    }

    /// Advice for a record that is larger than its topic allows, or that is no record at all.
    pub(super) fn raise_or_check(&self, most: usize) -> String {
        // The record's size is unknown, so the advice names a round limit above the present one.
        let round = most.saturating_mul(2).next_power_of_two();
        let whole = self.source_bytes.filter(|_| self.is_whole());
        let bytes = whole.map_or(round, |bytes| bytes + 1024);
        let bytes = bytes.min(i32::MAX as usize);
        let raise = match (&self.job.topic, self.topics.get()) {
            (Some(_), Some(open)) => open.producer.raise_for(bytes),
            (Some(name), None) => make_with(name, bytes),
            (None, _) => "raise max.message.bytes of its topic".to_owned(),
        };
        match &self.job.input.format {
            InputFormat::Whole => format!("the whole input is one record: {raise}"),
            InputFormat::Lines(_) => format!("{raise}, or name another delimiter with -D"),
            InputFormat::MultiLine(_) => {
                format!(
                    "{raise}, or check the expression of --begins, or bound records with --max-lines"
                )
            }
            InputFormat::Json | InputFormat::Kcat => {
                format!("{raise}; a record is one line of JSON")
            }
            InputFormat::Console => format!("{raise}; a record is one line"),
            InputFormat::Template(_) => format!("{raise}, or check the template of -f"),
        }
    }

    /// Reads the topic files again. With --each-topic, a deleted topic without records under way is
    /// forgotten: the next record that names it creates it, or is refused.
    pub(super) fn refresh_partitions(&mut self) -> Result<()> {
        for open in self.topics.iter_mut() {
            match open.producer.refresh_partitions() {
                Err(e) if e.kind() == Kind::UnknownTopic && self.job.topic.is_none() => {}
                observed => observed?,
            }
        }
        while self.job.topic.is_none() {
            let gone = self
                .topics
                .take_idle(|open| open.producer.refresh_partitions().is_err());
            let Some(gone) = gone else {
                break;
            };
            self.close(gone)?;
        }
        Ok(())
    }

    /// The prefix of a message that has to name the topic.
    pub(super) fn of_topic(&self, name: &TopicName) -> String {
        match self.job.topic {
            Some(_) => String::new(),
            None => format!(" (topic {})", shown(name.as_str())),
        }
    }
}

fn create_like(name: &TopicName, from: &TopicName) -> String {
    format!("'mq-topics create {name} --like {from}'")
}

fn count_of(partitions: PartitionId) -> String {
    match partitions {
        1 => "1 partition".to_owned(),
        more => format!("{more} partitions"),
    }
}
