//! The echo: acknowledged records, written out in the order of the input.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::job::Echo;
use super::topics::OpenTopic;
use crate::cli::lang::{HeaderList, OutputRecord, TerminalEscaper};
use crate::cli::signals::StopFlag;
use crate::cli::stdout;
use crate::client::files::LogEdges;
use crate::client::{ProducerRecord, Receipt, Sent};
use crate::error::Result;
use crate::record::Header;
use crate::types::{PartitionId, Timestamp, TimestampType, TopicName};

/// The most input bytes that may wait for their acknowledgement.
pub const WAITING_BYTES_MAX: usize = 4 << 20;

/// The records that wait for their acknowledgement.
#[derive(Debug)]
pub struct Echoes {
    echo: Echo,
    waiting: VecDeque<Waiting>,
    waiting_bytes: usize,
    /// Receipts by opening of a topic and partition; those of echoed records are removed.
    acked: HashMap<(u64, PartitionId), VecDeque<Receipt>>,
    /// The number of rendered records.
    count: u64,
    out: Vec<u8>,
    reader: EchoReader,
    /// Whether control characters of the input are escaped.
    escapes: bool,
    stop: StopFlag,
}

/// What reads the echo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum EchoReader {
    /// It reads, as far as is known.
    Reads,
    /// It has gone, and this was not reported yet.
    Left,
    /// Nothing more is written for it: it has gone, the output failed, or it does not read and a
    /// signal asked to stop.
    Lost,
}

#[derive(Debug)]
struct Waiting {
    /// The opening of the topic through which the record was sent.
    opening: u64,
    sent: Sent,
    bytes: usize,
    what: What,
}

#[derive(Debug)]
enum What {
    Bytes(Vec<u8>),
    Record(Box<OwnedRecord>),
}

/// A record that outlives its input.
#[derive(Debug)]
struct OwnedRecord {
    topic: Arc<TopicName>,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    timestamp: Timestamp,
}

impl Echoes {
    /// For a run. Once `stop` is raised, it no longer waits for the reader. `escapes`: standard
    /// output is a terminal.
    pub fn new(echo: Echo, stop: StopFlag, escapes: bool) -> Self {
        let echo = match echo {
            Echo::Template(renderer) => Echo::Template(Box::new(renderer.escaping(escapes))),
            other => other,
        };
        Echoes {
            echo,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            acked: HashMap::new(),
            count: 0,
            out: Vec::new(),
            reader: EchoReader::Reads,
            escapes,
            stop,
        }
    }

    /// Whether anything is echoed.
    pub fn is_wanted(&self) -> bool {
        !matches!(self.echo, Echo::Nothing) && self.reader == EchoReader::Reads
    }

    /// Whether the reader has gone since the last call.
    pub fn has_lost_reader(&mut self) -> bool {
        let has_left = self.reader == EchoReader::Left;
        if has_left {
            self.reader = EchoReader::Lost;
        }
        has_left
    }

    /// Whether records wait.
    pub fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Whether so many bytes wait that reading the input has to pause.
    pub fn is_full(&self) -> bool {
        self.waiting_bytes > WAITING_BYTES_MAX
    }

    /// The opening of the topic through which the next record to echo was sent.
    pub fn next_opening(&self) -> Option<u64> {
        self.waiting.front().map(|front| front.opening)
    }

    /// Adds a record that was sent to a topic, with its input bytes.
    pub fn sent(
        &mut self,
        to: &OpenTopic,
        sent: Sent,
        input: &[u8],
        record: &ProducerRecord<'_>,
        timestamp: Timestamp,
    ) {
        if !self.is_wanted() {
            return;
        }
        let what = match self.echo {
            Echo::Nothing => return,
            Echo::Tee => What::Bytes(input.to_vec()),
            Echo::Template(_) => What::Record(Box::new(OwnedRecord {
                topic: Arc::clone(&to.name),
                key: record.key.map(<[u8]>::to_vec),
                value: record.value.map(<[u8]>::to_vec),
                headers: record
                    .headers
                    .iter()
                    .map(|h| (h.key.to_vec(), h.value.map(<[u8]>::to_vec)))
                    .collect(),
                timestamp,
            })),
        };
        let bytes = input.len() + 64;
        self.waiting_bytes += bytes;
        self.waiting.push_back(Waiting {
            opening: to.opening,
            sent,
            bytes,
            what,
        });
    }

