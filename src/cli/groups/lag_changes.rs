//! Watches for changes of a group's lag: its offsets, its members, the topics, and the state pages
//! of its partitions.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use crate::cli::Env;
use crate::client::files::{PAGE_FILE, PartitionReader};
use crate::client::topics::TopicHandle;
use crate::client::{StoreDir, stores};
use crate::disk::{PollWatcher, Wake, WatchId, Watcher};
use crate::error::{Error, Kind, Result};
use crate::types::{TopicPartition, Uuid};

/// The longest wait where the kernel reports no changes. Callers ask for shorter waits.
const BLIND_PERIOD: Duration = Duration::from_secs(1);

/// What may have changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changes {
    /// Nothing that is watched.
    Nothing,
    /// Records were added or removed.
    Records,
    /// Offsets, members, topics: perhaps everything.
    Anything,
}

/// The watches of everything that a group's lag depends on.
pub struct LagChanges {
    store: Arc<StoreDir>,
    group: String,
    watcher: Box<dyn Watcher>,
    /// Whether a wait ends only by time.
    is_polled: bool,
    /// The directories of the group and of its members, its `offsets.log`, and the topics.
    files: Vec<WatchId>,
    pages: BTreeMap<TopicPartition, WatchedPage>,
    page_ids: HashSet<WatchId>,
    /// Whether the files must be watched again, since names may lead to other files.
    is_stale: bool,
}

/// The watched state page of a partition's leader, and the id of the leader's replica.
struct WatchedPage {
    id: WatchId,
    replica: Option<Uuid>,
}

impl LagChanges {
    /// Watches the group, and no partition yet.
    pub fn new(store: &Arc<StoreDir>, group: &str) -> Self {
        let (watcher, is_polled): (Box<dyn Watcher>, bool) = match store.watcher() {
            Ok(watcher) => (watcher, false),
            Err(_) => (Box::new(PollWatcher::new(BLIND_PERIOD)), true),
        };
        let mut changes = LagChanges {
            store: Arc::clone(store),
            group: group.to_owned(),
            watcher,
            is_polled,
            files: Vec::new(),
            pages: BTreeMap::new(),
            page_ids: HashSet::new(),
            is_stale: false,
        };
        changes.watch_files();
        changes
    }

    /// Whether some changes are not reported, so that the caller has to poll for them.
    pub fn is_blind(&self) -> bool {
        self.is_polled || self.watcher.is_blind()
    }

    /// Watches the group's files again if names may lead to other files now. Called before a
    /// snapshot, so that later changes are reported.
    pub fn refresh(&mut self) {
        if !std::mem::take(&mut self.is_stale) {
            return;
        }
        self.watch_files();
        let is_moved = |(tp, page): (&TopicPartition, &WatchedPage)| {
            (page.replica != leader_of(&self.store, tp)).then(|| tp.clone())
        };
        let moved: Vec<_> = self.pages.iter().filter_map(is_moved).collect();
        self.forget_all(&moved);
    }

    /// Watches exactly these partitions. `true`: one of them was not watched before. Polling finds
    /// the changes of partitions that cannot be watched.
    pub fn watch(&mut self, partitions: BTreeSet<TopicPartition>) -> bool {
        let is_gone = |tp: &&TopicPartition| !partitions.contains(*tp);
        let gone: Vec<_> = self.pages.keys().filter(is_gone).cloned().collect();
        self.forget_all(&gone);
        let mut is_new = false;
        for tp in partitions {
            is_new |= !self.pages.contains_key(&tp) && self.watch_page(tp);
        }
        is_new
    }

    /// New watches are added before the old ones are removed, so that no change is missed between.
    fn watch_files(&mut self) {
        let old = std::mem::take(&mut self.files);
        let watcher = &mut self.watcher;
        let dir = self.store.group_dir(&self.group);
        if let Err(e) = &dir
            && e.kind() == Kind::UnknownGroup
            && let Ok(groups) = self.store.groups_dir()
        {
            // The group may be created later.
            self.files.extend(watcher.add_dir(&*groups, "."));
            // The group may have been created before it was watched.
            self.is_stale = self.store.group_dir(&self.group).is_ok();
        }
        if let Ok(dir) = dir {
            self.files.extend(watcher.add_dir(&*dir, "."));
            let members = watcher.add_closes(&*dir, stores::MEMBERS_DIR);
            self.files.extend(members);
            self.files
                .extend(watcher.add_file(&*dir, stores::OFFSETS_LOG));
        }
        if let Ok(topics) = self.store.topics_dir() {
            self.files.extend(watcher.add_dir(&**topics, "."));
        }
        for id in old {
            watcher.remove(id);
        }
    }

    fn watch_page(&mut self, tp: TopicPartition) -> bool {
        let replica = leader_of(&self.store, &tp);
        let Ok(reader) = PartitionReader::open(&self.store, &tp) else {
            return false;
        };
        let added = self.watcher.add_file(&**reader.replica().dir(), PAGE_FILE);
        let Ok(id) = added else { return false };
        self.page_ids.insert(id);
        self.pages.insert(tp, WatchedPage { id, replica });
        true
    }

    fn forget_all(&mut self, partitions: &[TopicPartition]) {
        for page in partitions.iter().filter_map(|tp| self.pages.remove(tp)) {
            self.page_ids.remove(&page.id);
            self.watcher.remove(page.id);
        }
    }

    /// What changes within that time.
    pub fn within(&mut self, timeout: Duration, env: &Env) -> Result<Changes> {
        let error = |e| Error::io("watch", self.store.path(), e);
        if self.is_blind() {
            // The watcher would end each wait after a moment.
            env.wait_woken(timeout);
            self.watcher.wait(Duration::ZERO, None).map_err(error)?;
            return Ok(Changes::Nothing);
        }
        let wake = self.watcher.wait(timeout, env.wake_fd()).map_err(error)?;
        Ok(match wake {
            Wake::Nothing => Changes::Nothing,
            Wake::Anything => {
                // The kernel dropped changes, or ended a watch.
                self.is_stale = true;
                let all: Vec<_> = self.pages.keys().cloned().collect();
                self.forget_all(&all);
                Changes::Anything
            }
            Wake::Changed(ids) if ids.iter().all(|id| self.page_ids.contains(id)) => {
                Changes::Records
            }
            Wake::Changed(_) => {
                self.is_stale = true;
                Changes::Anything
            }
        })
    }
}

/// The id of the leader's replica; `None` if it cannot be determined.
fn leader_of(store: &StoreDir, tp: &TopicPartition) -> Option<Uuid> {
    let topic = TopicHandle::open(store, &tp.topic).ok()?;
    topic.replica_uuid(tp.partition).ok()
}
