//! The echo: what was sent, written out in the order of the input once it is acknowledged.

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

/// Input bytes that may wait for their acknowledgement.
pub const WAITING_BYTES_MAX: usize = 4 << 20;

/// Records that wait for their acknowledgement.
#[derive(Debug)]
pub struct Echoes {
    echo: Echo,
    waiting: VecDeque<Waiting>,
    waiting_bytes: usize,
    /// Receipts, by the opening of a topic and the partition; those of a record that is echoed go.
    acked: HashMap<(u64, PartitionId), VecDeque<Receipt>>,
    /// How many were rendered.
    count: u64,
    out: Vec<u8>,
    /// Its reader is gone, or does not read on and a signal asked to stop.
    broken: bool,
    /// Its reader is gone, which was not told yet.
    left: bool,
    /// Control characters of the input are made visible.
    escapes: bool,
    stop: StopFlag,
}

#[derive(Debug)]
struct Waiting {
    /// The opening of its topic that it was sent by.
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
    /// For a run, which a reader does not keep once `stop` is raised. `escapes`: standard output is a
    /// terminal.
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
            broken: false,
            left: false,
            escapes,
            stop,
        }
    }

    /// Whether anything is echoed.
    pub fn is_wanted(&self) -> bool {
        !matches!(self.echo, Echo::Nothing) && !self.broken
    }

    /// Whether the reader has gone since this was last asked.
    pub fn has_lost_reader(&mut self) -> bool {
        std::mem::take(&mut self.left)
    }

    /// Whether something waits.
    pub fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Whether so much waits that the input should.
    pub fn is_full(&self) -> bool {
        self.waiting_bytes > WAITING_BYTES_MAX
    }

    /// The opening of a topic that the record was sent by which is to be echoed next.
    pub fn next_opening(&self) -> Option<u64> {
        self.waiting.front().map(|front| front.opening)
    }

    /// Enters a record that was sent to a topic: its input bytes, and what it is.
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

    /// Takes acknowledgements of a topic, and writes out what they allow.
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
            // The receipt that names this record, or none yet.
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
                                // Refused in an echo.
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
        // A file keeps nobody waiting: no page of it is asked for.
        let written = if stdout::kind() == stdout::Kind::File {
            stdout::write_all(&self.out, &gone)
        } else {
            stdout::write_in_pages(&self.out, &[], &gone, &self.stop)
        };
        self.out.clear();
        match written {
            Ok(()) => Ok(()),
            // A reader that went away, or does not read, ends the echo, not the production.
            Err(e)
                if matches!(
                    e.kind(),
                    io::ErrorKind::BrokenPipe | io::ErrorKind::Interrupted
                ) =>
            {
                self.broken = true;
                self.left = e.kind() == io::ErrorKind::BrokenPipe;
                Ok(())
            }
            Err(e) => {
                self.broken = true;
                Err(stdout::failed(e))
            }
        }
    }
}
