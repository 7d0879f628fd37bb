//! A roll: the next segment begins at the log's end.

use crate::error::Result;
use crate::log::Appender;
use crate::partition::replica::AppendGuard;
use crate::partition::state_page::{Intent, StatePage};

/// Begins a segment at the log's end. The caller publishes the page, without the intent.
///
/// # Errors
/// [`crate::error::Kind::Fenced`] if the page is older than the log.
pub(crate) fn begin_segment(
    held: &AppendGuard<'_>,
    appender: &mut Appender,
    page: &mut StatePage,
) -> Result<()> {
    page.intent = Intent::Roll(page.tail.end);
    held.publish(page)?;
    let closed = appender.close_indexes(&page.tail)?;
    page.tail = appender.begin_segment(&closed)?;
    page.unsynced_names += 3;
    Ok(())
}
