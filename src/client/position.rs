//! A place in a partition's log, as a consumer keeps it.

use std::fmt;

use crate::error::{Error, Kind, Result};
use crate::store::TopicHandle;
use crate::types::{Offset, Uuid};

/// An offset, and the topic that it is an offset of: a topic that was made anew under the same name has
/// other records at the same offsets. Of a plain offset nobody can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The offset that is read next.
    pub offset: Offset,
    /// The topic, if it is known.
    pub topic_id: Option<Uuid>,
}

impl Position {
    /// Refuses a place in another topic than that.
    ///
    /// # Errors
    /// [`Kind::UnknownTopic`].
    pub(crate) fn check(self, topic: &TopicHandle) -> Result<()> {
        let meta = topic.meta();
        if self.topic_id.is_none_or(|id| id == meta.topic_id) {
            return Ok(());
        }
        let text = format!(
            "UNKNOWN_TOPIC_ID: offset {} is one of another topic: {} was deleted and created again",
            self.offset, meta.name
        );
        Err(Error::new(Kind::UnknownTopic, text)
            .cure("read the new one from its start, or from where it is to be begun"))
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
