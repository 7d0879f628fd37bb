//! What the keeper sleeps on: one watcher for the group, its members, the topics, and the pages of
//! the partitions that are read. One inotify instance a member: a user has 128 by default.

use std::io::Read as _;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use crate::disk::{Dir, PollWatcher, Wake, WatchId, Watcher};
use crate::error::{Error, Result};
use crate::partition::{PAGE_FILE, Replica};
use crate::store::{StoreDir, layout};

/// Without the kernel's word: the longest wait. The keeper asks for shorter ones.
const BLIND_PERIOD: Duration = Duration::from_secs(1);

/// What may have changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Changed {
    /// A member's file was closed: perhaps it died.
    pub members: bool,
    /// Topics came, went or changed.
    pub topics: bool,
    /// There may be records to read.
    pub pages: bool,
    /// Offsets were committed; told only while [`Watching::watch_offsets`].
    pub offsets: bool,
}

impl Changed {
    /// Perhaps everything.
    pub fn all() -> Self {
        Changed {
            members: true,
            topics: true,
            pages: true,
            offsets: true,
        }
    }
}

/// A watcher and what its ids stand for.
#[derive(Debug)]
pub struct Watching {
    watcher: Box<dyn Watcher>,
    poked: UnixStream,
    members: Option<WatchId>,
    topics: Option<WatchId>,
    group: Option<WatchId>,
    offsets: Option<WatchId>,
    /// Whether the kernel tells: else everything is looked at each period.
    pub is_blind: bool,
}

impl Watching {
    /// Watches a group and the store's topics. `poked` ends a wait when it is readable.
    pub fn new(store: &Arc<StoreDir>, group: &dyn Dir, poked: UnixStream) -> Result<Self> {
        let (watcher, is_blind): (Box<dyn Watcher>, bool) = match store.watcher() {
            Ok(watcher) => (watcher, false),
            Err(_) => (Box::new(PollWatcher::new(BLIND_PERIOD)), true),
        };
        let mut watching = Watching {
            watcher,
            poked,
            members: None,
            topics: None,
            group: None,
            offsets: None,
            is_blind,
        };
        let error = |e| Error::io("watch", group.path(), e);
        let watcher = &mut watching.watcher;
        watching.group = Some(watcher.add_dir(group, ".").map_err(error)?);
        let members = watcher.add_closes(group, layout::MEMBERS_DIR);
        watching.members = Some(members.map_err(error)?);
        let topics = store.topics_dir()?;
        let added = watcher.add_dir(&**topics, ".");
        watching.topics = Some(added.map_err(|e| Error::io("watch", topics.path(), e))?);
        Ok(watching)
    }

    /// Watches the page of a partition; `None` where that cannot be had, which the caller's own
    /// looks make up for.
    pub fn add_page(&mut self, replica: &Replica) -> Option<WatchId> {
        self.watcher.add_file(&**replica.dir(), PAGE_FILE).ok()
    }

    /// Ends the watch of a page.
    pub fn remove_page(&mut self, id: WatchId) {
        self.watcher.remove(id);
    }

    /// Watches for commits, or no more.
    pub fn watch_offsets(&mut self, group: &dyn Dir, on: bool) {
        match (on, self.offsets) {
            (true, None) => {
                // Where it cannot be had, each heartbeat looks.
                self.offsets = self.watcher.add_file(group, layout::OFFSETS_LOG).ok();
            }
            (false, Some(id)) => {
                self.watcher.remove(id);
                self.offsets = None;
            }
            _ => {}
        }
    }

    /// Waits.
    pub fn wait(&mut self, timeout: Duration) -> Result<Changed> {
        let wake = self
            .watcher
            .wait(timeout, Some(self.poked.as_fd()))
            .map_err(|e| Error::io("wait for", "changes", e))?;
        let mut drain = [0; 64];
        while matches!(self.poked.read(&mut drain), Ok(n) if n == drain.len()) {}
        Ok(match wake {
            Wake::Nothing => Changed::default(),
            // The keeper knows by itself when to look.
            Wake::Anything if self.is_blind => Changed::default(),
            Wake::Anything => Changed::all(),
            Wake::Changed(ids) => {
                let mut changed = Changed::default();
                for id in ids.into_iter().map(Some) {
                    if id == self.members {
                        changed.members = true;
                    } else if id == self.topics {
                        changed.topics = true;
                    } else if id == self.offsets {
                        changed.offsets = true;
                    } else if id != self.group {
                        changed.pages = true;
                    }
                }
                changed
            }
        })
    }
}
