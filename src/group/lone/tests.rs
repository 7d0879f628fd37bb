use std::sync::Barrier;

use super::*;
use crate::clock::SystemClock;
use crate::disk::{Open, OsDisk};
use crate::group::change::{CommitEntry, delete, reset};
use crate::group::describe;
use crate::record::BatchBuilder;
use crate::store::{Committer, NewTopic, PartitionWriter, create_topic, json_file, layout};
use crate::types::{Compression, TimestampType, TopicPartition};

const LONG: Duration = Duration::from_secs(30);

pub(crate) struct Place {
    _temp: tempfile::TempDir,
    pub store: Arc<StoreDir>,
    pub topic_id: Uuid,
}

pub(crate) fn topic() -> TopicName {
    TopicName::new("t").expect("topic")
}

/// A store with the topic `t` of three partitions, empty.
pub(crate) fn place() -> Place {
    let temp = tempfile::tempdir().expect("temp");
    let clock = Arc::new(SystemClock::default());
    let store = StoreDir::open_or_create(Arc::new(OsDisk), clock, &temp.path().join("s"));
    let store = Arc::new(store.expect("store"));
    let new = NewTopic {
        name: topic(),
        partitions: 3,
        configs: std::collections::BTreeMap::default(),
    };
    let topic_id = create_topic(&store, &new, LONG).expect("topic").topic_id;
    Place {
        _temp: temp,
        store,
        topic_id,
    }
}

impl Place {
    pub(crate) fn join(&self, group: &str) -> Result<LoneMember> {
        let assignment = vec![TopicPartitions {
            topic: "t".to_owned(),
            partitions: vec![0, 1],
        }];
        LoneMember::join(&self.store, group, vec!["t".to_owned()], assignment, LONG)
    }

    pub(crate) fn entry(&self, partition: PartitionId, offset: i64) -> Entry {
        let (topic, topic_id) = (topic(), self.topic_id);
        Entry {
            topic,
            topic_id,
            partition,
            offset,
            leader_epoch: 0,
        }
    }

    pub(crate) fn committed(&self, group: &str, partition: PartitionId) -> Option<i64> {
        let state = crate::group::committed_offsets(&self.store, group).expect("offsets");
        state
            .committed(&topic(), self.topic_id, partition)
            .map(|c| c.offset)
    }
}

#[test]
fn one_of_many_joiners_wins_and_the_rest_learn_of_it() {
    let place = place();
    let barrier = Barrier::new(4);
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        let joiners: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    barrier.wait();
                    place.join("g")
                })
            })
            .collect();
        joiners
            .into_iter()
            .map(|joiner| joiner.join().expect("thread"))
            .collect()
    });
    let (won, lost): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
    assert_eq!((won.len(), lost.len()), (1, 3));
    for error in lost.into_iter().filter_map(Result::err) {
        assert_eq!(error.kind(), Kind::Busy);
        let text = error.to_string();
        assert!(
            text.contains(&format!("process {} on ", std::process::id())),
            "{text}"
        );
        assert!(text.contains("'g' has a member already"), "{text}");
    }
    let files = place
        .store
        .group_dir("g")
        .expect("dir")
        .list(layout::MEMBERS_DIR)
        .expect("list");
    assert_eq!(files.len(), 1, "the losers left nothing");
}

#[test]
fn commits_are_found_by_the_successor_of_a_member_that_left_or_died() {
    let place = place();
    let mut first = place.join("g").expect("join");
    assert!(first.committed(&topic(), place.topic_id, 0).is_none());
    assert!(!first.knows_topic(&topic()));
    first
        .commit(&[place.entry(0, 5), place.entry(1, 7)])
        .expect("commit");
    first.commit(&[place.entry(0, 6)]).expect("commit");
    let (id, epoch) = (first.id(), first.epoch());
    first.leave().expect("leave");

    let mut second = place.join("g").expect("join");
    assert!(second.epoch() > epoch && second.id() != id);
    let at = |member: &LoneMember, partition| {
        member
            .committed(&topic(), place.topic_id, partition)
            .map(|c| c.offset)
    };
    assert_eq!(
        (at(&second, 0), at(&second, 1), at(&second, 2)),
        (Some(6), Some(7), None)
    );
    assert_eq!(
        second.committed(&topic(), Uuid([9; 16]), 0),
        None,
        "a topic made anew"
    );
    second.commit(&[place.entry(2, 1)]).expect("commit");
    let epoch = second.epoch();
    drop(second);

    let third = place.join("g").expect("the dead are replaced");
    assert!(third.epoch() > epoch);
    assert_eq!((at(&third, 0), at(&third, 2)), (Some(6), Some(1)));
    assert!(third.notes().is_empty(), "{:?}", third.notes());
}

