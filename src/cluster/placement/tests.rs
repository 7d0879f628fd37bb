use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn candidate(id: BrokerId, rack: Option<&str>) -> Candidate {
    Candidate {
        id,
        rack: rack.map(str::to_owned),
        drained: false,
    }
}

fn wanted(partitions: PartitionId, replication_factor: usize) -> Wanted {
    Wanted {
        first: 0,
        partitions,
        replication_factor,
        start: 0,
    }
}

fn counts(brokers: impl IntoIterator<Item = BrokerId>) -> BTreeMap<BrokerId, usize> {
    let mut counts = BTreeMap::new();
    for broker in brokers {
        *counts.entry(broker).or_default() += 1;
    }
    counts
}

#[test]
fn leaders_go_round_and_racks_alternate() {
    let racks = [
        candidate(0, Some("a")),
        candidate(1, Some("a")),
        candidate(2, Some("b")),
        candidate(3, Some("b")),
    ];
    let placed = place(&racks, wanted(4, 2)).expect("placed");
    assert_eq!(placed, [[0, 2], [2, 1], [1, 3], [3, 0]]);
    let plain = [3, 7, 9].map(|id| candidate(id, None));
    let placed = place(&plain, wanted(4, 3)).expect("placed");
    assert_eq!(placed, [[3, 7, 9], [7, 9, 3], [9, 3, 7], [3, 9, 7]]);
}

#[test]
fn what_is_added_goes_on_where_the_topic_left_off() {
    let brokers = [0, 1, 2].map(|id| candidate(id, None));
    let whole = Wanted {
        start: 2,
        ..wanted(7, 2)
    };
    let placed = place(&brokers, whole).expect("placed");
    let leader = placed[0][0];
    let more = Wanted {
        first: 3,
        partitions: 4,
        start: place_of(&brokers, leader),
        ..whole
    };
    assert_eq!(place(&brokers, more).expect("placed"), placed[3..]);
}

#[test]
fn too_many_replicas_are_refused() {
    for (live, factor) in [(0, 1), (1, 2), (3, 4), (2, 0)] {
        let brokers: Vec<_> = (0..live).map(|id| candidate(id, None)).collect();
        let e = place(&brokers, wanted(1, factor)).expect_err("too many");
        assert_eq!(e.kind(), Kind::BrokerState);
        assert!(e.to_string().contains("INVALID_REPLICATION_FACTOR"), "{e}");
    }
}

#[test]
fn a_drained_broker_is_the_last_resort() {
    let mut brokers = [0, 1, 2].map(|id| candidate(id, None));
    brokers[1].drained = true;
    let placed = place(&brokers, wanted(6, 2)).expect("placed");
    assert!(placed.iter().all(|p| !p.contains(&1)), "{placed:?}");
    let placed = place(&brokers, wanted(6, 3)).expect("placed");
    assert!(placed.iter().all(|p| p[2] == 1), "{placed:?}");
    for broker in &mut brokers {
        broker.drained = true;
    }
    let placed = place(&brokers, wanted(3, 1)).expect("placed");
    assert_eq!(placed, [[0], [1], [2]]);
}

/// Brokers with gaps in their numbers, on racks of any sizes; rack 0 is none.
fn shapes() -> impl Strategy<Value = Vec<Candidate>> {
    prop::collection::vec((0u8..5, prop::bool::weighted(0.2), 1i32..4), 1..12).prop_map(|brokers| {
        let mut id = -1;
        brokers
            .into_iter()
            .map(|(rack, drained, gap)| {
                id += gap;
                Candidate {
                    id,
                    rack: (rack > 0).then(|| format!("r{rack}")),
                    drained,
                }
            })
            .collect()
    })
}

fn rack_of(brokers: &[Candidate], id: BrokerId) -> Option<&str> {
    brokers
        .iter()
        .find(|b| b.id == id)
        .expect("known")
        .rack
        .as_deref()
}

proptest! {
    #[test]
    fn every_shape_is_placed_by_the_rules(
        brokers in shapes(),
        partitions in 1i32..40,
        first in 0i32..40,
        start in 0usize..100,
        factor in 1usize..12,
    ) {
        prop_assume!(factor <= brokers.len());
        let asked = Wanted { first, partitions, replication_factor: factor, start };
        let placed = place(&brokers, asked).expect("placed");
        prop_assert_eq!(placed.len(), partitions as usize);
        let willing: Vec<_> = brokers.iter().filter(|b| !b.drained).cloned().collect();
        let ring = if willing.is_empty() { &brokers } else { &willing };
        let racks: BTreeSet<_> = ring.iter().map(|b| b.rack.as_deref()).collect();
        for replicas in &placed {
            prop_assert_eq!(replicas.len(), factor);
            let distinct: BTreeSet<_> = replicas.iter().collect();
            prop_assert_eq!(distinct.len(), factor);
            // Drained brokers come last, and only when the others are used up.
            let of_ring = factor.min(ring.len());
            let (own, rest) = replicas.split_at(of_ring);
            prop_assert!(own.iter().all(|id| ring.iter().any(|b| b.id == *id)));
            prop_assert!(rest.iter().all(|id| !ring.iter().any(|b| b.id == *id)));
            let mut used: BTreeMap<Option<&str>, usize> = BTreeMap::new();
            for id in own {
                *used.entry(rack_of(&brokers, *id)).or_default() += 1;
            }
            prop_assert_eq!(used.len(), of_ring.min(racks.len()));
            // A rack has two more than another only if the other has no more brokers.
            let most = used.values().copied().max().unwrap_or(0);
            for rack in &racks {
                let here = used.get(rack).copied().unwrap_or(0);
                let size = ring.iter().filter(|b| b.rack.as_deref() == *rack).count();
                prop_assert!(here + 1 >= most || here == size);
            }
        }
        let leaders = counts(placed.iter().map(|replicas| replicas[0]));
        let least = ring.iter().map(|b| leaders.get(&b.id).copied().unwrap_or(0)).min();
        let most = leaders.values().copied().max().unwrap_or(0);
        prop_assert!(most - least.unwrap_or(0) <= 1, "{leaders:?}");
    }

    #[test]
    fn equal_racks_carry_equally_much(
        racks in 1i32..5,
        size in 1i32..4,
        rounds in 1i32..4,
        start in 0usize..50,
        factor in 1usize..8,
    ) {
        let len = racks * size;
        prop_assume!(factor <= len as usize);
        let brokers: Vec<_> = (0..len)
            .map(|id| candidate(id, Some(["a", "b", "c", "d"][(id % racks) as usize])))
            .collect();
        // Whole rounds: the followers of a leader change between them.
        let start = start / len as usize * len as usize;
        let asked = Wanted { start, ..wanted(len * rounds, factor) };
        let placed = place(&brokers, asked).expect("placed");
        let all = counts(placed.iter().flatten().copied());
        let each = factor * rounds as usize;
        prop_assert!(all.values().all(|n| *n == each) && all.len() == len as usize, "{all:?}");
    }
}

#[test]
fn a_dead_brokers_leaders_move_to_many() {
    let brokers: Vec<_> = (0..5).map(|id| candidate(id, None)).collect();
    let placed = place(&brokers, wanted(20, 2)).expect("placed");
    let followers: BTreeSet<_> = placed.iter().filter(|p| p[0] == 3).map(|p| p[1]).collect();
    assert_eq!(followers.len(), 4, "{placed:?}");
}
