//! Fan-out: threads share one producer, and each waits until its record is durable. They share the syncs.
use mq::{NewTopic, RecordRef, Store};

#[allow(missing_docs, reason = "an example")]
pub fn main() -> Result<(), Box<dyn std::error::Error>> {
    let scratch = tempfile::tempdir()?;
    let store = Store::open(scratch.path().join("store"))?;
    store.admin().ensure_topic(NewTopic::new("events"))?;
    let events = store.producer("events").open()?;

    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|id| {
                let events = events.clone();
                scope.spawn(move || -> mq::Result<()> {
                    for n in 0..25 {
                        let (key, value) = (format!("thread-{id}"), format!("event {n}"));
                        let record = RecordRef::new(&value).key(&key).header("source", "fan-out");
                        events.send(record)?.wait()?;
                    }
                    Ok(())
                })
            })
            .collect();
        threads
            .into_iter()
            .try_for_each(|one| one.join().expect("no panic"))
    })?;
    assert_eq!(events.close()?, 8 * 25);
    Ok(())
}