#[test]
fn a_member_that_was_replaced_commits_nothing() {
    let place = place();
    let mut first = place.join("g").expect("join");
    first.commit(&[place.entry(0, 5)]).expect("commit");
    // As an evictor does to one that hangs.
    let dir = place.store.group_dir("g").expect("dir");
    let mut contents =
        super::super::group_file::GroupFile::read(&dir, place.store.boot_id()).expect("read");
    contents.members[0].member_epoch += 1;
    let mut group = Group::open(&place.store, "g", LONG).expect("open");
    group
        .hold("test")
        .expect("hold")
        .put_group_file(&contents)
        .expect("put");
    let error = first.commit(&[place.entry(0, 9)]).expect_err("fenced");
    assert_eq!(error.kind(), Kind::Fenced);
    assert!(error.to_string().contains("FENCED_MEMBER_EPOCH"), "{error}");
    assert_eq!(place.committed("g", 0), Some(5));
    first.leave().expect("leaves all the same");
}

#[test]
fn an_unreadable_group_file_is_made_anew_only_if_nobody_lives_in_it() {
    let place = place();
    let mut first = place.join("g").expect("join");
    first.commit(&[place.entry(0, 5)]).expect("commit");
    let dir = place.store.group_dir("g").expect("dir");
    dir.open(layout::GROUP_FILE, Open::Write)
        .expect("open")
        .set_len(10)
        .expect("cut");
    let error = first.commit(&[place.entry(0, 6)]).expect_err("damaged");
    assert_eq!(error.kind(), Kind::Damaged);
    assert_eq!(place.join("g").expect_err("damaged").kind(), Kind::Damaged);
    let epoch = first.epoch();
    drop(first);
    let second = place.join("g").expect("made anew");
    assert!(second.epoch() > epoch, "above any that was given out");
    assert_eq!(second.notes().len(), 1, "{:?}", second.notes());
    assert_eq!(
        second
            .committed(&topic(), place.topic_id, 0)
            .expect("kept")
            .offset,
        5
    );
    assert!(json_file::read_bytes(&*dir, layout::GROUP_FILE).is_ok());
}

#[test]
fn members_of_another_boot_are_dead() {
    let place = place();
    let member = place.join("g").expect("join");
    let dir = place.store.group_dir("g").expect("dir");
    let read = |boot| super::super::group_file::GroupFile::read(&dir, boot).expect("read");
    assert_eq!(read(place.store.boot_id()).members.len(), 1);
    let other = read([1; 16]);
    assert!(other.members.is_empty());
    assert_eq!(other.group_epoch, member.epoch());
}

#[test]
fn a_log_ahead_of_its_lock_moves_the_lock_on() {
    let place = place();
    let mut member = place.join("g").expect("join");
    member.commit(&[place.entry(0, 5)]).expect("commit");
    let mut line = member.offsets().mark(41, 0);
    line.kind = LineKind::Commit;
    line.entries = vec![place.entry(0, 8)];
    let dir = place.store.group_dir("g").expect("dir");
    let log = dir.open(layout::OFFSETS_LOG, Open::Append).expect("open");
    log.append(&line.encode()).expect("append");
    line.n = 3;
    line.entries = vec![place.entry(0, 2)];
    log.append(&line.encode()).expect("append");
    assert_eq!(place.committed("g", 0), Some(8));
    member.commit(&[place.entry(1, 1)]).expect("commit");
    assert!(
        dir.id(&layout::lock_file(42)).is_ok(),
        "the lock went beyond the line's N"
    );
    assert_eq!(
        (place.committed("g", 0), place.committed("g", 1)),
        (Some(8), Some(1))
    );
}

