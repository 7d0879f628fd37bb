//! A sent record, which a thread or a task can wait for.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::receipt::Receipt;
use crate::client::{self, Completion, SharedSent};
use crate::error::{Error, Kind, Result};

/// A record that a producer took. Dropping this value does not stop the delivery.
///
/// It is also a future, for any runtime: `let receipt = producer.send("text")?.await?;`. As a
/// future it has no timeout of its own; it completes at the latest when the producer is closed.
///
/// ```
/// # use std::time::Duration;
/// # fn main() -> mq::Result<()> {
/// # let scratch = tempfile::tempdir().expect("a directory");
/// # let store = mq::Store::open(scratch.path().join("store"))?;
/// # store.admin().ensure_topic(mq::NewTopic::new("orders"))?;
/// let orders = store.producer("orders").open()?;
/// let sent = orders.send(("order-7", "paid"))?;
/// if let Some(outcome) = sent.wait_timeout(Duration::from_secs(5)) {
///     assert_eq!(outcome?.count, 1);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Sent {
    last: SharedSent,
    /// The last record of each other partition that [`send_all`](super::Producer::send_all) sent
    /// to.
    others: Vec<SharedSent>,
}

impl Sent {
    #[inline]
    pub(super) fn new(last: SharedSent) -> Self {
        Sent {
            last,
            others: Vec::new(),
        }
    }

    /// A record that was sent after this one, by the same call.
    pub(super) fn followed_by(&mut self, next: SharedSent) {
        let partition = next.sent.partition;
        let before = std::mem::replace(&mut self.last, next);
        if before.sent.partition != partition {
            self.others
                .retain(|other| other.sent.partition != partition);
            self.others.push(before);
        }
    }

    /// As [`Sent::followed_by`], if the record is in the same batch; returns whether it is.
    #[inline]
    pub(super) fn extended_by(&mut self, next: client::Sent, batch: &Arc<Completion>) -> bool {
        let same = Arc::ptr_eq(batch, &self.last.completion);
        if same {
            self.last.sent = next;
        }
        same
    }

    fn topic(&self) -> &str {
        self.last.completion.topic().as_str()
    }

    /// The partition that the record goes to.
    pub fn partition(&self) -> i32 {
        self.last.sent.partition
    }

    /// The record's number among those that the producer sent to its partition, from 0.
    pub fn sequence(&self) -> u64 {
        self.last.sent.sequence
    }

    /// Waits until the record is acknowledged: durable, unless the topic or the producer's options
    /// say otherwise. Of several records (`send_all`), waits for all; the receipt is that of the
    /// last.
    ///
    /// # Errors
    /// Why it is not; [`Error::outcome_unknown`] says whether it may be stored nevertheless. After the
    /// store's timeout: [`Kind::Unknown`].
    pub fn wait(&self) -> Result<Receipt> {
        self.wait_timeout(self.last.completion.timeout())
            .unwrap_or_else(|| {
                let text = format!(
                    "the record is not acknowledged after {:?}; it may still be stored later",
                    self.last.completion.timeout()
                );
                let error = Error::new(Kind::Unknown, text)
                    .cure("wait longer (timeout), or read it back before sending it again");
                Err(self.placed(error, self.partition()))
            })
    }

    /// As [`Sent::wait`], up to `timeout`. `None`: the outcome is not known yet.
    pub fn wait_timeout(&self, timeout: Duration) -> Option<Result<Receipt>> {
        let ends = match self.others.as_slice() {
            [] => Duration::ZERO,
            _ => self.last.completion.now().saturating_add(timeout),
        };
        let last = self.last.completion.wait(self.sequence(), timeout)?;
        for other in &self.others {
            let left = ends.saturating_sub(other.completion.now());
            let waited = other.completion.wait(other.sent.sequence, left)?;
            if let Err(e) = waited {
                return Some(Err(self.placed(e, other.sent.partition)));
            }
        }
        Some(self.reported(last))
    }

    fn reported(&self, outcome: Result<client::Receipt>) -> Result<Receipt> {
        match outcome {
            Ok(receipt) => Ok(Receipt::new(self.topic(), receipt)),
            Err(e) => Err(self.placed(e, self.partition())),
        }
    }

    fn placed(&self, error: Error, partition: i32) -> Error {
        error.of_topic(self.topic()).of_partition(partition)
    }
}

impl Future for Sent {
    type Output = Result<Receipt>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        for other in &self.others {
            match other.completion.poll(other.sent.sequence, context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(e)) => {
                    return Poll::Ready(Err(self.placed(e, other.sent.partition)));
                }
                Poll::Ready(Ok(_)) => {}
            }
        }
        let last = self.last.completion.poll(self.sequence(), context);
        last.map(|outcome| self.reported(outcome))
    }
}
