//! A snapshot of a replica's log: its page, its segments up to the active one, and its epoch
//! checkpoint, all of one moment.
//!
//! 1. The page is read before and after the rest. A changed generation means that files moved
//!    meanwhile: the snapshot starts over.
//! 2. A segment beyond the page's active one is no part of the log. A producer that was killed
//!    within a roll leaves such files, and a later append removes them without a new generation. Nor is
//!    one that lies wholly below the log start: it is about to be removed.
//! 3. Within a generation a snapshot stays true for the segments that it names, but it may lack
//!    newer segments and newer epochs. So it may be kept to read sound batches. **Damage is
//!    concluded only from a snapshot that was taken after the page that promised the bytes.**

use std::sync::Arc;

use super::read::wait_until_settled;
use super::replica::Replica;
use super::state_page::StatePage;
use crate::error::{Error, Kind, Result};
use crate::log::{LeaderEpochs, Segments};
use crate::store::StoreDir;
use crate::types::Offset;

/// How often a snapshot starts over because files moved meanwhile.
const TRIES: u32 = 1000;

/// What a process may conclude about a replica's log.
#[derive(Debug, Clone)]
pub struct LogSnapshot {
    /// The published page; of another boot, only its durable part ([`StatePage::as_of_boot`]).
    pub page: StatePage,
    /// The segments from the log start to the active one; empty if they were not listed.
    pub segments: Segments,
    /// The epoch checkpoint; `None` if it is missing or unreadable.
    pub epochs: Option<LeaderEpochs>,
}

impl LogSnapshot {
    /// Takes a snapshot; `None` if both copies of the page are damaged.
    ///
    /// # Errors
    /// [`Kind::Busy`] if the log keeps moving, [`Kind::Io`].
    pub fn take(replica: &Replica) -> Result<Option<Self>> {
        LogSnapshot::take_with(replica, || Segments::list(&**replica.dir()))
    }

    /// Takes a snapshot without segments, for a first read whose segment is known: a listing of a
    /// thousand segments takes longer than such a read.
    ///
    /// # Errors
    /// As [`LogSnapshot::take`].
    pub fn take_unlisted(replica: &Replica) -> Result<Option<Self>> {
        LogSnapshot::take_with(replica, || Ok(Segments::default()))
    }

    fn take_with(replica: &Replica, list: impl Fn() -> Result<Segments>) -> Result<Option<Self>> {
        for _ in 0..TRIES {
            let Some(page) = replica.read_page()? else {
                return Ok(None);
            };
            let page = page.as_of_boot(replica.boot_id());
            let observed = list().and_then(|segments| {
                Ok(LogSnapshot {
                    page,
                    segments: segments.up_to(page.tail.active).since(page.tail.log_start),
                    epochs: replica.epochs()?,
                })
            });
            let after = replica.read_page()?;
            if after.is_some_and(|after| after.generation == page.generation) {
                return observed.map(Some);
            }
        }
        Err(keeps_moving(replica))
    }

    /// Waits until no bytes of the log are being moved, then takes a snapshot.
    ///
    /// # Errors
    /// As [`LogSnapshot::take`], and of the wait.
    pub fn take_settled(
        store: &Arc<StoreDir>,
        replica: &Replica,
        leads: bool,
    ) -> Result<Option<Self>> {
        for _ in 0..TRIES {
            let taken = LogSnapshot::take(replica)?;
            if taken
                .as_ref()
                .is_none_or(|taken| !taken.page.intent.moves_bytes())
            {
                return Ok(taken);
            }
            wait_until_settled(store, replica, leads)?;
        }
        Err(keeps_moving(replica))
    }

    /// The base of the segment after the one at `base`, if this snapshot knows it: it knows neither
    /// later segments nor another generation's.
    pub fn segment_after(&self, base: Offset, generation: u64) -> Option<Offset> {
        (self.page.generation == generation)
            .then(|| self.segments.after(base))
            .flatten()
    }
}

fn keeps_moving(replica: &Replica) -> Error {
    let text = format!("the log of {} keeps moving", replica.tp());
    Error::new(Kind::Busy, text).cure("other processes keep changing it: try again")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::SystemClock;
    use crate::disk::{Open, OsDisk};
    use crate::lifecycle::{NewTopic, create_topic};
    use crate::log::{FileKind, SegmentFile};
    use crate::partition::PartitionWriter;
    use crate::record::BatchBuilder;
    use crate::types::{Compression, TimestampType, TopicName, TopicPartition};

    const TIMEOUT: Duration = Duration::from_secs(10);

    /// As after a producer that was killed within a roll, before the first byte of its segment. A
    /// reader that took the file for a segment would look for it when the log passes that offset,
    /// long after a writer removed it.
    #[test]
    fn a_segment_beyond_the_active_one_is_no_part_of_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let clock = Arc::new(SystemClock::default());
        let store = StoreDir::open_or_create(Arc::new(OsDisk), clock, dir.path()).expect("open");
        let store = Arc::new(store);
        let tp = TopicPartition::new(TopicName::new("t").expect("a name"), 0);
        create_topic(&store, &NewTopic::embedded(tp.topic.clone(), 1), TIMEOUT).expect("created");
        let mut writer = PartitionWriter::open(&store, &tp, TIMEOUT).expect("open");
        let mut builder = BatchBuilder::new();
        builder.append_value(1, b"v").expect("append");
        let batch = builder.finish(Compression::None, TimestampType::CreateTime);
        writer.append(&mut batch.expect("finish")).expect("append");
        let replica = Replica::open(&store, &tp, 0).expect("open");
        let rolled = SegmentFile::new(1, FileKind::Log).name();
        replica
            .dir()
            .open(&rolled, Open::CreateNew)
            .expect("a new segment");
        let listed = Segments::list(&**replica.dir()).expect("listed");
        assert_eq!(listed.bases(), [0, 1]);
        for settled in [false, true] {
            let taken = if settled {
                LogSnapshot::take_settled(&store, &replica, true)
            } else {
                LogSnapshot::take(&replica)
            };
            let taken = taken.expect("taken").expect("a page");
            assert_eq!(taken.segments.bases(), [0]);
            assert_eq!(taken.segment_after(0, taken.page.generation), None);
        }
    }
}
