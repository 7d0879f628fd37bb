//! Records that were removed before they were read: by a trim, or because the topic keeps them for a
//! limited time.
//!
//! A read without end warns and goes on: its reader was late. A read with an end was asked for certain
//! records: it goes on as well, and then fails. What was gone before the command began is a warning,
//! unless nothing is left of a range.

use super::job::ConsumeJob;
use crate::cli::Env;
use crate::client::unresolved_offset::{UnresolvedOffset, UnresolvedRange};
use crate::client::{ResolvedRange, Until, missed, missed_text};
use crate::error::Result;
use crate::types::{Offset, TopicPartition};

/// Reports the offsets from `from` to the one before `to`. `is_failure`: the exit status is 1.
///
/// # Errors
/// These words, with `--on-missed fail`.
pub fn report(
    job: &ConsumeJob,
    tp: &TopicPartition,
    from: Offset,
    to: Offset,
    is_failure: bool,
    env: &mut Env,
) -> Result<()> {
    if job.fails_on_missed {
        return Err(missed(tp, from, to).cure("without '--on-missed fail' the reading goes on"));
    }
    if is_failure {
        env.fail(&missed(tp, from, to));
    } else {
        env.warn(&missed_text(tp, from, to));
    }
    Ok(())
}

/// The warning for a beginning that is gone.
pub fn below_start(tp: &TopicPartition, asked: Offset, start: Offset) -> String {
    format!("{tp} begins at offset {start}, {asked} is gone: reading from there")
}

/// The offsets of a range that was asked for, if it ends at or below the log start. An end of the log
/// is no end of a range: a log without records has lost nothing that was asked for.
pub fn removed_range(
    range: UnresolvedRange,
    resolved: &ResolvedRange,
    log_start: Offset,
) -> Option<(Offset, Offset)> {
    let is_named = matches!(
        range.to?,
        UnresolvedOffset::At(_) | UnresolvedOffset::Minus(_) | UnresolvedOffset::Time(_)
    );
    let Until::Offset(until) = resolved.until else {
        return None;
    };
    let from = match (resolved.below_start, range) {
        (Some(asked), _) => asked,
        // From the first record on, up to an offset.
        (
            None,
            UnresolvedRange {
                from: None | Some(UnresolvedOffset::Start),
                to: Some(UnresolvedOffset::At(_)),
            },
        ) => 0,
        _ => return None,
    };
    (is_named && from < until && until <= log_start).then_some((from, until))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_that_ends_at_or_below_the_log_start_is_gone() {
        use UnresolvedOffset::{At, End, Minus, Start};
        for (from, to, until, below_start, gone) in [
            (
                Some(At(100)),
                Some(At(200)),
                200,
                Some(100),
                Some((100, 200)),
            ),
            (
                Some(At(100)),
                Some(At(250)),
                250,
                Some(100),
                Some((100, 250)),
            ),
            (Some(At(100)), Some(At(251)), 251, Some(100), None),
            (None, Some(At(200)), 200, None, Some((0, 200))),
            (Some(Start), Some(At(200)), 200, None, Some((0, 200))),
            (Some(At(0)), Some(Minus(9)), 250, Some(0), Some((0, 250))),
            // The whole of a log without records.
            (Some(At(0)), Some(End), 250, Some(0), None),
            (Some(At(0)), None, 250, Some(0), None),
            (None, None, 250, None, None),
            // An empty range was always empty.
            (Some(At(200)), Some(At(100)), 100, Some(200), None),
        ] {
            let resolved = ResolvedRange {
                from: 250,
                until: Until::Offset(until),
                below_start,
            };
            let range = UnresolvedRange { from, to };
            assert_eq!(removed_range(range, &resolved, 250), gone, "{range:?}");
        }
    }
}
