//! The differences between operating systems.

use std::io;
use std::os::fd::BorrowedFd;

use rustix::fs::{AtFlags, fstat, statat};

use super::stat::id_of;
use crate::disk::{FileId, FileSystem, Identity};

/// The identity of the file `name` below `dir`, links not followed; without a name, of the open
/// file.
#[cfg(target_os = "linux")]
pub(super) fn identity(dir: BorrowedFd<'_>, name: &str) -> io::Result<Identity> {
    use rustix::fs::{StatxFlags, makedev, statx};
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::EMPTY_PATH;
    let Ok(found) = statx(dir, name, flags, StatxFlags::INO | StatxFlags::BTIME) else {
        return without_birth(dir, name);
    };
    let reported = |what: StatxFlags| found.stx_mask & what.bits() != 0;
    let born = (found.stx_btime.tv_sec, found.stx_btime.tv_nsec);
    Ok(Identity {
        id: FileId {
            device: makedev(found.stx_dev_major, found.stx_dev_minor),
            inode: found.stx_ino,
        },
        born: reported(StatxFlags::BTIME).then_some(born),
    })
}

#[cfg(not(target_os = "linux"))]
pub(super) fn identity(dir: BorrowedFd<'_>, name: &str) -> io::Result<Identity> {
    without_birth(dir, name)
}

/// Also if a sandbox forbids the call with birth times; the error of this call is the one that
/// counts.
fn without_birth(dir: BorrowedFd<'_>, name: &str) -> io::Result<Identity> {
    let stat = if name.is_empty() {
        fstat(dir)?
    } else {
        statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?
    };
    let id = id_of(&stat);
    Ok(Identity { id, born: None })
}

/// Renames without replacing.
#[cfg(any(target_os = "linux", target_vendor = "apple"))]
pub(super) fn rename_new(
    from_dir: BorrowedFd<'_>,
    from: &str,
    to_dir: BorrowedFd<'_>,
    to: &str,
) -> io::Result<()> {
    use rustix::fs::{RenameFlags, renameat_with};
    use rustix::io::Errno;
    match renameat_with(from_dir, from, to_dir, to, RenameFlags::NOREPLACE) {
        Ok(()) => Ok(()),
        // The names are known to be sound, so the file system does not support the flag.
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "this file system cannot rename without replacing",
        )),
        Err(error) => Err(error.into()),
    }
}

/// Renames without replacing: this system has no such call, and two calls would be a race.
#[cfg(not(any(target_os = "linux", target_vendor = "apple")))]
pub(super) fn rename_new(
    _from_dir: BorrowedFd<'_>,
    _from: &str,
    _to_dir: BorrowedFd<'_>,
    _to: &str,
) -> io::Result<()> {
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        "this system cannot rename without replacing",
    ))
}

/// Gives what is created in a directory the rights that its creator asks for, for the owner and the
/// group, whatever the umask: a default ACL (acl(5)), which is inherited. Without ACLs, the umask
/// counts.
#[cfg(target_os = "linux")]
pub(super) fn set_default_acl(dir: BorrowedFd<'_>) {
    // Version 2, then tag, rights (rwx) and id of the owner, the group and others
    // (linux/posix_acl_xattr.h), little-endian.
    const VERSION: u32 = 2;
    const NO_ID: u32 = u32::MAX;
    let mut acl = VERSION.to_le_bytes().to_vec();
    for (tag, rights) in [(0x01_u16, 7_u16), (0x04, 7), (0x20, 0)] {
        acl.extend(tag.to_le_bytes());
        acl.extend(rights.to_le_bytes());
        acl.extend(NO_ID.to_le_bytes());
    }
    let flags = rustix::fs::XattrFlags::empty();
    let _ = rustix::fs::fsetxattr(dir, "system.posix_acl_default", &acl, flags);
}

