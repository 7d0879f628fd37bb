//! What tells that a group's lag may have changed: its offsets, its members, the topics, and the pages
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

/// Without the kernel's word: the longest wait. The caller asks for shorter ones.
const BLIND_PERIOD: Duration = Duration::from_secs(1);

/// What may have changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changes {
    /// Nothing that a watch tells of.
    Nothing,
    /// Records came, or were removed.
    Records,
    /// Offsets, members, topics: perhaps everything.
    Anything,
}

/// Watches of what a group's lag hangs on.
pub struct LagChanges {
    store: Arc<StoreDir>,
    group: String,
    watcher: Box<dyn Watcher>,
    /// Whether time alone wakes.
    is_polled: bool,
    /// The group's directory, its members' and its `offsets.log`; the topics.
    files: Vec<WatchId>,
    pages: BTreeMap<TopicPartition, WatchedPage>,
    page_ids: HashSet<WatchId>,
    /// Whether the watches of files are to be made anew: names may lead elsewhere.
    is_stale: bool,
}

/// The page of a partition's leader, by what tells one leader's replica from another.
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

    /// Whether something goes unseen: then looks have to make up for it.
    pub fn is_blind(&self) -> bool {
        self.is_polled || self.watcher.is_blind()
    }

    /// Watches the group as it is there now, if a name may lead elsewhere than before. For a look: what
    /// comes after it is told.
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

    /// Watches these partitions and no others. `true`: one is watched that was not before. What cannot
    /// be watched is made up for by looks.
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

    /// The new watches come before the old ones go, so that nothing between them is missed.
    fn watch_files(&mut self) {
        let old = std::mem::take(&mut self.files);
        let watcher = &mut self.watcher;
        let dir = self.store.group_dir(&self.group);
        if let Err(e) = &dir
            && e.kind() == Kind::UnknownGroup
            && let Ok(groups) = self.store.groups_dir()
        {
            // It may come.
            self.files.extend(watcher.add_dir(&*groups, "."));
            // It may have come by now, unseen.
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

    /// What there is within that time.
    pub fn within(&mut self, timeout: Duration, env: &Env) -> Result<Changes> {
        let error = |e| Error::io("watch", self.store.path(), e);
        if self.is_blind() {
            // It would end each wait after a moment.
            env.wait_woken(timeout);
            self.watcher.wait(Duration::ZERO, None).map_err(error)?;
            return Ok(Changes::Nothing);
        }
        let wake = self.watcher.wait(timeout, env.wake_fd()).map_err(error)?;
        Ok(match wake {
            Wake::Nothing => Changes::Nothing,
            Wake::Anything => {
                // The kernel lost some, or ended a watch.
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

/// The id of the leader's replica; `None` where that cannot be told.
fn leader_of(store: &StoreDir, tp: &TopicPartition) -> Option<Uuid> {
    let topic = TopicHandle::open(store, &tp.topic).ok()?;
    topic.replica_uuid(tp.partition).ok()
}
