//! The topics that are open for sending: one, or with --each-topic the most recently used.

use std::sync::Arc;
use std::time::Duration;

use super::lines::Lines;
use crate::client::UntimedProducer;
use crate::error::{Error, Kind, Result};
use crate::types::TopicName;

/// The most topics that are open at once. Each has threads and memory of its own.
pub const OPEN_MAX: usize = 32;

/// A topic that is open for sending.
#[derive(Debug)]
pub struct OpenTopic {
    /// Its name.
    pub name: Arc<TopicName>,
    /// Its producer.
    pub producer: UntimedProducer,
    /// The lines of its records.
    pub lines: Lines,
    /// Distinguishes this opening from those of other topics, and from earlier ones of the same
    /// topic.
    pub opening: u64,
    used: u64,
}

/// The open topics; records go to the current one.
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
    /// No topic is open: the caller opens one before it sends a record.
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

    /// All open topics.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut OpenTopic> {
        self.open.iter_mut()
    }

    /// All open topics.
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

    /// Adds a topic, which becomes the current one.
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

    /// Removes the least recently used topic, for the caller to close, if there is no room for
    /// another.
    pub fn take_surplus(&mut self) -> Option<OpenTopic> {
        if self.open.len() < OPEN_MAX {
            return None;
        }
        let places = self.open.iter().enumerate();
        let (at, _) = places.min_by_key(|(_, open)| open.used)?;
        Some(self.take_at(at))
    }

    /// Removes a topic without records under way that meets the condition, for the caller to close.
    pub fn take_idle(&mut self, is_met: impl Fn(&mut OpenTopic) -> bool) -> Option<OpenTopic> {
        let at = self.open.iter_mut().position(|open| {
            open.producer.first_unacknowledged() == open.producer.sent() && is_met(open)
        })?;
        Some(self.take_at(at))
    }

    /// Removes any topic, for the caller to close.
    pub fn take(&mut self) -> Option<OpenTopic> {
        let last = self.open.len().checked_sub(1)?;
        Some(self.take_at(last))
    }

    fn take_at(&mut self, at: usize) -> OpenTopic {
        let taken = self.open.swap_remove(at);
        self.sent += taken.producer.sent();
        // The caller chooses a topic before it sends a record.
        self.current = self.open.len();
        taken
    }

    /// The number of sent records.
    pub fn sent(&self) -> u64 {
        self.sent + self.iter().map(|open| open.producer.sent()).sum::<u64>()
    }

    /// Hands on the batches that are being built.
    ///
    /// # Errors
    /// As [`UntimedProducer::hand_on`]; the other topics' batches are handed on anyway.
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
