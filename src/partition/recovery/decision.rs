//! What a recovery does with the log that it found: pure, so that every combination is written down
//! and tested.

/// What is known of the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PageFound {
    /// Neither copy is sound.
    Lost,
    /// It was written in this boot: what its process wrote is in the page cache.
    OfThisBoot,
    /// It was written before the machine started: what is there is what the disk has.
    OfAnotherBoot,
}

/// What is known of the last sync.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SyncFound {
    /// None is open: each that was begun has told its end.
    Clear,
    /// One was begun beyond the durable offset, and nobody saw its end.
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
    /// Whether every message is synced before it is acknowledged and shown.
    pub every_message: bool,
    /// Whether the partition has other replicas.
    pub replicated: bool,
    /// Whether a process had begun to copy what no sync vouches for.
    pub copy_begun: bool,
}

/// What is done with the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    /// The replica goes offline: a repair copies what the failed sync covered.
    Offline,
    /// Everything beyond the durable offset is copied; where there is nothing, the log is kept.
    Copy,
    /// It is synced, and durable to its end.
    Sync,
    /// It is published; the next group commit makes it durable.
    Keep,
}

/// The decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Decision {
    /// How far the log is durable is not known: from its start on nothing is vouched for.
    pub durable_unknown: bool,
    /// Nothing is appended until a new leader epoch: more than is left may have been shown.
    pub seal: bool,
    /// What is done.
    pub then: Then,
}

/// Decides.
pub(crate) fn decide(found: Found) -> Decision {
    let lost = found.page == PageFound::Lost;
    let same_boot = found.page == PageFound::OfThisBoot;
    let open_sync = found.sync != SyncFound::Clear;
    // Without a sync for each message, more than is left may have been shown before a power cut.
    // Another replica may have more than is left here, of the same epoch.
    let seal = lost || (!same_boot && (!found.every_message || found.replicated));
    // In the boot of the page an fsync that succeeds vouches for nothing: the error may have been
    // told to another. With an unseen sync that is so whatever the page says, and in every mode.
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
        // Page, sync | every message, replicated, copy begun | durable unknown, seal, then.
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
