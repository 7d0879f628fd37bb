//! What the membership thread waits on: one watcher for the group, its members, the topics, and the
//! state pages of the partitions that are read. They share the one inotify instance of the open
//! store: a user has 128 by default.

use std::io::Read as _;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use crate::disk::{Dir, PollWatcher, Wake, WatchId, Watcher};
use crate::error::{Error, Result};
use crate::partition::{PAGE_FILE, Replica};
use crate::store::{StoreDir, layout};

/// The longest wait without a watch. The membership thread asks for shorter ones.
const BLIND_PERIOD: Duration = Duration::from_secs(1);

/// What may have changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Changed {
    /// A member's file was closed: the member may have died.
    pub members: bool,
    /// Topics were created, deleted or changed.
    pub topics: bool,
    /// There may be records to read.
    pub pages: bool,
    /// Offsets were committed; reported only while [`Watching::watch_offsets`] is on.
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

/// A watcher and the meanings of its ids.
#[derive(Debug)]
pub struct Watching {
    watcher: Box<dyn Watcher>,
    poked: UnixStream,
    members: Option<WatchId>,
    topics: Option<WatchId>,
    group: Option<WatchId>,
    offsets: Option<WatchId>,
    /// Whether the kernel reports no changes: everything is then checked each period.
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

    /// Watches the state page of a partition; `None` if that fails: the caller's own checks then
    /// find the records.
    pub fn add_page(&mut self, replica: &Replica) -> Option<WatchId> {
        self.watcher.add_file(&**replica.dir(), PAGE_FILE).ok()
    }

    /// Ends the watch of a state page.
    pub fn remove_page(&mut self, id: WatchId) {
        self.watcher.remove(id);
    }

    /// Watches for commits, or stops that.
    pub fn watch_offsets(&mut self, group: &dyn Dir, on: bool) {
        match (on, self.offsets) {
            (true, None) => {
                // Without this watch, each heartbeat checks.
                self.offsets = self.watcher.add_file(group, layout::OFFSETS_LOG).ok();
            }
            (false, Some(id)) => {
                self.watcher.remove(id);
                self.offsets = None;
            }
            _ => {}
        }
    }

    /// Waits for a change.
    pub fn wait(&mut self, timeout: Duration) -> Result<Changed> {
        let wake = self
            .watcher
            .wait(timeout, Some(self.poked.as_fd()))
            .map_err(|e| Error::io("wait for", "changes", e))?;
        let mut drain = [0; 64];
        while matches!(self.poked.read(&mut drain), Ok(n) if n == drain.len()) {}
        Ok(match wake {
            Wake::Nothing => Changed::default(),
            // The membership thread knows by itself when to check.
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
