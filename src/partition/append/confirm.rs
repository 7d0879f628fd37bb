//! The last check before an acknowledgement.

use std::sync::Arc;

use super::writer::{Appended, recreated};
use crate::error::{Error, Kind, Result};
use crate::log;
use crate::partition::log_snapshot::LogSnapshot;
use crate::partition::replica::{Replica, offline_error};
use crate::record::BatchHeader;
use crate::store::{StoreDir, TopicHandle};

/// Whether an append may be acknowledged: its page and its topic are still in place, and the log
/// still has the batch at its offset.
///
/// Only checks: [`super::writer::PartitionWriter::refresh`] switches to a newer topic file,
/// together with the replica that it names.
///
/// # Errors
/// [`Kind::Unknown`] if that cannot be determined; [`Kind::UnknownTopic`] if the topic is gone.
pub fn confirm(
    store: &Arc<StoreDir>,
    replica: &Replica,
    topic: &TopicHandle,
    appended: &Appended,
) -> Result<()> {
    let tp = replica.tp();
    let now = if topic.is_current()? {
        topic.clone()
    } else {
        TopicHandle::open(store, &tp.topic)?
    };
    if now.meta().topic_id != topic.meta().topic_id {
        return Err(recreated(tp));
    }
    let unknown = |why: &str| {
        Error::new(
            Kind::Unknown,
            format!(
                "offsets {} to {} of {tp} are perhaps stored: {why}",
                appended.base_offset, appended.last_offset
            ),
        )
        .cure("read them back before sending them again")
    };
    if !replica.in_place()? {
        return Err(unknown("its directory was replaced"));
    }
    let page = replica
        .read_page()?
        .ok_or_else(|| unknown("its page is unreadable"))?;
    if let Some(why) = page.offline {
        let offline = offline_error(replica, why);
        let cure = offline.cure_text().unwrap_or_default().to_owned();
        return Err(unknown(&offline.to_string()).cure(cure));
    }
    if page.replica_uuid != appended.replica {
        return Err(unknown("it was replaced by another replica"));
    }
    let epoch_stands = now.partition(tp.partition)?.leader_epoch == appended.leader_epoch;
    if !epoch_stands && now.replica_uuid(tp.partition)? != page.replica_uuid {
        return Err(unknown("another broker leads the partition now"));
    }
    if epoch_stands && page.generation == appended.generation {
        return Ok(());
    }
    let dir = &**replica.dir();
    let LogSnapshot { page, segments, .. } = LogSnapshot::take_settled(store, replica, true)?
        .ok_or_else(|| unknown("its page is unreadable"))?;
    let found = log::locate(dir, &segments, &page.tail, appended.base_offset)
        .and_then(|at| log::header_at(dir, at.segment, at.position))?;
    // A compaction may have left records of a closed segment out already. No offset of an epoch is used
    // twice, so a batch of that epoch there was that one.
    let was_compacted = |header: &BatchHeader| {
        now.configs().cleanup_policy.compacts()
            && appended.last_offset < page.durable.segment
            && header.base_offset <= appended.base_offset
            && header.last_offset() >= appended.last_offset
    };
    match found {
        Some(header)
            if header.leader_epoch == appended.leader_epoch
                && ((header.base_offset == appended.base_offset && header.crc == appended.crc)
                    || was_compacted(&header)) =>
        {
            Ok(())
        }
        _ => Err(unknown(
            "the log was repaired meanwhile, and does not have them",
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::SystemClock;
    use crate::disk::OsDisk;
    use crate::lifecycle::{NewTopic, create_topic, delete_topic};
    use crate::partition::append::committer::Committer;
    use crate::partition::append::writer::PartitionWriter;
    use crate::record::BatchBuilder;
    use crate::types::{Compression, TimestampType, TopicName, TopicPartition};

    const TIMEOUT: Duration = Duration::from_secs(10);

    fn append(store: &Arc<StoreDir>, tp: &TopicPartition) -> Appended {
        let mut writer = PartitionWriter::open(store, tp, TIMEOUT).expect("open");
        let mut builder = BatchBuilder::new();
        builder.append_value(1, b"v").expect("append");
        let mut batch = builder
            .finish(Compression::None, TimestampType::CreateTime)
            .expect("finish");
        writer.append(&mut batch).expect("append")
    }

    #[test]
    fn an_append_is_not_confirmed_by_a_topic_that_was_made_again() {
        let at = tempfile::tempdir().expect("a place");
        let clock = Arc::new(SystemClock::default());
        let path = at.path().join("store");
        let store = StoreDir::open_or_create(Arc::new(OsDisk), clock, &path).expect("store");
        let store = Arc::new(store);
        let tp = TopicPartition::new(TopicName::new("t").expect("a name"), 0);
        let create = || {
            let topic = NewTopic::embedded(tp.topic.clone(), 1);
            create_topic(&store, &topic, TIMEOUT).expect("topic");
        };
        let confirm = |appended| {
            let mut committer = Committer::open(&store, &tp, TIMEOUT)?;
            committer.commit(1)?;
            committer.confirm(appended)
        };
        create();
        let first = append(&store, &tp);
        confirm(&first).expect("it is there");
        delete_topic(&store, &tp.topic, TIMEOUT).expect("deleted");
        create();
        let other = append(&store, &tp);
        assert_eq!(
            (other.base_offset, other.generation),
            (first.base_offset, first.generation)
        );
        confirm(&other).expect("it is there");
        let refused = confirm(&first).expect_err("of the topic before");
        assert_eq!(refused.kind(), Kind::Unknown);
    }
}
