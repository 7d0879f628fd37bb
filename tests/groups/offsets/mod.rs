//! What an administrator does with a group's offsets: moved, taken back, deleted, cloned, verified
//! at. `MQ_BLESS=1` rewrites the wording in tests/snapshots/offsets.

mod changes;
mod configs;
mod damaged;
mod kills;
mod reports;
mod shop;
mod wait;
mod watch;
mod wording;

/// A program on the path.
fn has(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
}
