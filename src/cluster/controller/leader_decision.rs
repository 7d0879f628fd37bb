//! Decides what becomes of a leader whose directory can be used: pure code, so that every
//! combination is tested.

/// What a probe found of such a leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SoundLeader {
    /// Its broker's daemon is alive.
    pub is_alive: bool,
    /// Its disk has no room for a batch.
    pub is_disk_full: bool,
    /// Its state page was left sealed: only a new epoch lifts the seal.
    pub is_sealed: bool,
    /// Another process's leadership transfer is under way.
    pub is_moving: bool,
    /// Some followers are dead, late or cannot be used.
    pub loses_followers: bool,
}

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LeaderAction {
    /// Leadership goes to a live broker.
    ReplaceDead,
    /// Leadership goes to a broker whose disk has room.
    ReplaceFull,
    /// The log gets a new epoch.
    Unseal,
    /// Nothing until that transfer ends: its broker may be about to end, or a user requested it.
    AwaitTransfer,
    /// These followers leave the in-sync set.
    ShrinkIsr,
    /// It leads on; what remains can wait.
    LeadOn,
}

/// The decision. A partition without a leader comes first, then one that takes no appends. While a
/// transfer is under way the in-sync set stays: the transfer checks it.
pub(crate) fn decide(found: SoundLeader) -> LeaderAction {
    match found {
        SoundLeader {
            is_alive: false, ..
        } => LeaderAction::ReplaceDead,
        SoundLeader {
            is_disk_full: true, ..
        } => LeaderAction::ReplaceFull,
        SoundLeader {
            is_sealed: true, ..
        } => LeaderAction::Unseal,
        SoundLeader {
            is_moving: true, ..
        } => LeaderAction::AwaitTransfer,
        SoundLeader {
            loses_followers: true,
            ..
        } => LeaderAction::ShrinkIsr,
        _ => LeaderAction::LeadOn,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_reason_decides() {
        // Alive, disk full, sealed, moving, loses followers; `None`: either.
        let (yes, no) = (Some(true), Some(false));
        let table = [
            ([no, None, None, None, None], LeaderAction::ReplaceDead),
            ([yes, yes, None, None, None], LeaderAction::ReplaceFull),
            ([yes, no, yes, None, None], LeaderAction::Unseal),
            ([yes, no, no, yes, None], LeaderAction::AwaitTransfer),
            ([yes, no, no, no, yes], LeaderAction::ShrinkIsr),
            ([yes, no, no, no, no], LeaderAction::LeadOn),
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
                is_alive,
                is_disk_full,
                is_sealed,
                is_moving,
                loses_followers,
            ] = flags;
            let found = SoundLeader {
                is_alive,
                is_disk_full,
                is_sealed,
                is_moving,
                loses_followers,
            };
            assert_eq!(decide(found), *then, "{found:?}");
        }
    }
}
