//! The configs of a group: an administrator sets them in `group.json`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::group_file::{GroupFile, RETENTION, explicit};
use super::group_handle::Group;
use super::{describe, directory};
use crate::error::{Error, Kind, Result, did_you_mean, near_names};
use crate::store::StoreDir;

/// All known configs.
const KNOWN: [&str; 1] = [RETENTION];
/// Kafka's maximum.
const RETENTION_MAX: u32 = i32::MAX as u32;

/// The known names, sorted.
pub fn config_names() -> impl Iterator<Item = &'static str> {
    KNOWN.into_iter()
}

/// Whether a config of that name is known.
///
/// # Errors
/// [`Kind::InvalidConfig`] with near names.
pub fn check_config_name(name: &str) -> Result<()> {
    if KNOWN.contains(&name) {
        return Ok(());
    }
    let near = near_names(name, KNOWN);
    let cure = did_you_mean(&near).unwrap_or_else(|| format!("known here: {}", KNOWN.join(", ")));
    let name = name.escape_debug();
    let text = format!("'{name}' is not a config of a group");
    Err(Error::new(Kind::InvalidConfig, text).cure(cure))
}

/// Whether a config takes a value.
///
/// # Errors
/// [`Kind::InvalidConfig`], with the allowed values.
pub fn check_config_value(name: &str, value: &str) -> Result<()> {
    check_config_name(name)?;
    retention_minutes(value).map(drop)
}

fn retention_minutes(value: &str) -> Result<u32> {
    value
        .parse()
        .ok()
        .filter(|minutes| (1..=RETENTION_MAX).contains(minutes))
        .ok_or_else(|| {
            let text = format!("{RETENTION}={} is not allowed", value.escape_debug());
            Error::new(Kind::InvalidConfig, text)
                .cure(format!("{RETENTION} takes 1 to {RETENTION_MAX} minutes"))
        })
}

/// The configs of a group that were set explicitly.
///
/// # Errors
/// [`Kind::UnknownGroup`] with near names; [`Kind::Damaged`].
pub fn configs(store: &Arc<StoreDir>, group: &str) -> Result<BTreeMap<String, String>> {
    describe::present(store, group)?;
    let dir = directory::open(store, group)?;
    Ok(explicit(&GroupFile::read(&dir, store.boot_id())?))
}

/// Sets configs of a group and resets others to their defaults, also while members are alive.
/// Returns the problems of its files, a line each.
///
/// # Errors
/// [`Kind::InvalidConfig`]; [`Kind::UnknownGroup`] with near names; [`Kind::Busy`];
/// [`Kind::Damaged`] for a `group.json` that is unreadable while members are alive;
/// [`Kind::Unknown`] if it is perhaps done.
pub fn alter_configs(
    store: &Arc<StoreDir>,
    group: &str,
    set: &BTreeMap<String, String>,
    unset: &[String],
    timeout: Duration,
) -> Result<Vec<String>> {
    for name in set.keys().chain(unset) {
        check_config_name(name)?;
    }
    let wanted = set.get(RETENTION).map(|value| retention_minutes(value));
    let wanted = wanted.transpose()?;
    // Only a member makes a group again that was deleted, or whose offsets have expired.
    describe::present(store, group)?;
    let mut opened = Group::open(store, group, timeout)?;
    let mut held = opened.hold("alter the group")?;
    let mut file = held.group_file()?;
    if held.state().is_deleted() && held.alive()?.is_empty() {
        drop(held);
        return Err(directory::unknown(store, group));
    }
    let before = file.offsets_retention_minutes;
    let is_unset = unset.iter().any(|name| name == RETENTION);
    file.offsets_retention_minutes = wanted.or(before.filter(|_| !is_unset));
    if file.offsets_retention_minutes != before {
        held.put_settings(&file)?;
    }
    drop(held);
    Ok(opened.notes())
}
