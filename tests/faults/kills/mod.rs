//! `kill -9` at each system call that changes the store: of each command that does, and of the
//! daemons of a cluster.

mod cluster;
mod commands;
mod compaction;
mod retained;
