//! Groups that have members: which changes are refused while these are alive.

use super::group_file::Member;
use crate::error::{Error, Kind, Result};

pub(crate) fn refuse_members(group: &str, members: &[Member]) -> Result<()> {
    if members.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = members
        .iter()
        .map(|m| {
            format!(
                "{} (process {} on {})",
                m.member_id,
                m.pid,
                m.host.escape_debug()
            )
        })
        .collect();
    Err(Error::new(
        Kind::NonEmptyGroup,
        format!(
            "NON_EMPTY_GROUP: group '{}' has live members: {}",
            group.escape_debug(),
            names.join(", ")
        ),
    )
    .cure("end them first: a member would commit over the change"))
}
