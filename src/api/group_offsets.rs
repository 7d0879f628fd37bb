//! The committed offsets of a group, read and written without joining it.

use super::{Admin, Positions};
use crate::error::Result;
use crate::group::{self, CommitEntry};

impl Admin {
    /// The committed offsets of a group: where its members continue. None for a group that does not
    /// exist.
    ///
    /// # Errors
    /// [`Kind::Damaged`](crate::error::Kind::Damaged), [`Kind::Usage`](crate::error::Kind::Usage) for a
    /// name that cannot be a group's.
    pub fn offsets(&self, group: &str) -> Result<Positions> {
        let committed = group::committed_offsets(self.store().dir(), group)?;
        let mut positions = Positions::default();
        for (topic, partition, topic_id, offset) in committed.offsets() {
            let tp = crate::types::TopicPartition::new(topic.clone(), partition);
            positions.set(tp, topic_id, offset);
        }
        Ok(positions)
    }

    /// Commits offsets for a group that has no members: for the partitions in `positions`, and for
    /// no others. So a group without members is a bookmark, which the tools can show and change,
    /// too. The group is created if it does not exist. Either all offsets are committed, or none.
    ///
    /// ```
    /// # fn main() -> mq::Result<()> {
    /// # let scratch = tempfile::tempdir().expect("a directory");
    /// # let store = mq::Store::open(scratch.path().join("store"))?;
    /// # store.admin().ensure_topic(mq::NewTopic::new("orders"))?;
    /// # store.producer("orders").open()?.send("hello")?.wait()?;
    /// let admin = store.admin();
    /// let kept = admin.offsets("bookmark")?;
    /// let mut consumer = store.consumer(["orders"]).resume(kept).to_end().open()?;
    /// assert_eq!(consumer.by_ref().count(), 1);
    /// admin.commit_offsets("bookmark", &consumer.positions())?;
    /// assert_eq!(admin.offsets("bookmark")?, consumer.positions());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Kind::NonEmptyGroup`](crate::error::Kind::NonEmptyGroup) while it has members;
    /// [`Kind::UnknownTopic`](crate::error::Kind::UnknownTopic) also for offsets of an earlier topic of
    /// that name; [`Kind::OffsetOutOfRange`](crate::error::Kind::OffsetOutOfRange) for an offset that
    /// the log does not have; [`Kind::Unknown`](crate::error::Kind::Unknown) if the outcome is unknown.
    pub fn commit_offsets(&self, group: &str, positions: &Positions) -> Result<()> {
        let store = self.store();
        let places: Vec<_> = positions
            .places()
            .map(|(tp, topic_id, offset)| {
                let tp = tp.clone();
                (CommitEntry { tp, offset }, topic_id)
            })
            .collect();
        let mut notes = Vec::new();
        group::commit_places(store.dir(), group, &places, store.timeout(), &mut notes)?;
        for note in notes {
            store.dir().add_note(note);
        }
        Ok(())
    }
}
