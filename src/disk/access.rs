//! Whose a file or directory is: its owner's alone, or a Unix group's too.
//!
//! A directory that is its group's says so by its mode: the set-group-id bit, by which the kernel
//! gives what is made in it to the same group, and all rights for the group. What is made in such a
//! directory is the group's too, whatever the umask. So nothing but the mode of a directory says
//! whether a store is shared, and no process has a copy of it.

/// Who may do what with a file or directory (stat(2)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    /// The owner's user id.
    pub owner: u32,
    /// The group's id.
    pub group: u32,
    /// The permission bits, with set-user-id, set-group-id and sticky: 12 bits.
    pub mode: u32,
    /// Whether it is a directory.
    pub is_dir: bool,
}

/// The mode of a directory that is made in one that is its group's.
pub const SHARED_DIR: u32 = 0o2770;
/// The mode of a file that is made there.
pub const SHARED_FILE: u32 = 0o660;

/// What giving something to a group would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// Nothing: it is the group's.
    Done,
    /// It would get this mode, and the group.
    Due(u32),
    /// It is not this user's to give.
    Refused,
}

impl Access {
    /// The mode that it has once it is a group's.
    pub fn shared_mode(self) -> u32 {
        if self.is_dir { SHARED_DIR } else { SHARED_FILE }
    }

    /// Whether its group has all rights; what is made in such a directory is the group's.
    pub fn is_shared(self) -> bool {
        let due = if self.is_dir { 0o2070 } else { 0o060 };
        self.mode & due == due
    }
}
