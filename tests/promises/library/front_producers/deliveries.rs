//! What a listener of deliveries sees.

use super::*;

#[test]
fn deliveries_are_reported_in_order_and_without_a_gap() {
    let place = Place::with(2);
    let reported = Arc::new(Mutex::new([0_u64; 2]));
    let counts = Arc::clone(&reported);
    let note = move |outcome: Result<Receipt>| {
        let receipt = outcome.expect("stored");
        let next = &mut counts.lock().expect("no panic")[receipt.partition as usize];
        assert_eq!(receipt.first_sequence, *next);
        *next += receipt.count;
    };
    let producer = place.store.producer("t").on_delivery(note).open();
    let producer = producer.expect("opened");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..5000 {
                    drop(producer.send("x").expect("sent"));
                }
            });
        }
    });
    assert_eq!(producer.close().expect("closed"), 20_000);
    assert_eq!(
        reported.lock().expect("no panic").iter().sum::<u64>(),
        20_000
    );
}

#[test]
fn a_listener_that_panics_ends_the_producer_and_hangs_nobody() {
    let place = Place::with(1);
    let producer = place.store.producer("t");
    let producer = producer.on_delivery(|_| panic!("a mistake of the program"));
    let producer = producer.open().expect("opened");
    let first = producer.send("x").expect("sent");
    assert!(first.wait_timeout(SOON).is_some());
    wait_until("the producer has failed", || producer.send("y").is_err());
    let failure = producer.close().expect_err("it has failed");
    assert!(failure.error.outcome_unknown());
}

#[test]
fn a_listener_that_drops_the_last_clone_does_not_wait_for_itself() {
    let place = Place::with(1);
    let last = Arc::new(Mutex::new(None::<Producer>));
    let slot = Arc::clone(&last);
    let took = Arc::new(Mutex::new(None));
    let noted = Arc::clone(&took);
    let note = move |outcome: Result<Receipt>| {
        outcome.expect("stored");
        let begun = Instant::now();
        if slot.lock().expect("no panic").take().is_some() {
            *noted.lock().expect("no panic") = Some(begun.elapsed());
        }
    };
    let producer = place.store.producer("t").on_delivery(note).open();
    let producer = producer.expect("opened");
    // The listener waits for this lock until the last clone is in its place.
    let mut held = last.lock().expect("no panic");
    let sent: Vec<Sent> = (0..100)
        .map(|_| producer.send("x").expect("sent"))
        .collect();
    *held = Some(producer);
    drop(held);
    for one in &sent {
        let outcome = one.wait_timeout(SOON).expect("known");
        outcome.expect("stored");
    }
    wait_until("the clone is dropped", || {
        took.lock().expect("no panic").is_some()
    });
    let took = took.lock().expect("no panic").expect("dropped");
    assert!(took < Duration::from_secs(2), "it waited for {took:?}");
    assert_eq!(place.stored(), 100);
}
