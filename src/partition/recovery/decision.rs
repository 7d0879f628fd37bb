//! Decides what a recovery does with the log that it found: pure code, so that every combination is
//! listed and tested.

/// What is known of the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PageFound {
    /// Neither copy is sound.
    Lost,
    /// It was written in this boot: what the process wrote is in the page cache.
    OfThisBoot,
    /// It was written before the machine started: the log has only what the disk had.
    OfAnotherBoot,
}

/// What is known of the last sync.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SyncFound {
    /// None is open: the outcome of each sync that was begun is known.
    Clear,
    /// One was begun beyond the durable offset, and its outcome is unknown.
    Unseen,
    /// One failed, and the page that said so is lost.
    Failed,
}

/// What a recovery found, beside the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Found {
    /// The page.
    pub page: PageFound,
    /// The last sync.
    pub sync: SyncFound,
    /// Whether every message is synced before it is acknowledged and readable.
    pub every_message: bool,
    /// Whether the partition has other replicas.
    pub replicated: bool,
    /// Whether a process had begun to rewrite unsynced bytes.
    pub copy_begun: bool,
}

/// What is done with the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    /// The replica goes offline: a repair rewrites what the failed sync covered.
    Offline,
    /// Everything beyond the durable offset is rewritten; if there is nothing, the log is kept.
    Copy,
    /// It is synced, and durable to its end.
    Sync,
    /// It is published; the next group commit makes it durable.
    Keep,
}

/// The decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Decision {
    /// The durable offset is unknown: no sync counts, from the log start on.
    pub durable_unknown: bool,
    /// Nothing is appended until a new leader epoch: more than what is left may have been readable.
    pub seal: bool,
    /// What is done.
    pub then: Then,
}

/// Decides.
pub(crate) fn decide(found: Found) -> Decision {
    let lost = found.page == PageFound::Lost;
    let same_boot = found.page == PageFound::OfThisBoot;
    let open_sync = found.sync != SyncFound::Clear;
    // Without a sync for each message, records that a power cut took may have been readable.
    // Another replica may have more of the same epoch than is left here.
    let seal = lost || (!same_boot && (!found.every_message || found.replicated));
    // In the boot of the page a successful fsync proves nothing: the kernel may have reported the
    // error to another process. After a sync with an unknown outcome that holds whatever the page
    // says, and in every mode.
    let unvouched = found.every_message || open_sync || found.copy_begun;
    let then = if lost && found.sync == SyncFound::Failed {
        Then::Offline
    } else if (same_boot || open_sync) && unvouched {
        Then::Copy
    } else if same_boot {
        Then::Keep
    } else {
        Then::Sync
    };
    Decision {
        durable_unknown: lost && open_sync,
        seal,
        then,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::partition::recovery::decision::PageFound::{Lost, OfAnotherBoot, OfThisBoot};
    use crate::partition::recovery::decision::SyncFound::{Clear, Failed, Unseen};
    use crate::partition::recovery::decision::Then::{Copy, Keep, Offline, Sync};

    #[test]
    fn each_combination_is_decided_as_the_table_says() {
        // Page, sync | every message, replicated, rewrite begun | durable unknown, seal, then.
        let table = [
            (
                OfThisBoot,
                Clear,
                [false, false, false],
                (false, false, Keep),
            ),
            (
                OfThisBoot,
                Clear,
                [false, false, true],
                (false, false, Copy),
            ),
            (
                OfThisBoot,
                Clear,
                [false, true, false],
                (false, false, Keep),
            ),
            (OfThisBoot, Clear, [false, true, true], (false, false, Copy)),
            (
                OfThisBoot,
                Clear,
                [true, false, false],
                (false, false, Copy),
            ),
            (OfThisBoot, Clear, [true, false, true], (false, false, Copy)),
            (OfThisBoot, Clear, [true, true, false], (false, false, Copy)),
            (OfThisBoot, Clear, [true, true, true], (false, false, Copy)),
            (
                OfThisBoot,
                Unseen,
                [false, false, false],
                (false, false, Copy),
            ),
            (
                OfThisBoot,
                Unseen,
                [false, false, true],
                (false, false, Copy),
            ),
            (
                OfThisBoot,
                Unseen,
                [false, true, false],
                (false, false, Copy),
            ),
            (
                OfThisBoot,
                Unseen,
                [false, true, true],
                (false, false, Copy),
            ),
            (
                OfThisBoot,
                Unseen,
                [true, false, false],
                (false, false, Copy),
            ),
            (
                OfThisBoot,
                Unseen,
                [true, false, true],
                (false, false, Copy),
            ),
            (
                OfThisBoot,
                Unseen,
                [true, true, false],
                (false, false, Copy),
            ),
            (OfThisBoot, Unseen, [true, true, true], (false, false, Copy)),
            (
                OfAnotherBoot,
                Clear,
                [false, false, false],
                (false, true, Sync),
            ),
            (
                OfAnotherBoot,
                Clear,
                [false, false, true],
                (false, true, Sync),
            ),
            (
                OfAnotherBoot,
                Clear,
                [false, true, false],
                (false, true, Sync),
            ),
            (
                OfAnotherBoot,
                Clear,
                [false, true, true],
                (false, true, Sync),
            ),
            (
                OfAnotherBoot,
                Clear,
                [true, false, false],
                (false, false, Sync),
            ),
            (
                OfAnotherBoot,
                Clear,
                [true, false, true],
                (false, false, Sync),
            ),
            (
                OfAnotherBoot,
                Clear,
                [true, true, false],
                (false, true, Sync),
            ),
            (
                OfAnotherBoot,
                Clear,
                [true, true, true],
                (false, true, Sync),
            ),
            (
                OfAnotherBoot,
                Unseen,
                [false, false, false],
                (false, true, Copy),
            ),
            (
                OfAnotherBoot,
                Unseen,
                [true, false, false],
                (false, false, Copy),
            ),
            (
                OfAnotherBoot,
                Unseen,
                [true, true, false],
                (false, true, Copy),
            ),
            (Lost, Clear, [false, false, false], (false, true, Sync)),
            (Lost, Clear, [false, true, false], (false, true, Sync)),
            (Lost, Clear, [true, false, false], (false, true, Sync)),
            (Lost, Clear, [true, true, false], (false, true, Sync)),
            (Lost, Unseen, [false, false, false], (true, true, Copy)),
            (Lost, Unseen, [false, true, false], (true, true, Copy)),
            (Lost, Unseen, [true, false, false], (true, true, Copy)),
            (Lost, Unseen, [true, true, false], (true, true, Copy)),
            (Lost, Failed, [false, false, false], (true, true, Offline)),
            (Lost, Failed, [false, true, false], (true, true, Offline)),
            (Lost, Failed, [true, false, false], (true, true, Offline)),
            (Lost, Failed, [true, true, false], (true, true, Offline)),
        ];
        for (page, sync, [every_message, replicated, copy_begun], wanted) in table {
            let found = Found {
                page,
                sync,
                every_message,
                replicated,
                copy_begun,
            };
            let (durable_unknown, seal, then) = wanted;
            let wanted = Decision {
                durable_unknown,
                seal,
                then,
            };
            assert_eq!(decide(found), wanted, "{found:?}");
        }
    }
}
