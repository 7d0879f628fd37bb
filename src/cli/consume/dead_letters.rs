//! The dead-letter topic: it takes the batches that no try could handle.

use std::sync::Arc;
use std::time::Duration;

use crate::client::topics::TopicHandle;
use crate::client::{Admin, Producer, ProducerOptions, ProducerRecord, StoreDir, TopicRequest};
use crate::error::{Error, Kind, Result};
use crate::record::{BatchBuilder, BatchView, Decompressor, Header, Record, stamp};
use crate::types::{Compression, Offset, TimestampType, TopicName, TopicPartition};

/// How long sending may wait for locks.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The most bytes that a dead letter's headers take: names, numbers, and a topic name of 249 bytes.
const HEADERS_ROOM: u64 = 1024;
/// The largest `max.message.bytes`.
const MESSAGE_BYTES_MAX: u64 = 2_147_483_647;

/// The dead-letter topic, and the records that may be sent to it.
#[derive(Debug)]
pub struct DeadLetters {
    store: Arc<StoreDir>,
    topic: TopicName,
    kept: BatchBuilder,
    places: Vec<RecordOrigin>,
}

/// Where a record was, and its codec.
#[derive(Debug, Clone, Copy)]
struct RecordOrigin {
    offset: Offset,
    codec: Compression,
}

/// Where a batch came from, and why it failed.
#[derive(Debug)]
pub struct DeadLetterOrigin<'a> {
    /// The batch's partition.
    pub tp: &'a TopicPartition,
    /// The last exit status.
    pub status: String,
    /// How often the command was tried.
    pub attempts: u32,
}

impl DeadLetters {
    /// Makes the dead letters of a topic, which is created when it is first needed.
    pub fn new(store: &Arc<StoreDir>, topic: TopicName) -> Self {
        DeadLetters {
            store: Arc::clone(store),
            topic,
            kept: BatchBuilder::new(),
            places: Vec::new(),
        }
    }

    /// The topic's name.
    pub fn topic(&self) -> &TopicName {
        &self.topic
    }

    /// Keeps a record of the next batch; `compression` is its codec in the source topic.
    ///
    /// # Errors
    /// The batch is too large to be kept in memory.
    pub fn keep(&mut self, record: &Record<'_>, compression: Compression) -> Result<()> {
        self.kept.append_record(record)?;
        self.places.push(RecordOrigin {
            offset: record.offset,
            codec: compression,
        });
        Ok(())
    }

    /// Forgets the batch, which was handled.
    pub fn forget(&mut self) {
        self.kept.reset();
        self.places.clear();
    }

    /// Sends the batch, and returns when it is acknowledged. Key, value, headers and timestamp are
    /// kept; the record's origin is added in headers after them, and replaces a former origin. The
    /// sizes of all records are checked before the first is sent: otherwise each try would store
    /// the first records once more, and fail at the one that is too large.
    ///
    /// # Errors
    /// Those of [`Producer::close`], with the record named.
    pub fn send(&mut self, origin: &DeadLetterOrigin<'_>) -> Result<()> {
        let source = TopicHandle::open(&self.store, &origin.tp.topic)?;
        let most = source
            .configs()
            .max_message_bytes
            .saturating_add(HEADERS_ROOM);
        let mut new = TopicRequest::new(self.topic.clone(), 1);
        new.configs.insert(
            "max.message.bytes".to_owned(),
            most.min(MESSAGE_BYTES_MAX).to_string(),
        );
        Admin::new(&self.store, TIMEOUT).open_or_create(&new)?;
        let mut kept = std::mem::take(&mut self.kept);
        let places = std::mem::take(&mut self.places);
        let mut bytes = kept.finish(Compression::None, TimestampType::CreateTime)?;
        stamp(&mut bytes, 0, 0);
        let mut decompressor = Decompressor::default();
        let view = BatchView::parse(&bytes)?;
        let words = Words::of(origin);
        let mut letters = Vec::with_capacity(places.len());
        for (record, place) in view.records(&mut decompressor)?.zip(&places) {
            letters.push(Letter {
                record: record?,
                at: place.offset.to_string(),
                place: *place,
            });
        }
        let mut senders = Senders::default();
        self.weigh(&letters, &words, &mut senders, most)?;
        let mut former: Option<RecordOrigin> = None;
        for letter in &letters {
            // Records are stored in order: the former codec's producer is flushed before the codec
            // changes.
            if let Some(former) = former.filter(|it| it.codec != letter.place.codec)
                && let Err(e) = senders.of(self, former.codec)?.flush()
            {
                return Err(self.unsent(e, origin, former.offset, most));
            }
            former = Some(letter.place);
            let headers = letter.headers(&words);
            let sent = senders
                .of(self, letter.place.codec)?
                .send(&letter.as_sent(&headers));
            if let Err(e) = sent {
                let room = most.max(letter.len());
                return Err(self.unsent(e, origin, letter.place.offset, room));
            }
        }
        let first = places.first().map_or(0, |place| place.offset);
        for (_, producer) in senders.0 {
            let closed = producer.close(|_| ());
            closed.map_err(|failure| self.unsent(failure.error, origin, first, most))?;
        }
        Ok(())
    }

