//! The errors of a member.

use crate::error::{Error, Kind};
use crate::group::group_handle::GroupGuard;
use crate::group::machine::Refusal;
use crate::group::state::MemberState;
use crate::types::Uuid;

pub(super) fn with_cure(e: Error) -> Error {
    if e.kind() == Kind::Damaged {
        e.cure(
            "end all members of the group, then start them again: it is rebuilt from offsets.log",
        )
    } else {
        e
    }
}

pub(super) fn refused(refusal: Refusal) -> Error {
    match refusal {
        Refusal::Assignor(has) => Error::new(
            Kind::Usage,
            format!(
                "INCONSISTENT_GROUP_PROTOCOL: the group's members share partitions by '{}'",
                has.as_str()
            ),
        )
        .cure(format!(
            "omit --assignor or use {}; it can be changed when the group is empty",
            has.as_str()
        )),
        Refusal::Unknown(id) => fenced(id),
        Refusal::NoEpoch => Error::new(Kind::Damaged, "group.json: no epoch is left")
            .cure("continue with another group: 'mq-groups clone' copies the offsets"),
    }
}

pub(super) fn instance_lives(held: &GroupGuard<'_>, member: &MemberState) -> Error {
    Error::new(
        Kind::Busy,
        format!(
            "UNRELEASED_INSTANCE_ID: '{}' is a member of group '{}' already: process {} on {}",
            member
                .instance_id
                .as_deref()
                .unwrap_or_default()
                .escape_debug(),
            held.name().escape_debug(),
            member.pid,
            member.host.escape_debug()
        ),
    )
    .cure("end that process, or choose another --instance-id")
}

pub(super) fn fenced(id: Uuid) -> Error {
    Error::new(
        Kind::Fenced,
        format!(
            "UNKNOWN_MEMBER_ID: member {id} is no longer in the group: its heartbeat had stopped, \
             so another member removed it"
        ),
    )
    .cure("start it again: it continues from the committed offsets")
}
