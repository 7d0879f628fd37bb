//! Fan-out: each group receives every record, and keeps its own place. The members of one group share.
use mq::{NewTopic, Store};

#[allow(missing_docs, reason = "an example")]
pub fn main() -> Result<(), Box<dyn std::error::Error>> {
    let scratch = tempfile::tempdir()?;
    let store = Store::open(scratch.path().join("store"))?;
    let topic = NewTopic::new("orders").partitions(2);
    store.admin().ensure_topic(topic)?;
    let orders = store.producer("orders").open()?;
    for n in 0..50 {
        orders.send((format!("order-{n}").as_str(), "paid"))?;
    }
    orders.close()?;

    let read = |group: &'static str| -> mq::Result<usize> {
        let mut seen = 0;
        for record in store.group(group).topics(["orders"]).to_end().open()? {
            assert_eq!(record?.value(), Some(&b"paid"[..]));
            seen += 1;
        }
        Ok(seen)
    };
    std::thread::scope(|scope| -> mq::Result<()> {
        let groups = ["billing", "mail"].map(|group| scope.spawn(move || read(group)));
        for group in groups {
            assert_eq!(group.join().expect("no panic")?, 50, "every record");
        }
        Ok(())
    })?;
    assert_eq!(read("billing")?, 0, "it goes on where it was");
    Ok(())
}
