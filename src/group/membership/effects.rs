//! Writes the effects of a step of the state machine.

use crate::error::Result;
use crate::group::group_file::GroupFile;
use crate::group::group_handle::GroupGuard;
use crate::group::machine::GroupEffect;
use crate::group::state::GroupState;
use crate::store::layout;

/// Puts a state in place, and removes the files of members that are no longer in it.
pub(crate) fn put(
    held: &GroupGuard<'_>,
    boot_id: [u8; 16],
    state: &GroupState,
    effects: &[GroupEffect],
) -> Result<()> {
    let file = GroupFile::of_state(boot_id, state);
    if effects.contains(&GroupEffect::Settings) {
        held.put_settings(&file)?;
    } else {
        held.put_group_file(&file)?;
    }
    for effect in effects {
        if let GroupEffect::Forget(id) = effect {
            // If that fails, or the file is gone already: the next member to join removes files
            // without a lock.
            let _ = held.guard().rename_in(&layout::member_file(id));
        }
    }
    Ok(())
}