/// Other systems have other ACLs.
#[cfg(not(target_os = "linux"))]
pub(super) fn set_default_acl(_dir: BorrowedFd<'_>) {}

/// By the number that the kernel gives each kind of file system (statfs(2), linux/magic.h).
#[cfg(target_os = "linux")]
pub(super) fn file_system(found: &rustix::fs::StatFs) -> FileSystem {
    // The field's width and sign differ between machines; the numbers have 32 bits.
    by_magic(found.f_type as u32)
}

/// On systems other than Linux: by whether the file system is on a device of this machine.
#[cfg(target_vendor = "apple")]
pub(super) fn file_system(found: &rustix::fs::StatFs) -> FileSystem {
    const MNT_LOCAL: u32 = 0x1000;
    if found.f_flags & MNT_LOCAL != 0 {
        FileSystem::Local
    } else {
        FileSystem::Network("network")
    }
}

/// This system does not say: taken for local.
#[cfg(not(any(target_os = "linux", target_vendor = "apple")))]
pub(super) fn file_system(_found: &rustix::fs::StatFs) -> FileSystem {
    FileSystem::Local
}

/// FUSE counts as local: its number does not show what is behind it.
#[cfg(target_os = "linux")]
fn by_magic(magic: u32) -> FileSystem {
    FileSystem::Network(match magic {
        0x0000_6969 => "nfs",
        0x0000_517B => "smb",
        0xFF53_4D42 => "cifs",
        0xFE53_4D42 => "smb2",
        0x0000_564C => "ncp",
        0x0102_1997 => "9p",
        0x00C3_6400 => "ceph",
        0x5346_414F | 0x6B41_4653 => "afs",
        0x7375_7245 => "coda",
        0x0BD0_0BD0 => "lustre",
        0x0116_1970 => "gfs2",
        0x7461_636F => "ocfs2",
        0x4750_4653 => "gpfs",
        0x1983_0326 => "beegfs",
        0xAAD7_AAEA => "panfs",
        _ => return FileSystem::Local,
    })
}

/// The kernel's random id of this boot.
#[cfg(target_os = "linux")]
pub(super) fn boot_id() -> io::Result<[u8; 16]> {
    parse_uuid(&std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?)
}

/// The kernel's random id of this boot. Only `sysctl` reads it without a foreign call.
#[cfg(target_vendor = "apple")]
pub(super) fn boot_id() -> io::Result<[u8; 16]> {
    let reported = std::process::Command::new("/usr/sbin/sysctl")
        .args(["-n", "kern.bootsessionuuid"])
        .output()?;
    parse_uuid(&String::from_utf8_lossy(&reported.stdout))
}

/// With an id that did not change over a boot, unsynced bytes would be lost silently; so if no
/// sound id is known, there is none.
#[cfg(not(any(target_os = "linux", target_vendor = "apple")))]
pub(super) fn boot_id() -> io::Result<[u8; 16]> {
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        "this system has no id of its boot",
    ))
}

#[cfg(any(target_os = "linux", target_vendor = "apple"))]
fn parse_uuid(text: &str) -> io::Result<[u8; 16]> {
    let digits: String = text.trim().chars().filter(|&c| c != '-').collect();
    if digits.len() != 32 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "the id of this boot is not a UUID",
        ));
    }
    u128::from_str_radix(&digits, 16)
        .map(u128::to_be_bytes)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_is_sixteen_bytes_or_refused() {
        let id = parse_uuid("00010203-0405-0607-0809-0a0b0c0d0eff\n").unwrap();
        assert_eq!(id, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 255]);
        for bad in [
            "",
            "0001",
            "00010203-0405-0607-0809-0a0b0c0d0efff",
            "+0010203040506070809a0b0c0d0eff1",
        ] {
            assert!(parse_uuid(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn network_file_systems_are_told_by_number() {
        assert_eq!(by_magic(0x6969), FileSystem::Network("nfs"));
        assert_eq!(by_magic(0xFF534D42), FileSystem::Network("cifs"));
        for local in [0xEF53, 0x58465342, 0x9123683E, 0x01021994, 0x65735546] {
            assert_eq!(by_magic(local), FileSystem::Local);
        }
    }
}

/// Processes that hold a flock on the file, by `/proc/locks` (proc(5)): lines of
/// `N: FLOCK  ADVISORY  WRITE PID MAJOR:MINOR:INODE START END`, waiters marked by an arrow.
#[cfg(target_os = "linux")]
pub(super) fn lock_holders(id: crate::disk::FileId) -> Vec<u32> {
    let Ok(locks) = std::fs::read_to_string("/proc/locks") else {
        return Vec::new();
    };
    let inode = format!(":{}", id.inode);
    locks
        .lines()
        .map(|line| line.split_ascii_whitespace().collect::<Vec<_>>())
        .filter_map(|fields| match fields.as_slice() {
            [_, "FLOCK", _, _, pid, place, ..] if place.ends_with(&inode) => pid.parse().ok(),
            _ => None,
        })
        .collect()
}

/// Other systems do not list them.
#[cfg(not(target_os = "linux"))]
pub(super) fn lock_holders(_id: crate::disk::FileId) -> Vec<u32> {
    Vec::new()
}
