//! `mq-broker init`.

use std::sync::Arc;

use crate::cli::common::usage;
use crate::cli::{Env, Outcome};
use crate::disk::group_id;
use crate::error::Result;
use crate::store::{Given, Paths, StoreDir, UnixGroup, create_shared};

pub(super) fn init(group: Option<String>, env: &mut Env) -> Result<Outcome> {
    let Some(name) = group else {
        let there = env.is_store_there()?;
        let store = env.open_or_create_store()?;
        let done = if there {
            "is a store already"
        } else {
            "is a store now"
        };
        env.note(&format!("{} {done}", store.path().display()));
        return Ok(Outcome::Done);
    };
    let Some(id) = group_id(&name) else {
        return Err(usage(
            format!("this machine has no group '{name}'"),
            "'getent group' lists the groups",
        ));
    };
    let group = UnixGroup { id, name };
    let mut given = Given::default();
    let store = env.with_store(|disk, clock, path| {
        let (store, done) = create_shared(disk, clock, path, &group)?;
        given = done;
        Ok(store)
    })?;
    env.note(&told(&store, &group, &given));
    if let Some(above) = &given.barred_by {
        env.warn(&format!(
            "{} lets no member of {} through to the store (chmod o+x it, or make the store elsewhere)",
            above.display(),
            group.name
        ));
    }
    let Paths { count, first } = &given.refused;
    if *count == 0 {
        return Ok(Outcome::Done);
    }
    let named: Vec<String> = first
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    let more = if *count > first.len() { ", ..." } else { "" };
    env.warn(&format!(
        "{count} of another owner stay as they are: {}{more} (run this as that user, or as root)",
        named.join(", ")
    ));
    Ok(Outcome::Partial)
}

fn told(store: &Arc<StoreDir>, group: &UnixGroup, given: &Given) -> String {
    let (path, name) = (store.path().display(), &group.name);
    match given {
        Given { made: true, .. } => format!("{path} is a store of the Unix group {name} now"),
        Given { changed: 0, .. } => format!("{path} is a store of the Unix group {name} already"),
        Given { changed, .. } => {
            let what = if *changed == 1 { "entry" } else { "entries" };
            format!("{path} is a store of the Unix group {name} now: {changed} {what} changed")
        }
    }
}
