//! What an administrator does with a group's offsets: moved, taken back, deleted, cloned, looked
//! at. `MQ_BLESS=1` rewrites the wording in tests/snapshots/offsets.

#[path = "../common/cli.rs"]
mod cli;
#[path = "../common/snapshot.rs"]
mod snapshot;
#[path = "../common/sweep.rs"]
mod sweep;
#[path = "../common/tally.rs"]
mod tally;

mod changes;
mod configs;
mod damaged;
mod kills;
mod looks;
mod shop;
mod wait;
mod watch;
mod wording;

/// A program on the path.
fn has(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
}
