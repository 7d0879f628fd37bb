//! Clears a directory in the place of a new replica: an orphan of a dead maker is removed, a stray
//! is kept under another name, and a directory whose maker is alive is waited for.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use super::maker_lock;
use super::planned_replica::PlannedReplica;
use super::removal::{move_aside, move_stray};
use super::strays::{ReplicaIds, ReplicaStatus, certain_status, read_ids};
use crate::disk::{Dir, join};
use crate::error::{Error, Kind, Result};
use crate::partition::{Offline, PAGE_FILE, Replica, StatePage};
use crate::store::{self, FencedLock, StoreDir, exists};
use crate::types::Uuid;

/// How often a process that needs the place checks whether its maker is at work.
const MAKER_RETRY: Duration = Duration::from_millis(1);

/// Moves an orphan out of the way of a new replica.
///
/// # Errors
/// [`Kind::TopicExists`] if a topic file names it.
pub(crate) fn clear_occupied(
    store: &Arc<StoreDir>,
    logs: &Arc<dyn Dir>,
    plan: &PlannedReplica,
    timeout: Duration,
) -> Result<()> {
    let tp = &plan.tp;
    let replica = match Replica::open_in(store, tp, Arc::clone(logs)) {
        Ok(replica) => replica,
        Err(e) if e.kind() == Kind::Fenced => {
            return clear_without_page(store, logs, plan, timeout);
        }
        Err(e) => return Err(e),
    };
    let started = store.clock().monotonic();
    let (held, page) = loop {
        let held = match replica.lock(timeout) {
            Ok(held) => held,
            Err(e) if e.kind() == Kind::Fenced => return Ok(()),
            Err(e) => return Err(e),
        };
        let page = held.page()?;
        // Before the topic file is read: its content then includes what a maker wrote before it
        // ended.
        let at_work = match &page {
            Some(page) => maker_at_work(store, page)?,
            None => None,
        };
        if let Some((meta, _)) = store::read_if_there(store, &tp.topic)?
            && (meta.topic_id != plan.topic_id || meta.has_replica(tp.partition, plan.broker))
        {
            return Err(exists(&tp.topic));
        }
        let Some(maker) = at_work else {
            break (held, page);
        };
        drop(held);
        if store.clock().monotonic() - started >= timeout {
            return Err(maker_lock::at_work(store, maker, tp));
        }
        store.go_on()?;
        store.clock().sleep(MAKER_RETRY);
    };
    let ids = match &page {
        Some(page) => Some(ReplicaIds::of_page(page)),
        None => replica.metadata()?.and_then(ReplicaIds::of_metadata),
    };
    let found = ids
        .map(|ids| certain_status(store, &**logs, tp, timeout, page.as_ref(), ids))
        .transpose()?;
    if found == Some(ReplicaStatus::Named) {
        return Err(exists(&tp.topic));
    }
    if let Some(mut page) = page {
        held.take_offline(&mut page, Offline::Removed)?;
    }
    if found == Some(ReplicaStatus::Worthless) {
        move_aside(&**logs, tp)
    } else {
        move_stray(&**logs, tp)
    }
}

/// Moves a directory out of the way that has no state page, and so no append lock: in one critical
/// section of the store's lock, as every process moves such directories.
fn clear_without_page(
    store: &Arc<StoreDir>,
    logs: &Arc<dyn Dir>,
    plan: &PlannedReplica,
    timeout: Duration,
) -> Result<()> {
    let (tp, name) = (&plan.tp, store::replica_dir(&plan.tp));
    let purpose = "move a directory without a state page out of the way";
    let guard = FencedLock::acquire_store(store, purpose, timeout)?;
    let dir = match logs.open_dir(&name) {
        Ok(dir) => dir,
        // It is gone: the place is free.
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(Error::io("open", join(&**logs, &name), e)),
    };
    if dir.id(PAGE_FILE).is_ok() {
        // Another directory got its name.
        return Ok(());
    }
    // A stray, if no topic file has a replica there.
    let meta = store::read_if_there(store, &tp.topic)?.map(|(meta, _)| meta);
    if meta.is_some_and(|meta| meta.has_replica(tp.partition, plan.broker)) {
        return Err(exists(&tp.topic));
    }
    let ids = read_ids(&**logs, &name)?.and_then(|ids| Some((ids.topic_id, ids.replica_uuid?)));
    let garbage = match ids {
        Some((topic_id, uuid)) => store::is_deleted(store, topic_id, uuid)?,
        None => false,
    };
    guard.step()?;
    let moved = if garbage {
        move_aside(&**logs, tp)
    } else {
        move_stray(&**logs, tp)
    };
    match moved {
        Err(e) if crate::store::is_missing(&e) => Ok(()),
        other => other,
    }
}

