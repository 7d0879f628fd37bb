//! What happened while brokers failed, as far as it could be seen from outside.

use std::time::Duration;

/// A partition: topic and number.
pub type Tp = (String, i64);

/// A partition as a topic file has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Led {
    pub tp: Tp,
    pub leader: i64,
    pub epoch: i64,
    pub isr: Vec<i64>,
    /// Broker and the replica directory's id.
    pub replicas: Vec<(i64, String)>,
}

/// What a replica's page says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    pub tp: Tp,
    pub broker: i64,
    pub uuid: String,
    pub sequence: u64,
    pub epoch: i64,
    pub leads: bool,
    pub log_start: i64,
    pub end: i64,
    pub high_watermark: i64,
}

/// A record in a replica's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    pub offset: i64,
    pub value: String,
}

/// A replica's log at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copy {
    pub tp: Tp,
    pub broker: i64,
    pub high_watermark: i64,
    pub records: Vec<Stored>,
    /// The log's bytes up to the high watermark.
    pub bytes: Vec<u8>,
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// An acknowledgement: a producer knows that a record is stored.
    Acknowledged {
        producer: usize,
        tp: Tp,
        offset: i64,
        value: String,
    },
    /// A reader was given a record. A reader's records come in the order it got them.
    Read {
        reader: usize,
        tp: Tp,
        offset: i64,
        value: String,
    },
    /// A reader has read all there was: up to there.
    ReadAll { reader: usize, tp: Tp, until: i64 },
    /// A topic file was read.
    Topic { version: u64, partitions: Vec<Led> },
    /// A page was read.
    Page(Page),
    /// A process ended by itself.
    Ended {
        what: String,
        status: i32,
        said: String,
    },
    /// All was in sync again, so long after the last fault; `None`: it was not in all the time
    /// that was waited.
    Settled(Option<Duration>),
    /// A replica was read at the end.
    Copy(Copy),
}

/// All that happened, in the order in which it was seen.
pub type History = Vec<Event>;
