//! An exact copy: each record goes to the same partition and offset of another topic. A copy that
//! was killed continues where its target ends, so that no record is missing and none is there
//! twice.
use mq::{NewTopic, OffsetSpec, Result, Store, TopicName, TopicPartition};

fn copy(store: &Store, from: &str, to: &str) -> Result<u64> {
    let partitions = store.admin().describe(from)?.partitions.len() as i32;
    let target = NewTopic::new(to).partitions(partitions);
    let target = store.admin().ensure_topic(target)?;
    let mut consumer = store.consumer([from]).to_end().open()?;
    for copied in target.partitions {
        let source = TopicPartition::new(TopicName::new(from)?, copied.partition);
        let end = copied.end_offset.unwrap_or(0);
        consumer.seek(&source, OffsetSpec::At(end))?;
    }
    let producer = store.producer(to).open()?;
    for record in consumer {
        // Unchanged: key, value, headers, timestamp, and partition.
        producer.send(&record?)?;
    }
    Ok(producer.close()?)
}

pub(crate) fn main() -> Result<()> {
    let scratch = tempfile::tempdir().expect("a directory");
    let store = Store::open(scratch.path().join("store"))?;
    let orders = NewTopic::new("orders").partitions(2);
    store.admin().ensure_topic(orders)?;
    let orders = store.producer("orders").open()?;
    for run in ["first", "second"] {
        orders.send(("order-7", run))?.wait()?;
        let copied = copy(&store, "orders", "archive")?;
        assert_eq!(copied, 1, "the {run} run copies what is new");
    }
    Ok(())
}