/// The replica's id, if its maker is at work and it was not deleted since.
fn maker_at_work(store: &StoreDir, page: &StatePage) -> Result<Option<Uuid>> {
    let Some(maker) = page.maker else {
        return Ok(None);
    };
    let is_deleted = store::is_deleted(store, page.topic_id, page.replica_uuid)?;
    Ok((!is_deleted && maker_lock::is_alive(store, maker)?).then_some(maker))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;
    use crate::disk::OsDisk;
    use crate::lifecycle::replica_creation::{are_in_place, discard, make_replica};
    use crate::lifecycle::strays::status;
    use crate::lifecycle::topics::{NewTopic, create_topic, delete_topic};
    use crate::lifecycle::unpublished_replica::UnpublishedReplica;
    use crate::types::{TopicName, TopicPartition};

    const TIMEOUT: Duration = Duration::from_millis(200);

    struct Fixture {
        at: tempfile::TempDir,
        store: Arc<StoreDir>,
        topic_id: Uuid,
    }

    fn tp(topic: &str) -> TopicPartition {
        TopicPartition::new(TopicName::new(topic).unwrap(), 0)
    }

    impl Fixture {
        /// With a topic `t` on broker 0.
        fn new() -> Self {
            let at = tempfile::tempdir().unwrap();
            let clock = Arc::new(SystemClock::default());
            let path = at.path().join("store");
            let store = Arc::new(StoreDir::open_or_create(Arc::new(OsDisk), clock, &path).unwrap());
            let topic_id = create(&store, "t").unwrap();
            Fixture {
                at,
                store,
                topic_id,
            }
        }

        fn path(&self, name: &str) -> std::path::PathBuf {
            self.at.path().join("store").join(name)
        }

        fn logs(&self) -> Vec<String> {
            let entries = self.store.logs_dir(0).unwrap().list(".").unwrap();
            let dirs = entries.into_iter().map(|entry| entry.name);
            let mut names: Vec<String> = dirs.filter(|name| name.contains("-0")).collect();
            names.sort();
            names
        }

        /// A replica that is being made, of a topic without a topic file.
        fn make(&self, topic: &str) -> UnpublishedReplica {
            make_replica(&self.store, &tp(topic), 0, Uuid([9; 16]), TIMEOUT).unwrap()
        }

        fn status(&self, topic: &str) -> ReplicaStatus {
            let replica = Replica::open(&self.store, &tp(topic), 0).unwrap();
            let page = replica.read_page().unwrap();
            let ids = ReplicaIds::of_page(page.as_ref().unwrap());
            let logs = &**replica.logs();
            status(&self.store, logs, &tp(topic), page.as_ref(), ids).unwrap()
        }
    }

    fn create(store: &Arc<StoreDir>, topic: &str) -> Result<Uuid> {
        let new = NewTopic::embedded(TopicName::new(topic).unwrap(), 1);
        Ok(create_topic(store, &new, TIMEOUT)?.topic_id)
    }

    #[test]
    fn what_is_removed_while_it_is_made_is_named_by_no_topic_file() {
        let place = Fixture::new();
        let made = place.make("u");
        assert!(are_in_place([&made]).unwrap());
        // Another in its place.
        std::fs::rename(place.path("brokers/0/logs/u-0"), place.path("away")).unwrap();
        assert!(!are_in_place([&made]).unwrap());
        std::fs::create_dir(place.path("brokers/0/logs/u-0")).unwrap();
        assert!(!are_in_place([&made]).unwrap());
        std::fs::remove_dir(place.path("brokers/0/logs/u-0")).unwrap();
        std::fs::rename(place.path("away"), place.path("brokers/0/logs/u-0")).unwrap();
        assert!(are_in_place([&made]).unwrap());
        // Its maker's liveness is not visible.
        std::fs::remove_dir_all(place.path(store::MAKERS_DIR)).unwrap();
        assert!(!are_in_place([&made]).unwrap());
        discard(&place.store, vec![made]);
        assert_eq!(place.logs(), ["t-0"]);
    }

    #[test]
    fn a_living_makers_is_waited_for_and_a_dead_ones_goes() {
        let place = Fixture::new();
        let made = place.make("u");
        assert!(matches!(place.status("u"), ReplicaStatus::InTheMaking(_)));
        let reported = create(&place.store, "u").unwrap_err();
        assert_eq!(reported.kind(), Kind::Busy, "{reported}");
        assert!(
            reported.to_string().contains("is making the replica"),
            "{reported}"
        );
        drop(made);
        assert_eq!(place.status("u"), ReplicaStatus::Worthless);
        create(&place.store, "u").unwrap();
        assert_eq!(place.logs(), ["t-0", "u-0"]);
        assert_eq!(place.status("u"), ReplicaStatus::Named);
    }

    #[test]
    fn a_proof_of_deletion_counts_whoever_lives() {
        let place = Fixture::new();
        let maker = maker_lock::MakerLock::begin(&place.store).unwrap();
        let replica = Replica::open(&place.store, &tp("t"), 0).unwrap();
        let held = replica.lock(TIMEOUT).unwrap();
        let mut page = held.page().unwrap().unwrap();
        page.maker = Some(maker.id());
        held.publish(&mut page).unwrap();
        drop(held);
        assert!(matches!(place.status("t"), ReplicaStatus::InTheMaking(_)));
        // As a stopped deletion leaves it: first with the proof on its way, then in place.
        let topic = place.path("topics/t.json");
        let proof = place.path(store::DELETED_DIR);
        std::fs::create_dir_all(&proof).unwrap();
        let proof = proof.join(store::deleted_file(&place.topic_id));
        std::fs::rename(&topic, &proof).unwrap();
        assert_eq!(place.status("t"), ReplicaStatus::Worthless);
        create(&place.store, "t").unwrap();
        assert_eq!(place.logs(), ["t-0"]);
    }

    #[test]
    fn a_proof_on_its_way_is_waited_for() {
        let place = Fixture::new();
        let lock = std::fs::read_dir(place.path("")).unwrap();
        let names = lock.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let lock = names
            .filter(|name| store::parse_lock_dir(name).is_some())
            .max();
        // As a deletion leaves it that died before its deletion proof was in place.
        let own = place.path(&lock.unwrap()).join("12345");
        std::fs::create_dir(&own).unwrap();
        let proof = own.join(store::proof_file(&place.topic_id));
        std::fs::rename(place.path("topics/t.json"), proof).unwrap();
        let reported = crate::lifecycle::strays::strays(&place.store, 0).unwrap();
        assert!(reported.is_empty(), "{reported:?}");
        create(&place.store, "t").unwrap();
        assert_eq!(place.logs(), ["t-0"], "no stray");
    }

    #[test]
    fn a_directory_without_a_page_is_kept_unless_it_was_deleted() {
        let place = Fixture::new();
        std::fs::remove_file(place.path("brokers/0/logs/t-0").join(PAGE_FILE)).unwrap();
        assert_eq!(
            create(&place.store, "t").unwrap_err().kind(),
            Kind::TopicExists
        );
        delete_topic(&place.store, &TopicName::new("t").unwrap(), TIMEOUT).unwrap();
        assert!(place.logs().is_empty());
        std::fs::create_dir(place.path("brokers/0/logs/t-0")).unwrap();
        create(&place.store, "t").unwrap();
        let logs = place.logs();
        assert_eq!(logs.len(), 2);
        assert!(logs[1].ends_with("-stray"), "{logs:?}");
    }
}
