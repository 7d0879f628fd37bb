//! The topics that are open for sending: one, or with --each-topic those that records named last.

use std::sync::Arc;
use std::time::Duration;

use super::lines::Lines;
use crate::client::UntimedProducer;
use crate::error::{Error, Kind, Result};
use crate::types::TopicName;

/// Most topics that are open at once. Each has threads and memory of its own.
pub const OPEN_MAX: usize = 32;

/// A topic that is open for sending.
#[derive(Debug)]
pub struct OpenTopic {
    /// Its name.
    pub name: Arc<TopicName>,
    /// Its producer.
    pub producer: UntimedProducer,
    /// Where its records came from.
    pub lines: Lines,
    /// Tells it from other topics, and from itself before it was closed.
    pub opening: u64,
    used: u64,
}

/// Those that are open; records go to the current one.
#[derive(Debug, Default)]
pub struct OpenTopics {
    open: Vec<OpenTopic>,
    current: usize,
    /// Counts openings and changes of the current topic.
    turn: u64,
    /// Records sent to topics that are closed.
    sent: u64,
}

impl OpenTopics {
    /// The current topic.
    ///
    /// # Errors
    /// If none is open: one is opened before a record is sent.
    #[inline]
    pub fn current(&mut self) -> Result<&mut OpenTopic> {
        self.open
            .get_mut(self.current)
            .ok_or_else(|| Error::new(Kind::Unknown, "no topic is open"))
    }

    /// The current topic, if any is open.
    pub fn get(&self) -> Option<&OpenTopic> {
        self.open.get(self.current)
    }

    /// All that are open.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut OpenTopic> {
        self.open.iter_mut()
    }

    /// All that are open.
    pub fn iter(&self) -> impl Iterator<Item = &OpenTopic> {
        self.open.iter()
    }

    /// Makes an open topic the current one; `false`: it is not open.
    pub fn turn_to(&mut self, name: &str) -> bool {
        if self.get().is_some_and(|open| open.name.as_str() == name) {
            return true;
        }
        let found = self.open.iter().position(|open| open.name.as_str() == name);
        let Some(found) = found else {
            return false;
        };
        self.turn += 1;
        self.current = found;
        if let Some(open) = self.open.get_mut(found) {
            open.used = self.turn;
        }
        true
    }

    /// Enters a topic, which is the current one from now on.
    pub fn enter(&mut self, name: Arc<TopicName>, producer: UntimedProducer) {
        self.turn += 1;
        self.current = self.open.len();
        self.open.push(OpenTopic {
            name,
            producer,
            lines: Lines::default(),
            opening: self.turn,
            used: self.turn,
        });
    }

    /// The topic that was used least recently, to be closed, if no other has room.
    pub fn take_surplus(&mut self) -> Option<OpenTopic> {
        if self.open.len() < OPEN_MAX {
            return None;
        }
        let places = self.open.iter().enumerate();
        let (at, _) = places.min_by_key(|(_, open)| open.used)?;
        Some(self.take_at(at))
    }

    /// A topic of which nothing is under way and that meets this, to be closed.
    pub fn take_idle(&mut self, is_met: impl Fn(&mut OpenTopic) -> bool) -> Option<OpenTopic> {
        let at = self.open.iter_mut().position(|open| {
            open.producer.first_unacknowledged() == open.producer.sent() && is_met(open)
        })?;
        Some(self.take_at(at))
    }

    /// Any of them, to be closed.
    pub fn take(&mut self) -> Option<OpenTopic> {
        let last = self.open.len().checked_sub(1)?;
        Some(self.take_at(last))
    }

    fn take_at(&mut self, at: usize) -> OpenTopic {
        let taken = self.open.swap_remove(at);
        self.sent += taken.producer.sent();
        // A topic is turned to before a record is sent.
        self.current = self.open.len();
        taken
    }

    /// How many records were sent.
    pub fn sent(&self) -> u64 {
        self.sent + self.iter().map(|open| open.producer.sent()).sum::<u64>()
    }

    /// Hands on what is being built.
    ///
    /// # Errors
    /// As [`UntimedProducer::hand_on`]; the others are handed on all the same.
    pub fn hand_on(&mut self) -> Result<()> {
        let handed = self.iter_mut().map(|open| open.producer.hand_on());
        handed.fold(Ok(()), Result::and)
    }

    /// As [`UntimedProducer::idle`].
    pub fn idle(&mut self) -> Result<Option<Duration>> {
        let mut least = None;
        for open in &mut self.open {
            let left = open.producer.idle()?;
            least = least.into_iter().chain(left).min();
        }
        Ok(least)
    }
}
