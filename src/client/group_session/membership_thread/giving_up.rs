//! Decides when a partition that the caller was ordered to stop is given up: pure code, so that
//! every combination is tested.

/// What is known of such a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stopping {
    /// The caller reads it no more.
    pub is_unread: bool,
    /// Everything that was handed out of it is delivered.
    pub is_delivered: bool,
    /// Nothing more will be delivered: the output's reader is gone.
    pub is_output_closed: bool,
    /// The time that a partition may be kept for its output is over.
    pub is_late: bool,
    /// It is this member's target again.
    pub is_target: bool,
}

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeepOrRelease {
    /// It is kept until more is known.
    Wait,
    /// It is free for its next owner.
    Release,
    /// This member closes it, stays its owner, and takes it over again from what is committed.
    TakeAgain,
}

/// The decision. A partition that the caller was ordered to stop is given up even if it is the
/// member's target again: the order cannot be taken back.
pub(crate) fn decide(found: Stopping) -> KeepOrRelease {
    let is_over = found.is_delivered || found.is_output_closed;
    if !(found.is_late || found.is_unread && is_over) {
        KeepOrRelease::Wait
    } else if found.is_target {
        KeepOrRelease::TakeAgain
    } else {
        KeepOrRelease::Release
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_is_kept_while_it_is_read_or_its_output_is_under_way() {
        // Unread, delivered, output closed, late; `None`: either.
        let (yes, no) = (Some(true), Some(false));
        let table = [
            ([None, None, None, yes], KeepOrRelease::Release),
            ([yes, yes, None, no], KeepOrRelease::Release),
            ([yes, no, yes, no], KeepOrRelease::Release),
            ([yes, no, no, no], KeepOrRelease::Wait),
            ([no, None, None, no], KeepOrRelease::Wait),
        ];
        for bits in 0..32_u8 {
            let flags: [bool; 5] = std::array::from_fn(|at| bits & (1 << at) != 0);
            let mut rows = table.iter().filter(|(row, _)| {
                let mut pairs = row.iter().zip(flags);
                pairs.all(|(wanted, flag)| wanted.is_none_or(|wanted| wanted == flag))
            });
            let (_, then) = rows.next().expect("a row for each combination");
            assert!(rows.next().is_none(), "one row for each combination");
            let [
                is_unread,
                is_delivered,
                is_output_closed,
                is_late,
                is_target,
            ] = flags;
            let found = Stopping {
                is_unread,
                is_delivered,
                is_output_closed,
                is_late,
                is_target,
            };
            let then = match then {
                KeepOrRelease::Release if is_target => KeepOrRelease::TakeAgain,
                then => *then,
            };
            assert_eq!(decide(found), then, "{found:?}");
        }
    }
}