    /// Checks that the topic takes all of the records.
    fn weigh(
        &self,
        letters: &[Letter<'_>],
        words: &Words<'_>,
        senders: &mut Senders,
        most: u64,
    ) -> Result<()> {
        let (mut unfit, mut room) = (None, most);
        for letter in letters {
            let headers = letter.headers(words);
            let producer = senders.of(self, letter.place.codec)?;
            if let Err(e) = producer.check(&letter.as_sent(&headers)) {
                room = room.max(letter.len());
                unfit.get_or_insert((e, letter.place.offset));
            }
        }
        match unfit {
            Some((e, offset)) => Err(self.unsent(e, words.origin, offset, room)),
            None => Ok(()),
        }
    }

    /// The error for a record that the topic refused; `room`: the `max.message.bytes` that would be
    /// needed.
    fn unsent(&self, e: Error, origin: &DeadLetterOrigin<'_>, offset: Offset, room: u64) -> Error {
        let (topic, tp) = (&self.topic, origin.tp);
        let is_too_large = e.kind() == Kind::MessageTooLarge;
        let e = e.at(format!(
            "offset {offset} of {tp} cannot be stored among the dead letters in {topic}"
        ));
        if !is_too_large {
            return e;
        }
        let room = room.min(MESSAGE_BYTES_MAX);
        e.cure(format!(
            "'mq-topics alter {topic} -c max.message.bytes={room}' lets it in; 'mq-groups skip' \
             passes over it"
        ))
    }
}

/// A record to send.
#[derive(Debug)]
struct Letter<'a> {
    record: Record<'a>,
    place: RecordOrigin,
    /// Its offset, in decimal digits.
    at: String,
}

/// The headers that all dead letters of a batch share.
#[derive(Debug)]
struct Words<'a> {
    origin: &'a DeadLetterOrigin<'a>,
    partition: String,
    attempts: String,
}

impl<'a> Words<'a> {
    fn of(origin: &'a DeadLetterOrigin<'a>) -> Self {
        Words {
            partition: origin.tp.partition.to_string(),
            attempts: origin.attempts.to_string(),
            origin,
        }
    }
}

impl<'a> Letter<'a> {
    fn headers(&'a self, words: &'a Words<'_>) -> Vec<Header<'a>> {
        let own = [
            ("mq.error.topic", words.origin.tp.topic.as_str()),
            ("mq.error.partition", &words.partition),
            ("mq.error.offset", &self.at),
            ("mq.error.status", &words.origin.status),
            ("mq.error.attempts", &words.attempts),
        ];
        // A record that was a dead letter before keeps only its latest origin.
        let is_former =
            |header: &Header<'_>| own.iter().any(|(key, _)| header.key == key.as_bytes());
        let kept = self.record.headers.iter().filter(|it| !is_former(it));
        let mut headers: Vec<Header<'a>> = kept.collect();
        headers.extend(own.map(|(key, value)| Header {
            key: key.as_bytes(),
            value: Some(value.as_bytes()),
        }));
        headers
    }

    fn as_sent<'h>(&'h self, headers: &'h [Header<'h>]) -> ProducerRecord<'h> {
        ProducerRecord {
            partition: None,
            timestamp: Some(self.record.timestamp),
            key: self.record.key,
            value: self.record.value,
            headers,
        }
    }

    /// The record's approximate size.
    fn len(&self) -> u64 {
        let len = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len) as u64;
        let headers = self.record.headers.iter();
        let headers = headers.map(|h| h.key.len() as u64 + len(h.value) + 16);
        len(self.record.key) + len(self.record.value) + headers.sum::<u64>() + HEADERS_ROOM
    }
}

/// One producer for each codec of the batch's records: a record that fits into its source
/// compressed may be too large with another codec.
#[derive(Debug, Default)]
struct Senders(Vec<(Compression, Producer)>);

impl Senders {
    fn of(&mut self, letters: &DeadLetters, codec: Compression) -> Result<&mut Producer> {
        let at = self.0.iter().position(|(known, _)| *known == codec);
        let at = at.unwrap_or(self.0.len());
        if at == self.0.len() {
            let options = ProducerOptions {
                compression: codec,
                ..ProducerOptions::default()
            };
            let producer = Producer::open(&letters.store, &letters.topic, options)?;
            self.0.push((codec, producer));
        }
        let gone = || Error::new(Kind::Unknown, "a producer is gone");
        self.0
            .get_mut(at)
            .map(|(_, producer)| producer)
            .ok_or_else(gone)
    }
}