    /// Takes a topic's receipts, and writes the records that can be echoed now.
    pub fn acknowledged(&mut self, opening: u64, receipts: &[Receipt]) -> Result<()> {
        if !self.is_wanted() {
            self.waiting.clear();
            self.acked.clear();
            self.waiting_bytes = 0;
            return Ok(());
        }
        for receipt in receipts {
            self.acked
                .entry((opening, receipt.partition))
                .or_default()
                .push_back(*receipt);
        }
        while let Some(front) = self.waiting.front() {
            let at = (front.opening, front.sent.partition);
            let Some(acked) = self.acked.get_mut(&at) else {
                break;
            };
            let sequence = front.sent.sequence;
            let is_before = |receipt: &Receipt| receipt.sequence + receipt.count <= sequence;
            while acked.front().is_some_and(is_before) {
                acked.pop_front();
            }
            // The receipt that covers this record, if it has arrived.
            let Some(receipt) = acked.front().copied().filter(|r| r.sequence <= sequence) else {
                break;
            };
            if receipt.sequence + receipt.count == sequence + 1 {
                acked.pop_front();
                if acked.is_empty() {
                    self.acked.remove(&at);
                }
            }
            let offset = receipt.base_offset + (sequence - receipt.sequence) as i64;
            let (epoch, append_time) = (receipt.leader_epoch, receipt.append_time);
            let Some(front) = self.waiting.pop_front() else {
                break;
            };
            self.waiting_bytes -= front.bytes;
            match front.what {
                What::Bytes(bytes) if self.escapes => {
                    let mut escaper = TerminalEscaper::new();
                    escaper.escape(&bytes, &mut self.out);
                    escaper.finish(&mut self.out);
                }
                What::Bytes(bytes) => self.out.extend_from_slice(&bytes),
                What::Record(record) => {
                    if let Echo::Template(renderer) = &self.echo {
                        let headers: Vec<Header<'_>> = record
                            .headers
                            .iter()
                            .map(|(key, value)| Header {
                                key,
                                value: value.as_deref(),
                            })
                            .collect();
                        let timestamp_type = if append_time.is_some() {
                            TimestampType::LogAppendTime
                        } else {
                            TimestampType::CreateTime
                        };
                        renderer.render(
                            &OutputRecord {
                                topic: record.topic.as_str(),
                                partition: front.sent.partition,
                                offset,
                                timestamp: append_time.unwrap_or(record.timestamp),
                                timestamp_type,
                                leader_epoch: epoch,
                                key: record.key.as_deref(),
                                value: record.value.as_deref(),
                                headers: HeaderList::Slice(&headers),
                                count: self.count,
                                // An echo's template cannot have these fields.
                                edges: LogEdges::default(),
                            },
                            &mut self.out,
                        )?;
                        self.count += 1;
                    }
                }
            }
        }
        self.write_out()
    }

    fn write_out(&mut self) -> Result<()> {
        if self.out.is_empty() {
            return Ok(());
        }
        let gone = AtomicU64::new(0);
        // A file is always ready for writing, so its writes are not split into pages.
        let written = if stdout::kind() == stdout::StdoutKind::File {
            stdout::write_all(&self.out, &gone)
        } else {
            stdout::write_in_pages(&self.out, &[], &gone, &self.stop)
        };
        self.out.clear();
        match written {
            Ok(()) => Ok(()),
            // A reader that went away, or does not read, ends the echo but not the run.
            Err(e)
                if matches!(
                    e.kind(),
                    io::ErrorKind::BrokenPipe | io::ErrorKind::Interrupted
                ) =>
            {
                self.reader = if e.kind() == io::ErrorKind::BrokenPipe {
                    EchoReader::Left
                } else {
                    EchoReader::Lost
                };
                Ok(())
            }
            Err(e) => {
                self.reader = EchoReader::Lost;
                Err(stdout::failed(e))
            }
        }
    }
}
