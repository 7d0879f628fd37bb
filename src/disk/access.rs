//! Access to a file or directory: its owner's alone, or a Unix group's too.
//!
//! The mode of a directory shows that it is shared by its group: the set-group-id bit, by which the
//! kernel gives what is created in it to the same group, and all rights for the group. Files and
//! directories created in it are shared too, whatever the umask. So only the mode of a directory
//! says whether a store is shared, and no process caches it.

/// Owner, group and mode of a file or directory (stat(2)).
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

/// The mode of a directory that is created in a shared one.
pub const SHARED_DIR: u32 = 0o2770;
/// The mode of a file that is created in a shared directory.
pub const SHARED_FILE: u32 = 0o660;

/// The effect of giving a file or directory to a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// None: it is the group's already.
    Done,
    /// It would get this mode, and the group.
    Due(u32),
    /// This user may not give it.
    Refused,
}

impl Access {
    /// The mode that it gets with a group.
    pub fn shared_mode(self) -> u32 {
        if self.is_dir { SHARED_DIR } else { SHARED_FILE }
    }

    /// Whether its group has all rights; what is created in such a directory is the group's.
    pub fn is_shared(self) -> bool {
        let due = if self.is_dir { 0o2070 } else { 0o060 };
        self.mode & due == due
    }
}
