//! A consumer's place in a partition's log.

use std::fmt;

use crate::error::{Error, Kind, Result};
use crate::store::TopicHandle;
use crate::types::{Offset, Uuid};

/// An offset and the topic that it belongs to: a topic that was created again under the same name
/// has other records at the same offsets. A plain offset does not show the difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The offset that is read next.
    pub offset: Offset,
    /// The topic, if it is known.
    pub topic_id: Option<Uuid>,
}

impl Position {
    /// Refuses a position in another topic than this.
    ///
    /// # Errors
    /// [`Kind::UnknownTopic`].
    pub(crate) fn check(self, topic: &TopicHandle) -> Result<()> {
        let meta = topic.meta();
        if self.topic_id.is_none_or(|id| id == meta.topic_id) {
            return Ok(());
        }
        let text = format!(
            "UNKNOWN_TOPIC_ID: offset {} belongs to an earlier topic: {} was deleted and created again",
            self.offset, meta.name
        );
        Err(Error::new(Kind::UnknownTopic, text)
            .cure("read the new topic from its start, or from another place"))
    }
}

impl From<Offset> for Position {
    fn from(offset: Offset) -> Self {
        Position {
            offset,
            topic_id: None,
        }
    }
}

impl From<i32> for Position {
    fn from(offset: i32) -> Self {
        Offset::from(offset).into()
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.offset.fmt(f)
    }
}
