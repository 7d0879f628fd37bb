//! A store in a program: records are sent, made durable, and counted by the topic's offsets.
use mq::{NewTopic, Store};

#[allow(missing_docs, reason = "an example")]
pub fn main() -> Result<(), Box<dyn std::error::Error>> {
    let scratch = tempfile::tempdir()?;
    let store = Store::open(scratch.path().join("store"))?;
    store
        .admin()
        .ensure_topic(NewTopic::new("orders").partitions(2))?;

    let orders = store.producer("orders").open()?;
    // The delivery runs from here on, whether or not a thread waits.
    orders.send(("order-1", "created"))?;
    let sent = orders.send(("order-1", "paid"))?;
    let receipt = sent.wait()?; // durable now
    let offset = receipt.offset_of(sent.sequence());
    assert_eq!(offset, Some(1), "one key, one partition, in order");
    assert_eq!(orders.close()?, 2);

    let topic = store.admin().describe("orders")?;
    let ends = topic.partitions.iter().filter_map(|one| one.end_offset);
    assert_eq!(ends.sum::<i64>(), 2);
    Ok(())
}
