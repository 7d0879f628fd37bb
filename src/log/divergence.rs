//! The offset at which a follower's log diverges from its leader's, by their epochs alone (KIP-101,
//! KIP-279).
//!
//! Invariant: below the returned offset, both logs hold the same batches. An epoch has one leader,
//! so two logs that have a record of an epoch agree up to the point where one of them leaves it.

use super::epoch_checkpoint::LeaderEpochs;
use crate::types::Offset;

/// The offset up to which a log with these epochs, ending at `end`, equals the leader's, which goes from
/// `leader_start` to `leader_end`: at most either end. Both have the epochs of their batches; the
/// leader's also has its own. Of epochs that ended below its start the leader knows nothing any more:
/// for those its start is the answer.
pub fn divergence(
    own: &LeaderEpochs,
    end: Offset,
    leader: &LeaderEpochs,
    leader_start: Offset,
    leader_end: Offset,
) -> Offset {
    let oldest = leader.entries().first().map(|(epoch, _)| *epoch);
    let mut limit = end;
    for (epoch, start) in own.entries().iter().rev() {
        // Entries that begin at the end or beyond hold no record of this log.
        if *start >= limit && *start > 0 {
            continue;
        }
        match leader.end_of(*epoch, leader_end) {
            Some(leaders) => return limit.min(leaders),
            None if oldest > Some(*epoch) && leader_start > 0 => return limit.min(leader_start),
            // The leader has nothing of this epoch.
            None => limit = limit.min(*start),
        }
    }
    limit.min(leader_end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epochs(entries: &[(i32, Offset)]) -> LeaderEpochs {
        let mut epochs = LeaderEpochs::default();
        for (epoch, start) in entries {
            epochs.begin(*epoch, *start);
        }
        epochs
    }

    #[test]
    fn cases_of_the_proposals() {
        let cases: [(&[(i32, Offset)], Offset, &[(i32, Offset)], Offset, Offset); 9] = [
            // The same, and behind.
            (&[(0, 0)], 10, &[(0, 0)], 10, 10),
            (&[(0, 0)], 7, &[(0, 0), (1, 10)], 12, 7),
            // It had records that the next leader did not get.
            (&[(0, 0)], 10, &[(0, 0), (1, 8)], 20, 8),
            // It led an epoch that no other replica knows.
            (&[(0, 0), (1, 8)], 12, &[(0, 0), (2, 8)], 30, 8),
            (&[(0, 0), (1, 8)], 12, &[(0, 0), (2, 6)], 30, 6),
            (&[(0, 0), (1, 8)], 12, &[(0, 0), (2, 10)], 30, 8),
            // Two elections while it was away.
            (
                &[(0, 0), (3, 5)],
                9,
                &[(0, 0), (1, 4), (2, 7), (4, 9)],
                9,
                4,
            ),
            // An unclean leader that had nothing.
            (&[(0, 0)], 10, &[(5, 0)], 3, 0),
            // Empty.
            (&[(0, 0)], 0, &[(4, 0)], 3, 0),
        ];
        for (own, end, leader, leader_end, expected) in cases {
            let found = divergence(&epochs(own), end, &epochs(leader), 0, leader_end);
            assert_eq!(found, expected, "{own:?} {end} {leader:?} {leader_end}");
        }
    }

    #[test]
    fn of_older_epochs_the_leaders_start_is_the_answer() {
        // The leader's epoch 0 ended at 5 and is forgotten; its log starts at 8, and 2 began at 8.
        let leader = epochs(&[(2, 8)]);
        for (own, end, expected) in [
            (&[(0, 0)][..], 12, 8),
            (&[(0, 0)], 6, 6),
            (&[(0, 0), (2, 8)], 10, 10),
            (&[(0, 0), (1, 6)], 12, 8),
            (&[(0, 0), (3, 6)], 12, 6),
        ] {
            assert_eq!(
                divergence(&epochs(own), end, &leader, 8, 20),
                expected,
                "{own:?}"
            );
        }
    }

    /// Histories of elections, each leader appending to its log: the returned offset is the length
    /// of the common prefix, batch by batch.
    #[test]
    fn it_is_the_longest_common_prefix() {
        let mut state = 7_u64;
        let mut random = move |below: u64| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 33) % below
        };
        for _ in 0..5_000 {
            // Each log as the epochs of its records; a replica copies a prefix of the leader's.
            let mut logs: [Vec<i32>; 3] = Default::default();
            let mut begun: [LeaderEpochs; 3] = Default::default();
            for epoch in 0..6 {
                let leads = random(3) as usize;
                let mut of_leader = logs[leads].clone();
                begun[leads].begin(epoch, of_leader.len() as Offset);
                of_leader.extend(std::iter::repeat_n(epoch, random(4) as usize));
                logs[leads] = of_leader.clone();
                for follower in (0..3).filter(|n| *n != leads) {
                    if random(2) == 0 {
                        continue;
                    }
                    let own_end = logs[follower].len() as Offset;
                    let leader_end = of_leader.len() as Offset;
                    let found = divergence(&begun[follower], own_end, &begun[leads], 0, leader_end);
                    let pairs = logs[follower].iter().zip(&of_leader);
                    let same = pairs.take_while(|(a, b)| a == b).count() as Offset;
                    assert_eq!(found, same, "{:?} {:?}", logs[follower], of_leader);
                    logs[follower].truncate(found as usize);
                    begun[follower].cut(found.max(1));
                    let more = random(3).min((of_leader.len() - found as usize) as u64) as usize;
                    for epoch in of_leader.iter().skip(found as usize).take(more) {
                        let at = logs[follower].len() as Offset;
                        if begun[follower].at(at) != Some(*epoch) {
                            begun[follower].cut(at);
                            begun[follower].begin(*epoch, at);
                        }
                        logs[follower].push(*epoch);
                    }
                }
            }
        }
    }
}
