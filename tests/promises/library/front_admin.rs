//! A group as a bookmark, from the front door.

use std::time::Duration;

use mq::Positions;
use mq::error::Kind;

use super::Place;

#[test]
fn a_group_without_members_is_a_bookmark() {
    let place = Place::with(2);
    place.fill(20);
    let store = place.front();
    let admin = store.admin();
    assert_eq!(admin.offsets("mark").expect("none"), Positions::default());
    let mut consumer = store.consumer(["t"]).to_end().open().expect("opened");
    for _ in 0..7 {
        consumer.next().expect("more").expect("a record");
    }
    let kept = consumer.positions();
    admin.commit_offsets("mark", &kept).expect("committed");
    assert_eq!(admin.offsets("mark").expect("read"), kept);
    // A member goes on there.
    let member = store.group("mark").topics(["t"]);
    let rest = member.clone().to_end().open().expect("joined").count();
    assert_eq!(rest, 13);
    // Back again; not while a member lives.
    let mut alive = member.open().expect("joined");
    assert!(alive.try_next(Duration::from_millis(100)).is_none());
    let refused = admin.commit_offsets("mark", &kept).expect_err("it lives");
    assert_eq!(refused.kind(), Kind::NonEmptyGroup);
    drop(alive);
    admin.commit_offsets("mark", &kept).expect("committed");
    assert_eq!(admin.offsets("mark").expect("read"), kept);
    let beyond = kept
        .to_string()
        .replace("=7", "=11")
        .parse()
        .expect("positions");
    let refused = admin.commit_offsets("mark", &beyond).expect_err("beyond");
    assert_eq!(refused.kind(), Kind::OffsetOutOfRange);

    place.admin.delete_topic(&place.topic).expect("deleted");
    place.create(2);
    place.fill(20);
    let refused = admin
        .commit_offsets("mark", &kept)
        .expect_err("another topic");
    assert_eq!(refused.kind(), Kind::UnknownTopic);
    let fresh = store.group("mark").topics(["t"]).to_end();
    assert_eq!(
        fresh.open().expect("joined").count(),
        20,
        "none of it is read"
    );
}
