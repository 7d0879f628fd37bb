//! An event-sourced table: its rows are the records of a topic, the last of each key.
use std::collections::BTreeMap;

use mq::{Consumer, NewTopic, Record, RecordRef, Result, Store};

type Rows = BTreeMap<Vec<u8>, Record>;

fn read_up_to(offset: i64, changes: &mut Consumer, rows: &mut Rows) -> Result<()> {
    for record in changes {
        let record = record?;
        let key = record.key().unwrap_or_default().to_vec();
        let is_last = record.offset() >= offset;
        match record.value() {
            Some(_) => rows.insert(key, record),
            None => rows.remove(&key),
        };
        if is_last {
            break;
        }
    }
    Ok(())
}

pub(crate) fn main() -> Result<()> {
    let scratch = tempfile::tempdir().expect("a directory");
    let store = Store::open(scratch.path().join("store"))?;
    store.admin().ensure_topic(NewTopic::new("stock"))?;
    let log = store.producer("stock").open()?;
    let mut changes = store.consumer(["stock"]).open()?;
    let mut rows = Rows::new();
    let pears = RecordRef::new("7").key("pears");
    for change in [pears, pears.key("plums"), RecordRef::tombstone("pears")] {
        // Once this offset is read, the table also has everything that others wrote before.
        let written = log.send(change)?.wait()?.base_offset;
        read_up_to(written, &mut changes, &mut rows)?;
    }
    assert_eq!(rows.len(), 1, "{rows:?}");
    Ok(())
}
