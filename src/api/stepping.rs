//! What the two consumers share: the next record within a time, and the iterator.

use std::time::Duration;

use super::event::Event;
use super::fetch_buffer::FetchBuffer;
use super::record::Record;
use crate::error::Result;

/// The result of a step.
pub(super) enum Step {
    /// The buffer has a batch.
    Batch,
    Event(Event<'static>),
}

/// A consumer that goes on in steps.
pub(super) trait Stepping {
    /// The time on the store's clock.
    fn now(&self) -> Duration;

    fn buffer(&mut self) -> &mut FetchBuffer;

    /// Waits up to `timeout` for a batch or an event.
    fn step(&mut self, timeout: Duration) -> Result<Step>;

    /// Hands out the next record of the batch that is unpacked; `None` if there is none, or if a
    /// step comes first.
    fn take_record(&mut self) -> Result<Option<Record>>;

    /// Whether nothing comes any more.
    fn is_at_end(&self) -> bool;

    /// Waits up to `timeout` for the next record. `None`: there was none within that time, the
    /// consumer was woken, or no more come.
    fn next_within(&mut self, timeout: Duration) -> Result<Option<Record>> {
        let deadline = self.now().saturating_add(timeout);
        loop {
            if let Some(record) = self.take_record()? {
                return Ok(Some(record));
            }
            match self.step(deadline.saturating_sub(self.now()))? {
                Step::Event(Event::Idle | Event::End) => return Ok(None),
                Step::Event(_) => {}
                Step::Batch => self.buffer().unpack()?,
            }
        }
    }

    /// The next record, whenever it comes; `None` at the end.
    fn next_or_end(&mut self) -> Option<Result<Record>> {
        loop {
            if let Some(next) = self.next_within(Duration::MAX).transpose() {
                return Some(next);
            }
            // Otherwise it was woken.
            if self.is_at_end() {
                return None;
            }
        }
    }
}
