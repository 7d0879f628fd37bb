//! Gives files and directories to a Unix group.

use std::io;
use std::os::fd::BorrowedFd;

use nix::unistd::Group;
use rustix::fs::{self, FileType, Gid, Mode, RawMode, Stat};

use super::machine;
use super::stat::not_regular;
use crate::disk::{Access, Sharing};

/// The permission bits with set-user-id, set-group-id and sticky.
const MODE_BITS: u32 = 0o7777;

#[allow(
    clippy::unnecessary_cast,
    reason = "the fields have other types on other systems"
)]
pub(super) fn access_of(stat: &Stat) -> Access {
    Access {
        owner: stat.st_uid as u32,
        group: stat.st_gid as u32,
        mode: stat.st_mode as u32 & MODE_BITS,
        is_dir: super::stat::is_dir(stat),
    }
}

/// Gives the open file to the group. Returns whether it was not the group's before.
pub(super) fn share(fd: BorrowedFd<'_>, group: u32) -> io::Result<bool> {
    let stat = fs::fstat(fd)?;
    if !is_ours(&stat) {
        return Err(not_regular());
    }
    let access = access_of(&stat);
    let changed = give(fd, access, group)?;
    if access.is_dir {
        machine::set_default_acl(fd);
    }
    Ok(changed)
}

/// Restores the bits that the umask removed from a file just created in a shared directory. If
/// another process created it, it is left unchanged.
pub(super) fn share_made(fd: BorrowedFd<'_>, stat: &Stat, group: u32) -> io::Result<()> {
    let access = access_of(stat);
    if access.is_shared() && access.group == group {
        return Ok(());
    }
    match give(fd, access, group) {
        // It is another user's, or this process is not in the group: 'mq-broker health' reports it.
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        given => given.map(drop),
    }
}

fn is_ours(stat: &Stat) -> bool {
    let kind = FileType::from_raw_mode(stat.st_mode);
    matches!(kind, FileType::Directory | FileType::RegularFile)
}

fn give(fd: BorrowedFd<'_>, access: Access, group: u32) -> io::Result<bool> {
    let mode = access.shared_mode();
    if access.group == group && access.mode == mode {
        return Ok(false);
    }
    if access.group != group {
        fs::fchown(fd, None, Some(Gid::from_raw(group)))?;
    }
    // After the change of the group, which clears the set-group-id bit.
    fs::fchmod(fd, Mode::from_raw_mode(mode as RawMode))?;
    Ok(true)
}

/// The effect of giving it to the group, for this user (chown(2), chmod(2)).
pub fn sharing_of(access: Access, group: u32) -> Sharing {
    let mode = access.shared_mode();
    if access.group == group && access.mode == mode {
        return Sharing::Done;
    }
    let user = rustix::process::geteuid();
    let is_member = || {
        let groups = rustix::process::getgroups().unwrap_or_default();
        let own = rustix::process::getegid();
        own.as_raw() == group || groups.iter().any(|one| one.as_raw() == group)
    };
    // Only a member may set the set-group-id bit of a directory.
    let needs_member = access.is_dir || access.group != group;
    let is_owner = user.as_raw() == access.owner;
    if user.is_root() || is_owner && (!needs_member || is_member()) {
        Sharing::Due(mode)
    } else {
        Sharing::Refused
    }
}

/// The id of the group with that name; or that number, if no group has it as its name. `None` if
/// the system knows no such group.
pub fn group_id(name: &str) -> Option<u32> {
    match Group::from_name(name) {
        Ok(Some(group)) => Some(group.gid.as_raw()),
        _ => name.parse().ok(),
    }
}

/// The name of a group, if the system knows one.
pub fn group_name(id: u32) -> Option<String> {
    let group = Group::from_gid(nix::unistd::Gid::from_raw(id));
    group.ok().flatten().map(|group| group.name)
}
