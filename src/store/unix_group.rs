//! A group of this machine's users, which a store may be shared with.

use crate::disk::group_name;
use crate::error::shell_word;

/// A group of this machine's users.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnixGroup {
    /// Its number.
    pub id: u32,
    /// Its name; its number if the system has no name for it.
    pub name: String,
}

impl UnixGroup {
    /// The group with that number.
    pub fn of(id: u32) -> Self {
        let name = group_name(id).unwrap_or_else(|| id.to_string());
        UnixGroup { id, name }
    }
}

/// The cure for a group member who finds a file of the store that is not the group's.
pub fn sharing_cure(group: &UnixGroup) -> String {
    let name = shell_word(&group.name);
    format!(
        "the Unix group {} shares the store: 'mq-broker health' shows what in it is not the group's, \
         and 'mq-broker init --group {name}', run by the owner or root, gives it to the group \
         ('id -nG' shows whether you are a member)",
        group.name
    )
}
