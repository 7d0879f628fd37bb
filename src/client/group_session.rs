//! Reading for a group. A thread of its own keeps the membership, so that a reader that is slow to
//! take the output, or a long-running command, does not delay the other members.
//!
//! ```text
//! caller (reads, renders, writes out)        membership thread
//!   take_orders()            <- Assign, Limit, Revoke, Finished, Failed
//!   stopped(), hands_out(), idle() ->              commits, releases, takes over, watches the others
//!   OutputProgress           <- asked how far the output was taken
//! ```
//!
//! 1. Where the group starts a partition is committed before its first record is handed out, so
//!    that the next owner starts there too.
//! 2. Only delivered records are committed, and only of owned partitions.
//! 3. A partition that goes to another member is given up when the caller has stopped reading it
//!    and all handed-out records are delivered, or after [`GroupOptions::settle`].
//! 4. A committed offset that the log does not have is an error, never a silent jump.

mod ends;
mod heartbeat_thread;
mod membership_thread;
pub(super) mod options;
pub(super) mod orders;
pub(super) mod session_state;
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
use orders::{CommitWhen, End, Generation, Order, OutputProgress};
use session_state::{CallerReports, PendingCommit, SessionState, lock};
pub use starts::Began;

/// How long the caller waits for the membership thread to see a change of the group.
const CONFIRM_MAX: Duration = Duration::from_secs(2);

/// An active member. Dropping it leaves the group; it then commits what was delivered only with
/// [`CommitWhen::AfterWrite`].
#[must_use = "dropped, it leaves the group"]
#[derive(Debug)]
pub struct GroupSession {
    store: Arc<StoreDir>,
    when: CommitWhen,
    shared: Arc<SessionState>,
    thread: Option<JoinHandle<Result<()>>>,
    /// The `group.json` that the caller last read, open.
    confirmed: Mutex<Option<Arc<dyn File>>>,
}

impl GroupSession {
    /// Joins the group and starts the membership thread. That calls `wake_caller` when there are
    /// orders.
    ///
    /// # Errors
    /// [`crate::error::Kind::UnknownTopic`] for a topic by name that is not there;
    /// [`crate::error::Kind::Busy`] if the holder of the instance id lives;
    /// [`crate::error::Kind::Usage`] for a name that cannot be a group's, or another assignor than
    /// the group's; [`crate::error::Kind::Damaged`].
    pub fn start(
        store: &Arc<StoreDir>,
        options: GroupOptions,
        delivery: Arc<dyn OutputProgress>,
        wake_caller: Box<dyn Fn() + Send + Sync>,
    ) -> Result<Self> {
        let (poke, poked) = UnixStream::pair().map_err(|e| Error::io("make", "a socket", e))?;
        for end in [&poke, &poked] {
            end.set_nonblocking(true)
                .map_err(|e| Error::io("set up", "a socket", e))?;
        }
        let shared = Arc::new(SessionState {
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

    /// Whether the caller has to give up that assignment: an order that was not taken yet says so,
    /// or the membership has ended.
    pub fn is_revoked(&self, generation: Generation) -> bool {
        lock(&self.shared.orders).iter().any(|order| match order {
            Order::Revoke(revoked, _) | Order::Lost(revoked, _) => *revoked == generation,
            Order::Failed(_) => true,
            _ => false,
        })
    }

    /// Checks whether these partitions are still this member's: a process that was stopped may own
    /// nothing any more when it resumes. The check is one file lookup while the group is unchanged.
    /// If the partitions are another member's now, it waits until the membership thread's orders
    /// say so. `false`: orders came, or the owner is unknown; until it is known, no record of these
    /// partitions may be handled.
    ///
    /// # Errors
    /// [`crate::error::Kind::Unknown`] if the membership ended without a reason.
    #[must_use = "an unconfirmed partition may be another member's"]
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

    /// Whether there are orders: cheap enough to call for each record.
    pub fn has_orders(&self) -> bool {
        self.shared.has_orders.load(Ordering::Acquire)
    }

    /// How often to check for new records while the membership thread waits for a lock or the disk
    /// and cannot report them; `None`: it can.
    pub fn busy_tick(&self) -> Option<Duration> {
        let micros = self.shared.busy_tick_us.load(Ordering::Acquire);
        (micros > 0).then(|| Duration::from_micros(u64::from(micros)))
    }

    /// Takes all orders so far.
    pub fn take_orders(&self) -> VecDeque<Order> {
        let mut orders = lock(&self.shared.orders);
        self.shared.has_orders.store(false, Ordering::Release);
        std::mem::take(&mut *orders)
    }

    /// The caller no longer reads these assignments, and has handed out everything that it read of
    /// them.
    pub fn stopped(&self, generations: &[Generation]) {
        self.notify(|reported| reported.stopped.extend_from_slice(generations));
    }

    /// That assignment cannot be read further: it stays this member's, and counts as done.
    pub fn broken(&self, generation: Generation) {
        self.notify(|reported| reported.broken.push(generation));
    }

    /// From now on the caller works on that assignment only: others can be given up without its
    /// answer. `None`: it works on no assignment alone any more; it then takes the orders before it
    /// reads any assignment.
    pub fn works_on(&self, generation: Option<Generation>) {
        lock(&self.shared.reported).works_on = generation;
    }

    /// From now on records are handed out, until [`GroupSession::idle`]: each interval has
    /// something to commit.
    pub fn hands_out(&self) {
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

    /// The process of a command that another member started for a partition that this member owns
    /// now, and that still runs: as [`group::running_command`].
    ///
    /// # Errors
    /// [`crate::error::Kind::Io`].
    pub fn running_command(&self, tp: &TopicPartition) -> Result<Option<Option<u32>>> {
        let seen = lock(&self.shared.seen).clone().ok_or_else(gone)?;
        group::running_command(&seen.dir, tp, seen.member)
    }

    /// All available records were handed out: a good moment to commit.
    pub fn idle(&self) {
        self.notify(|reported| {
            reported.idle = true;
            reported.moving = Some(false);
        });
    }

    /// Commits what was delivered, and waits for that, whatever [`GroupOptions::commit`] says. Any
    /// number of threads may call it.
    ///
    /// # Errors
    /// [`crate::error::Kind::Rebalanced`] if partitions went to another member since the last such
    /// call, and not all that was delivered of them is committed: their new owner begins at the
    /// committed offset. All else is committed. [`crate::error::Kind::Fenced`],
    /// [`crate::error::Kind::Unknown`], [`crate::error::Kind::DiskFull`].
    pub fn commit(&self) -> Result<()> {
        let ticket = Arc::new(PendingCommit::default());
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

    /// Records were handled: commits them if [`GroupOptions::commit`] is
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

    /// Commits what was delivered, as `end` asks, and leaves the group. It calls `interrupted` now
    /// and then while it waits for the output's reader.
    ///
    /// # Errors
    /// As [`GroupSession::commit`]; or the error that ended the membership before, if no order
    /// reported it.
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

    fn notify(&self, what: impl FnOnce(&mut CallerReports)) {
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
            reported.ended = Some(End::Aborted);
        });
        // `drop` cannot return the error; the other members then find this member dead.
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
