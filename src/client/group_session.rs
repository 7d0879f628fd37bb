//! Reading for a group: membership kept on a thread of its own, so that a reader that is slow to
//! take the output, or a long-running command, keeps nobody else waiting.
//!
//! ```text
//! caller (reads, renders, writes out)        keeper (this module's thread)
//!   take_orders()            <- Assign, Limit, Revoke, Finished, Failed
//!   stopped(), moves(), idle() ->              commits, releases, takes over, watches the others
//!   Delivery                 <- asked how far the output was taken
//! ```
//!
//! 1. Where the group starts a partition is committed before its first record is handed out, so
//!    that a successor starts there too.
//! 2. Only what counts as delivered is committed, and only of partitions that are owned.
//! 3. A partition that moves is given up after the caller stopped reading it and what was handed
//!    out is delivered, or after [`GroupOptions::settle`].
//! 4. A committed offset that the log does not have is an error, never a silent jump.

mod ends;
mod heartbeat;
mod membership_thread;
pub(super) mod options;
pub(super) mod orders;
pub(super) mod shared;
mod starts;
mod watching;

use std::collections::VecDeque;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::disk::File;
use crate::error::{Error, Result};
use crate::group::{self, CommandFile};
use crate::store::{StoreDir, layout};
use crate::types::TopicPartition;
use options::GroupOptions;
use orders::{CommitWhen, Delivery, End, Generation, Order};
use shared::{EndKnownBy, Shared, Ticket, lock};
pub use starts::Began;

/// How long the caller waits for the keeper to see a change of the group.
const CONFIRM_MAX: Duration = Duration::from_secs(2);

/// A member at work. Dropped, it leaves the group; what was delivered is committed then with
/// [`CommitWhen::AfterWrite`] only.
#[must_use = "dropped, it leaves the group"]
#[derive(Debug)]
pub struct GroupSession {
    store: Arc<StoreDir>,
    when: CommitWhen,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<Result<()>>>,
    /// `group.json` as the caller last looked at it, open.
    confirmed: Mutex<Option<Arc<dyn File>>>,
}

impl GroupSession {
    /// Joins the group and starts the keeper. `wake_caller` is called when there are orders.
    ///
    /// # Errors
    /// [`crate::error::Kind::UnknownTopic`] for a topic by name that is not there;
    /// [`crate::error::Kind::Busy`] if the holder of the instance id lives;
    /// [`crate::error::Kind::Usage`] for a name that cannot be a group's, or another assignor than
    /// the group's; [`crate::error::Kind::Damaged`].
    pub fn start(
        store: &Arc<StoreDir>,
        options: GroupOptions,
        delivery: Arc<dyn Delivery>,
        wake_caller: Box<dyn Fn() + Send + Sync>,
    ) -> Result<Self> {
        let (poke, poked) = UnixStream::pair().map_err(|e| Error::io("make", "a socket", e))?;
        for end in [&poke, &poked] {
            end.set_nonblocking(true)
                .map_err(|e| Error::io("set up", "a socket", e))?;
        }
        let shared = Arc::new(Shared {
            orders: Mutex::default(),
            has_orders: AtomicBool::new(false),
            busy_tick_us: AtomicU32::new(0),
            reported: Mutex::default(),
            replied: Condvar::new(),
            wake_caller,
            poke,
            seen: Mutex::default(),
        });
        let when = options.commit;
        let membership_thread = membership_thread::MembershipThread::join(
            store,
            options,
            delivery,
            Arc::clone(&shared),
            poked,
        )?;
        membership_thread.show_seen();
        let thread = std::thread::Builder::new()
            .name("group".to_owned())
            .spawn(move || membership_thread.run())
            .map_err(|e| Error::io("start", "the group's thread", e))?;
        Ok(GroupSession {
            store: Arc::clone(store),
            when,
            shared,
            thread: Some(thread),
            confirmed: Mutex::default(),
        })
    }

