//! Schedules the next check of each of many items. No operation iterates over all of them at each
//! wake: one changed partition out of ten thousand costs one check.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::time::Duration;

use crate::disk::{Wake, WatchId};

/// When to check an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    /// At once.
    Now,
    /// At that time of the store's monotonic clock, or when its watch reports a change.
    At(Duration),
    /// When its watch reports a change.
    Changed,
}

/// The next check of each item, by key.
#[derive(Debug)]
pub(crate) struct Schedule<K> {
    entries: HashMap<K, Entry>,
    now: BTreeSet<K>,
    at: BTreeSet<(Duration, K)>,
    by_watch: HashMap<WatchId, K>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    when: When,
    watch: Option<WatchId>,
}

impl<K> Default for Schedule<K> {
    fn default() -> Self {
        Schedule {
            entries: HashMap::new(),
            now: BTreeSet::new(),
            at: BTreeSet::new(),
            by_watch: HashMap::new(),
        }
    }
}

impl<K: Copy + Ord + Hash> Schedule<K> {
    /// Sets when to check `key`, and which watch reports its changes; replaces the former setting.
    pub fn set(&mut self, key: K, when: When, watch: Option<WatchId>) {
        self.remove(key);
        match when {
            When::Now => {
                self.now.insert(key);
            }
            When::At(at) => {
                self.at.insert((at, key));
            }
            When::Changed => {}
        }
        if let Some(watch) = watch {
            self.by_watch.insert(watch, key);
        }
        self.entries.insert(key, Entry { when, watch });
    }

    /// Checks `key` at once, if it is known.
    pub fn now(&mut self, key: K) {
        if let Some(Entry { watch, .. }) = self.entries.get(&key).copied() {
            self.set(key, When::Now, watch);
        }
    }

    /// Forgets `key`.
    pub fn remove(&mut self, key: K) {
        let Some(entry) = self.entries.remove(&key) else {
            return;
        };
        match entry.when {
            When::Now => {
                self.now.remove(&key);
            }
            When::At(at) => {
                self.at.remove(&(at, key));
            }
            When::Changed => {}
        }
        if let Some(watch) = entry.watch {
            self.by_watch.remove(&watch);
        }
    }

    /// When the next check is due if nothing changes; zero: at once.
    pub fn due(&self) -> Option<Duration> {
        if !self.now.is_empty() {
            return Some(Duration::ZERO);
        }
        self.at.first().map(|(at, _)| *at)
    }

    /// Marks for an immediate check all that a wake concerns, and all that is due.
    pub fn wake(&mut self, wake: &Wake, now: Duration) {
        match wake {
            Wake::Anything => {
                let all: Vec<K> = self.entries.keys().copied().collect();
                for key in all {
                    self.now(key);
                }
            }
            Wake::Changed(ids) => {
                for id in ids {
                    if let Some(key) = self.by_watch.get(id).copied() {
                        self.now(key);
                    }
                }
            }
            Wake::Nothing => {}
        }
        while let Some((at, key)) = self.at.first().copied()
            && at <= now
        {
            self.now(key);
        }
    }

    /// The items to check at once, in order. The caller sets the next check of each
    /// ([`Schedule::set`]); otherwise only its watch causes one.
    pub fn take(&mut self) -> Vec<K> {
        let taken: Vec<K> = std::mem::take(&mut self.now).into_iter().collect();
        for key in &taken {
            if let Some(entry) = self.entries.get_mut(key) {
                entry.when = When::Changed;
            }
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn sample() -> Schedule<u32> {
        let mut schedule = Schedule::default();
        schedule.set(1, When::Now, None);
        schedule.set(2, When::At(SECOND), Some(20));
        schedule.set(3, When::At(2 * SECOND), None);
        schedule.set(4, When::Changed, Some(40));
        schedule
    }

    #[test]
    fn what_is_due_is_taken_once() {
        let mut schedule = sample();
        assert_eq!(schedule.due(), Some(Duration::ZERO));
        assert_eq!(schedule.take(), [1]);
        assert_eq!(schedule.due(), Some(SECOND));
        schedule.wake(&Wake::Nothing, SECOND);
        assert_eq!(schedule.take(), [2]);
        schedule.wake(&Wake::Nothing, SECOND);
        assert!(schedule.take().is_empty());
        assert_eq!(schedule.due(), Some(2 * SECOND));
    }

    #[test]
    fn a_wake_concerns_what_is_watched() {
        let mut schedule = sample();
        schedule.take();
        schedule.wake(&Wake::Changed(vec![40, 20, 77]), Duration::ZERO);
        assert_eq!(schedule.take(), [2, 4]);
        // It still has its watch, and is no longer due.
        schedule.wake(&Wake::Changed(vec![20]), 5 * SECOND);
        assert_eq!(schedule.take(), [2, 3]);
        schedule.wake(&Wake::Anything, Duration::ZERO);
        assert_eq!(schedule.take(), [1, 2, 3, 4]);
    }

    #[test]
    fn what_is_set_replaces_what_was_set() {
        let mut schedule = sample();
        schedule.set(4, When::Changed, Some(41));
        schedule.set(2, When::Changed, None);
        schedule.remove(1);
        schedule.wake(&Wake::Changed(vec![40, 20]), SECOND);
        assert!(schedule.take().is_empty());
        schedule.wake(&Wake::Changed(vec![41]), SECOND);
        schedule.now(9);
        assert_eq!(schedule.take(), [4]);
        schedule.remove(3);
        assert_eq!(schedule.due(), None);
    }
}
