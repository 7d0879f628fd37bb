//! The edges of what can be read of a log.

use crate::types::Offset;

/// The offsets between which a log can be read.
///
/// ```
/// use std::time::Duration;
///
/// use mq::{Event, NewTopic};
///
/// # fn main() -> mq::Result<()> {
/// # let scratch = tempfile::tempdir().expect("a directory");
/// # let store = mq::Store::open(scratch.path().join("store"))?;
/// # store.admin().ensure_topic(NewTopic::new("orders"))?;
/// # store.producer("orders").open()?.send("hello")?.wait()?;
/// let mut consumer = store.consumer(["orders"]).to_end().open()?;
/// if let Event::Records(batch) = consumer.poll(Duration::from_secs(1))? {
///     let edges = batch.log_edges();
///     assert_eq!((edges.log_start, edges.high_watermark), (0, 1));
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LogEdges {
    /// Its first offset.
    pub log_start: Offset,
    /// The offset after the last readable one.
    pub high_watermark: Offset,
    /// A compaction left out deletions of keys below this offset; 0: none. A reader that has older records
    /// and stands below it may not learn of them.
    pub deletions_gone: Offset,
}
