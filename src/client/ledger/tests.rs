use super::*;

fn batch(partition: PartitionId, first_sent: u64, count: u64) -> Batch {
    Batch {
        partition,
        first_sent,
        count,
        bytes: 100,
        building: 100,
        completion: None,
    }
}

fn at(base_offset: i64, count: u64) -> Appended {
    Appended {
        base_offset,
        last_offset: base_offset + count as i64 - 1,
        leader_epoch: 0,
        crc: 0,
        replica: crate::types::Uuid([0; 16]),
        generation: 0,
        append_time: None,
        rolled: false,
        durable: 0,
    }
}

fn reported(ledger: &Ledger) -> Vec<(PartitionId, u64, i64, u64)> {
    let receipts = ledger.receipts(Duration::ZERO);
    let reported = receipts.iter();
    reported
        .map(|r| (r.partition, r.sequence, r.base_offset, r.count))
        .collect()
}

#[test]
fn nothing_is_acknowledged_behind_a_batch_that_is_not() {
    let ledger = Ledger::new(1 << 20);
    let _lost = ledger.enter(batch(0, 0, 2)).expect("entered");
    let second = ledger.enter(batch(0, 2, 3)).expect("entered");
    let other = ledger.enter(batch(1, 5, 1)).expect("entered");
    ledger.fail(Error::new(Kind::Unknown, "a sync failed"));
    ledger.acknowledge([(second, at(7, 3)), (other, at(0, 1))]);
    assert_eq!(reported(&ledger), [(1, 0, 0, 1)]);
    assert_eq!(ledger.first_unacknowledged(), Some(0));
    assert_eq!(ledger.acknowledged(), 1);
    assert!(ledger.wait_for_all().is_err());
    assert!(ledger.enter(batch(0, 6, 1)).is_none());
}

#[test]
fn receipts_come_in_order_whatever_the_threads_did() {
    let ledger = Ledger::new(1 << 20);
    let first = ledger.enter(batch(0, 0, 4)).expect("entered");
    let second = ledger.enter(batch(0, 4, 1)).expect("entered");
    let mut head = first;
    let rest = head.split_off(1);
    ledger.acknowledge([(second, at(9, 1))]);
    ledger.acknowledge([(head, at(3, 1))]);
    assert_eq!(reported(&ledger), [(0, 0, 3, 1)]);
    assert_eq!(ledger.first_unacknowledged(), Some(0));
    ledger.acknowledge([(rest, at(5, 3))]);
    assert_eq!(reported(&ledger), [(0, 1, 5, 3), (0, 4, 9, 1)]);
    assert_eq!(ledger.first_unacknowledged(), None);
    ledger.wait_for_all().expect("all of it");
}

#[test]
fn receipts_that_nobody_takes_are_bounded_and_counted() {
    let ledger = Ledger::new(1 << 20);
    for n in 0..RECEIPTS_MAX as u64 + 10 {
        let ticket = ledger.enter(batch(0, n, 1)).expect("entered");
        ledger.acknowledge([(ticket, at(n as i64, 1))]);
    }
    let reported = reported(&ledger);
    assert_eq!(reported.len(), RECEIPTS_MAX);
    assert_eq!(reported.first().map(|one| one.1), Some(10));
    assert_eq!(ledger.acknowledged(), RECEIPTS_MAX as u64 + 10);
}

#[test]
fn bytes_under_way_are_bounded() {
    let ledger = Ledger::new(150);
    let ticket = ledger.enter(batch(0, 0, 1)).expect("the first has room");
    assert!(!ledger.is_idle_for(40));
    ledger.begun();
    assert!(ledger.is_idle_for(40) && !ledger.is_idle_for(100));
    std::thread::scope(|scope| {
        let entered = scope.spawn(|| ledger.enter(batch(0, 1, 1)).is_some());
        std::thread::sleep(Duration::from_millis(20));
        assert!(!entered.is_finished());
        ledger.acknowledge([(ticket, at(0, 1))]);
        assert!(entered.join().expect("no panic"));
    });
}
