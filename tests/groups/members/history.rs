//! What the members of a group did, and what its files said meanwhile.
//!
//! A [`History`] is written by a test as it goes on: what it did to the members as it does it, what
//! it saw as it sees it. Of what stands in files only the order is known: a commit stands before
//! the look after which it was found, and behind the one before that.

use std::fmt::{self, Write as _};
use std::sync::Arc;
use std::time::Duration;

use super::view::{Commit, Tp, View};

/// A member's process. It may be several members, one after the other.
pub type Process = u32;

/// One thing that happened, or was seen.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A process was started that joins.
    Started(Process),
    /// The reader of its pipe takes no more at some time.
    LeftUnread(Process),
    /// It was asked to end.
    Stopped(Process),
    /// It was killed.
    Killed(Process),
    /// It was stopped by a signal: it stands still.
    Paused(Process),
    /// It goes on.
    Resumed(Process),
    /// It ended, by itself or as asked; what it reported, a line each.
    Ended {
        process: Process,
        /// 128 and the signal's number where one ended it.
        status: i32,
        reported: Vec<String>,
    },
    /// `group.json` was examined.
    Seen(Arc<View>),
    /// A line of `offsets.log` that commits, in the order of the file.
    Committed(Commit),
    /// A record that is in the log, as read without a group.
    Stored {
        tp: Tp,
        offset: i64,
        payload: String,
    },
    /// A record in a member's output, in the order of that output.
    Delivered {
        process: Process,
        tp: Tp,
        offset: i64,
        payload: String,
    },
}

/// An event, and when: since the history began.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    pub at: Duration,
    pub event: Event,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct History {
    pub entries: Vec<Entry>,
}

impl History {
    pub fn push(&mut self, at: Duration, event: Event) {
        self.entries.push(Entry { at, event });
    }

    /// Everything about these processes and a partition near an offset, for messages.
    pub fn of(&self, processes: &[Process], tp: &Tp, offset: i64) -> String {
        let mut text = String::new();
        let mut last = String::new();
        for Entry { at, event } in &self.entries {
            let reported = match event {
                Event::Started(process)
                | Event::LeftUnread(process)
                | Event::Stopped(process)
                | Event::Killed(process)
                | Event::Paused(process)
                | Event::Resumed(process)
                | Event::Ended { process, .. }
                    if processes.contains(process) =>
                {
                    format!("{event:?}")
                }
                Event::Seen(view) => {
                    let mut reported = String::new();
                    for (id, member) in &view.members {
                        let owns = member.owned.contains(tp);
                        if owns || processes.contains(&member.pid) {
                            let _ = write!(reported, "{}={id} owns: {owns}; ", member.pid);
                        }
                    }
                    if reported == last {
                        continue;
                    }
                    last.clone_from(&reported);
                    reported
                }
                Event::Committed(commit) => match commit.offsets.get(tp) {
                    Some(to) if (to - offset).abs() < 5000 => {
                        format!("{to} committed by {} in {}", commit.member, commit.epoch)
                    }
                    _ => continue,
                },
                _ => continue,
            };
            let _ = writeln!(text, "{:.3} {reported}", at.as_secs_f64());
        }
        text
    }

    /// What happened in the seconds before a moment, for messages: what was seen, where it changed.
    pub fn before(&self, moment: Duration) -> String {
        let mut last = None;
        let mut text = String::new();
        for Entry { at, event } in &self.entries {
            let reported = match event {
                Event::Seen(view) if last.replace(Arc::clone(view)).as_ref() == Some(view) => {
                    continue;
                }
                Event::Seen(view) => view.to_string(),
                Event::Committed(_) | Event::Stored { .. } | Event::Delivered { .. } => continue,
                other => format!("{other:?}"),
            };
            if *at <= moment && *at + Duration::from_secs(4) > moment {
                let _ = writeln!(text, "{:.3} {reported}", at.as_secs_f64());
            }
        }
        text
    }
}

/// What holds for the group.
#[derive(Debug, Clone)]
pub struct Rules {
    /// How many partitions its members share.
    pub partitions: usize,
    /// How long a start, stop, kill or resume may keep them from being shared.
    pub balance: Duration,
    /// The same for a pause.
    pub pause: Duration,
}

/// What cannot be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Violation {
    /// `group.json` named two owners of a partition.
    TwoAtOnce { tp: Tp, one: String, other: String },
    /// A partition had two owners in one member epoch, one after the other.
    TwoOwners {
        tp: Tp,
        epoch: i64,
        one: String,
        other: String,
    },
    /// A member was removed and is there again.
    CameBack { member: String },
    /// A record was delivered by nobody.
    Lost { tp: Tp, offset: i64 },
    /// A record was delivered again, though nobody was killed, evicted or left unread before its
    /// commit.
    Again {
        tp: Tp,
        offset: i64,
        by: Vec<Process>,
    },
    /// A record was delivered that is not the one in the log.
    Invented {
        process: Process,
        tp: Tp,
        offset: i64,
        payload: String,
    },
    /// A member committed though it had been removed.
    CommitOfRemoved { member: String, tp: Tp },
    /// A member committed a partition that was a later owner's by then.
    CommitOfFormerOwner { member: String, tp: Tp, epoch: i64 },
    /// A committed offset went back.
    CommitFell { tp: Tp, from: i64, to: i64 },
    /// A commit passed a record that its member had not delivered.
    CommitSkipped { member: String, tp: Tp, offset: i64 },
    /// A process that went on is no member, and has not ended.
    NotBack { process: Process },
    /// A process ended badly that was not taken for dead, or reported more than one line of it.
    EndedBadly {
        process: Process,
        status: i32,
        reported: Vec<String>,
    },
    /// Partitions were not shared by those who run, and by nobody else, in time.
    TooLate {
        /// What was to be balanced away.
        after: String,
        /// When it should have been done.
        due: Duration,
        /// When it was not, still.
        seen: Duration,
    },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}