    /// Whether that assignment is to be given up: an order says so that was not taken yet, or that
    /// the membership came to an end.
    pub fn is_revoked(&self, generation: Generation) -> bool {
        lock(&self.shared.orders).iter().any(|order| match order {
            Order::Revoke(revoked, _) | Order::Lost(revoked, _) => *revoked == generation,
            Order::Failed(_) => true,
            _ => false,
        })
    }

    /// Looks whether these partitions are still this member's: a process that was stopped may own
    /// nothing any more when it wakes. One look-up where nothing changed; where they are another's
    /// by now, it waits until the keeper's orders say so. `false`: orders came, or it is not known
    /// whose they are; until it is, nothing of them may be handled.
    ///
    /// # Errors
    /// [`crate::error::Kind::Unknown`] if the membership came to an end without a word.
    #[must_use = "what is not confirmed may be another's"]
    pub fn confirm<'a>(
        &self,
        mut partitions: impl Iterator<Item = &'a TopicPartition>,
    ) -> Result<bool> {
        let Some(seen) = lock(&self.shared.seen).clone() else {
            return Ok(false);
        };
        let named = seen.dir.identity(layout::GROUP_FILE).ok();
        let is_same = |file: &Arc<dyn File>| {
            named.is_some_and(|named| file.is(named).is_ok_and(|is_it| is_it))
        };
        if is_same(&seen.file) || lock(&self.confirmed).as_ref().is_some_and(is_same) {
            return Ok(true);
        }
        let boot_id = self.store.boot_id();
        if let Ok((owned, file)) = group::owned_by(&seen.dir, boot_id, seen.member)
            && partitions.all(|tp| owned.contains(tp))
        {
            *lock(&self.confirmed) = Some(file);
            return Ok(true);
        }
        let started = self.store.clock().monotonic();
        while !self.has_orders() && !self.shared.seen_is_current() {
            self.shared.poke_membership_thread();
            let reported = lock(&self.shared.reported);
            let observations = Duration::from_millis(5);
            drop(self.shared.replied.wait_timeout(reported, observations));
            let waited = self.store.clock().monotonic().saturating_sub(started);
            if self.thread.as_ref().is_none_or(JoinHandle::is_finished) {
                return Err(gone());
            }
            if waited > CONFIRM_MAX {
                return Ok(false);
            }
        }
        Ok(!self.has_orders())
    }

    /// Whether there are orders: cheap enough to be asked at each record.
    pub fn has_orders(&self) -> bool {
        self.shared.has_orders.load(Ordering::Acquire)
    }

    /// How often to look for new records while the keeper waits for a lock or the disk and cannot
    /// tell of them; `None`: it can.
    pub fn busy_tick(&self) -> Option<Duration> {
        let micros = self.shared.busy_tick_us.load(Ordering::Acquire);
        (micros > 0).then(|| Duration::from_micros(u64::from(micros)))
    }

    /// The orders so far.
    pub fn take_orders(&self) -> VecDeque<Order> {
        let mut orders = lock(&self.shared.orders);
        self.shared.has_orders.store(false, Ordering::Release);
        std::mem::take(&mut *orders)
    }

    /// Those assignments are read no more, and all that was read of them was handed out.
    pub fn stopped(&self, generations: &[Generation]) {
        self.notify(|reported| reported.stopped.extend_from_slice(generations));
    }

    /// That assignment cannot be read on: it stays this member's, and counts as done.
    pub fn broken(&self, generation: Generation) {
        self.notify(|reported| reported.broken.push(generation));
    }

    /// From now on only that assignment is worked on: others can be given up without a word. `None`:
    /// no more; who calls so looks at the orders before it reads any.
    pub fn works_on(&self, generation: Option<Generation>) {
        lock(&self.shared.reported).works_on = generation;
    }

    /// From now on records are handed out, until [`GroupSession::idle`]: there will be something to
    /// commit at each interval.
    pub fn moves(&self) {
        self.notify(|reported| reported.moving = Some(true));
    }

    /// A file that shows which command this member runs, and that the command holds locked.
    ///
    /// # Errors
    /// [`crate::error::Kind::Io`].
    pub fn command_file(&self) -> Result<CommandFile> {
        let seen = lock(&self.shared.seen).clone().ok_or_else(gone)?;
        CommandFile::create(&seen.dir, seen.member)
    }

    /// The process of a command that another member started for a partition of this one, and that
    /// still runs: as [`group::running_command`].
    ///
    /// # Errors
    /// [`crate::error::Kind::Io`].
    pub fn running_command(&self, tp: &TopicPartition) -> Result<Option<Option<u32>>> {
        let seen = lock(&self.shared.seen).clone().ok_or_else(gone)?;
        group::running_command(&seen.dir, tp, seen.member)
    }

    /// Everything there is was handed out: a good moment to commit.
    pub fn idle(&self) {
        self.notify(|reported| {
            reported.idle = true;
            reported.moving = Some(false);
        });
    }

    /// Commits what was delivered, and waits until that is done, whatever [`GroupOptions::commit`] says.
    /// Any number of threads may call it.
    ///
    /// # Errors
    /// [`crate::error::Kind::Rebalanced`] if partitions are another member's since the last such call
    /// of which more was delivered than is committed: their new owner begins at what is committed. All
    /// else is committed. [`crate::error::Kind::Fenced`], [`crate::error::Kind::Unknown`],
    /// [`crate::error::Kind::DiskFull`].
    pub fn commit(&self) -> Result<()> {
        let ticket = Arc::new(Ticket::default());
        self.notify(|reported| reported.commits.push(Arc::clone(&ticket)));
        let mut reported = lock(&self.shared.reported);
        loop {
            if let Some(outcome) = lock(&ticket.0).take() {
                return outcome;
            }
            if self.thread.as_ref().is_none_or(JoinHandle::is_finished) {
                return Err(gone());
            }
            let observations = Duration::from_millis(100);
            reported = self
                .shared
                .replied
                .wait_timeout(reported, observations)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// Something was handled: commits that, where [`GroupOptions::commit`] is
    /// [`CommitWhen::AfterWrite`].
    ///
    /// # Errors
    /// As [`GroupSession::commit`].
    pub fn commit_after_write(&self) -> Result<()> {
        match self.when {
            CommitWhen::AfterWrite => self.commit(),
            CommitWhen::OnExit | CommitWhen::Never => Ok(()),
        }
    }

    /// Ends the wait of an [`GroupSession::end`] for the output's reader.
    pub fn interrupt(&self) {
        self.notify(|reported| reported.interrupted = true);
    }

    /// Commits what was delivered, as `end` asks, and leaves the group. `interrupted` is asked
    /// now and then while the output's reader is waited for.
    ///
    /// # Errors
    /// As [`GroupSession::commit`]; or what had ended the membership before, if it was not handed
    /// out as an order.
    pub fn end(mut self, end: End, interrupted: impl Fn() -> bool) -> Result<()> {
        self.notify(|reported| reported.ended = Some(end));
        let Some(thread) = self.thread.take() else {
            return Ok(());
        };
        while !thread.is_finished() {
            if interrupted() {
                self.interrupt();
            }
            let reported = lock(&self.shared.reported);
            let observations = Duration::from_millis(20);
            drop(self.shared.replied.wait_timeout(reported, observations));
        }
        thread.join().unwrap_or_else(|_| Err(gone()))
    }

    fn notify(&self, what: impl FnOnce(&mut EndKnownBy)) {
        what(&mut lock(&self.shared.reported));
        self.shared.poke_membership_thread();
    }
}

impl Drop for GroupSession {
    fn drop(&mut self) {
        let Some(thread) = self.thread.take() else {
            return;
        };
        self.notify(|reported| {
            reported.interrupted = true;
            reported.ended = Some(End {
                good: false,
                exits_0: false,
            });
        });
        // What went wrong nobody can be told; the others find this member dead then.
        let _ = thread.join();
    }
}

fn gone() -> Error {
    Error::new(
        crate::error::Kind::Unknown,
        "the group's thread ended before it answered",
    )
    .cure("'mq-groups describe' shows what is committed")
}