#[test]
fn a_grown_log_is_written_anew_under_its_users() {
    let place = place();
    let mut member = place.join("g").expect("join");
    member
        .commit(&[place.entry(0, 1), place.entry(1, 2)])
        .expect("commit");
    member.leave().expect("leave");
    let plan = [CommitEntry {
        tp: TopicPartition::new(topic(), 0),
        offset: 0,
    }];
    reset(&place.store, "g", &plan, false, LONG).expect("reset");
    let mut member = place.join("g").expect("join");
    // Many commits' worth of lines, without their syncs.
    let dir = place.store.group_dir("g").expect("dir");
    let log = dir.open(layout::OFFSETS_LOG, Open::Append).expect("open");
    let mut line = member.offsets().mark(0, 0);
    line.kind = LineKind::Commit;
    line.member = Some(member.id().to_string());
    line.epoch = member.epoch();
    let mut bytes = Vec::new();
    for offset in 0..12_000 {
        line.entries = vec![place.entry(1, offset)];
        bytes.extend(line.encode());
    }
    log.append(&bytes).expect("append");
    assert!(log.len().expect("len") > 1 << 20);
    let before = log.id().expect("id");
    member.commit(&[place.entry(2, 3)]).expect("commit");
    assert_ne!(dir.id(layout::OFFSETS_LOG).expect("id"), before);
    let len = dir
        .open(layout::OFFSETS_LOG, Open::Read)
        .expect("open")
        .len()
        .expect("len");
    assert!(len < 4096, "{len}");
    let all = |at| (0..3).map(|p| place.committed(at, p)).collect::<Vec<_>>();
    assert_eq!(all("g"), [Some(0), Some(11_999), Some(3)]);
    member
        .commit(&[place.entry(0, 4)])
        .expect("commit into the new file");
    assert_eq!(all("g"), [Some(4), Some(11_999), Some(3)]);
}

#[test]
fn any_name_is_a_group_and_a_deleted_one_comes_back_empty() {
    let place = place();
    let names = ["a/b", "..", "ä ö\n", "%41", "-", "group", "🦀"];
    for name in names {
        let mut member = place.join(name).expect(name);
        member.commit(&[place.entry(0, 3)]).expect(name);
        let error = delete(&place.store, name, false, LONG).expect_err("a member lives");
        assert_eq!(error.kind(), Kind::NonEmptyGroup);
        assert!(
            error.to_string().contains(&member.id().to_string()),
            "{error}"
        );
        member.leave().expect(name);
    }
    let mut sorted = names.map(str::to_owned);
    sorted.sort_unstable();
    assert_eq!(crate::group::list(&place.store).expect("list"), sorted);
    delete(&place.store, "group", true, LONG).expect("dry");
    assert_eq!(place.committed("group", 0), Some(3));
    delete(&place.store, "group", false, LONG).expect("delete");
    assert_eq!(place.committed("group", 0), None);
    let error = delete(&place.store, "group", false, LONG).expect_err("gone");
    assert_eq!(error.kind(), Kind::UnknownGroup);
    let error = describe::describe(&place.store, "groop").expect_err("unknown");
    assert!(error.to_string().contains("GROUP_ID_NOT_FOUND"), "{error}");
    assert!(
        !crate::group::list(&place.store)
            .expect("list")
            .contains(&"group".to_owned())
    );
    let member = place.join("group").expect("join");
    assert!(!member.knows_topic(&topic()), "-o counts again");
    assert!(
        crate::group::list(&place.store)
            .expect("list")
            .contains(&"group".to_owned())
    );
}

/// Appends records with these timestamps to partition 0, durably.
pub(crate) fn produce(place: &Place, timestamps: &[i64]) {
    let tp = TopicPartition::new(topic(), 0);
    let mut writer = PartitionWriter::open(&place.store, &tp, LONG).expect("open");
    let mut builder = BatchBuilder::new();
    for time in timestamps {
        builder.append_value(*time, b"v").expect("append");
    }
    let mut batch = builder
        .finish(Compression::None, TimestampType::CreateTime)
        .expect("finish");
    writer.append(&mut batch).expect("append");
    let end = writer.make_ready().expect("page").tail.end;
    Committer::open(&place.store, &tp, LONG)
        .expect("open")
        .commit(end)
        .expect("commit");
}
