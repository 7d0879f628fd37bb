//! Groups of many members: real processes that come, go, crash and hang.
//!
//! `MQ_LONG=1` runs each longer. The chaos holds the times to balance against what is promised, less
//! the time in which the machine gave the test no turn; the others bound theirs generously, and
//! `benches/takeover.sh` measures.

mod balance;
mod chaos;
mod checker;
mod doctored;
mod history;
mod job;
mod join;
mod member;
mod pipe;
mod recorder;
mod statics;
mod view;
