//! The names of what a store holds, as its directories list them: for a caller that needs them
//! quickly and can do without, such as a shell's completion.
//!
//! Invariant: it opens only directories, creates nothing, and takes no lock. If a directory cannot
//! be listed, its names are left out; a caller that needs the reason opens a
//! [`StoreDir`](super::dir::StoreDir).

use std::path::Path;
use std::sync::Arc;

use super::layout;
use crate::disk::{Dir, Disk, EntryKind};
use crate::types::{BrokerId, PartitionId, TopicName};

/// A store that is only listed.
#[derive(Debug)]
pub struct Listing {
    root: Arc<dyn Dir>,
}

impl Listing {
    /// `None` if there is no store at `path`, or it may not be read.
    pub fn open(disk: &dyn Disk, path: &Path) -> Option<Self> {
        let root = disk.open_dir_through_links(path).ok()?;
        root.id(layout::STORE_FILE).ok()?;
        Some(Listing { root })
    }

    /// All topics, sorted.
    pub fn topics(&self) -> Vec<TopicName> {
        let mut topics = self.names(layout::TOPICS_DIR, |kind, name| {
            layout::parse_topic_file(name).filter(|_| kind != EntryKind::Dir)
        });
        topics.sort_unstable();
        topics
    }

    /// All groups that have a directory, sorted: deleted and expired ones have one for a while.
    pub fn groups(&self) -> Vec<String> {
        let mut groups = self.names(layout::GROUPS_DIR, |kind, name| {
            let is_one = kind == EntryKind::Dir && !layout::is_staging_dir(name);
            layout::parse_group_dir(name).filter(|_| is_one)
        });
        groups.sort_unstable();
        groups
    }

    /// All brokers, in order.
    pub fn brokers(&self) -> Vec<BrokerId> {
        let mut brokers = self.names(layout::BROKERS_DIR, |kind, name| {
            layout::parse_broker_dir(name).filter(|_| kind == EntryKind::Dir)
        });
        brokers.sort_unstable();
        brokers
    }

    /// The partitions of a topic that have a replica within the store, in order. Those whose
    /// replicas are all in log directories elsewhere are left out.
    pub fn partitions(&self, topic: &str) -> Vec<PartitionId> {
        let mut partitions = Vec::new();
        for broker in self.brokers() {
            let logs = format!("{}/{}", layout::broker_dir(broker), layout::LOGS_DIR);
            partitions.extend(self.names(&logs, |_, name| {
                let replica = layout::parse_replica_dir(name)?;
                (replica.topic.as_str() == topic).then_some(replica.partition)
            }));
        }
        partitions.sort_unstable();
        partitions.dedup();
        partitions
    }

    fn names<T>(&self, dir: &str, parse: impl Fn(EntryKind, &str) -> Option<T>) -> Vec<T> {
        let entries = self.root.list(dir).unwrap_or_default();
        entries
            .iter()
            .filter_map(|entry| parse(entry.kind, &entry.name))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::OsDisk;

    fn make(root: &Path, files: &[&str], dirs: &[&str]) {
        for dir in dirs {
            std::fs::create_dir_all(root.join(dir)).expect("a directory");
        }
        for file in files {
            std::fs::File::create(root.join(file)).expect("a file");
        }
    }

    #[test]
    fn names_are_those_that_the_store_made() {
        let dir = tempfile::tempdir().expect("a directory");
        assert!(Listing::open(&OsDisk, dir.path()).is_none(), "no store");
        let dirs = [
            "topics/x.json",
            "groups/a%2Fb",
            "groups/plain",
            "groups/.mq-new-00000000000000000000000000000000",
            "groups/%zz",
            "brokers/0/logs/b-1",
            "brokers/0/logs/b-0",
            "brokers/0/logs/b-10",
            "brokers/0/logs/bb-7",
            "brokers/12/logs/b-1",
            "brokers/2",
            "brokers/02",
        ];
        let files = [
            "store.json",
            "topics/b.json",
            "topics/a.json",
            "topics/a.json.tmp",
            "groups/file",
        ];
        make(dir.path(), &[], &["topics"]);
        make(dir.path(), &[], &dirs);
        make(dir.path(), &files, &[]);
        let store = Listing::open(&OsDisk, dir.path()).expect("a store");
        let topics = store.topics();
        let topics: Vec<&str> = topics.iter().map(TopicName::as_str).collect();
        assert_eq!(topics, ["a", "b"]);
        assert_eq!(store.groups(), ["a/b", "plain"]);
        assert_eq!(store.brokers(), [0, 2, 12]);
        assert_eq!(store.partitions("b"), [0, 1, 10]);
        assert!(store.partitions("nothere").is_empty());
    }

    #[test]
    fn what_cannot_be_listed_has_no_names() {
        let dir = tempfile::tempdir().expect("a directory");
        make(dir.path(), &["store.json", "topics"], &[]);
        let store = Listing::open(&OsDisk, dir.path()).expect("a store");
        assert!(store.topics().is_empty() && store.groups().is_empty());
        assert!(store.brokers().is_empty() && store.partitions("a").is_empty());
        assert!(Listing::open(&OsDisk, &dir.path().join("no")).is_none());
    }
}
