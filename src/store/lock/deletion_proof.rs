//! The deletion proof: moved from a lock holder's directory to `deleted/`.

use std::io;

use crate::disk::Dir;
use crate::store::layout;
use crate::types::Uuid;

/// Moves the deletion proofs in a holder's directory, `own`, to their place.
pub(crate) fn move_proofs_on(dir: &dyn Dir, own: &str) -> io::Result<()> {
    let entries = match dir.list(own) {
        Ok(entries) => entries,
        Err(e) if is_gone(&e) || e.kind() == io::ErrorKind::NotADirectory => return Ok(()),
        Err(e) => return Err(e),
    };
    for entry in entries {
        let Some(topic_id) = layout::parse_proof_file(&entry.name) else {
            continue;
        };
        make_place(dir)?;
        // A proof must not be visible before the removal itself is durable.
        dir.open_dir(layout::TOPICS_DIR)?.sync()?;
        match dir.rename(&format!("{own}/{}", entry.name), &path_of(&topic_id)) {
            Err(e) if !is_gone(&e) => return Err(e),
            _ => {}
        }
        dir.open_dir(layout::DELETED_DIR)?.sync()?;
    }
    Ok(())
}

/// Created with the store, unless the store is older.
pub(crate) fn make_place(dir: &dyn Dir) -> io::Result<()> {
    match dir.create_dir(layout::DELETED_DIR) {
        Ok(()) => dir.sync(),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(e) => Err(e),
    }
}

pub(crate) fn path_of(topic_id: &Uuid) -> String {
    format!("{}/{}", layout::DELETED_DIR, layout::deleted_file(topic_id))
}

pub(crate) fn is_gone(e: &io::Error) -> bool {
    e.kind() == io::ErrorKind::NotFound
}
