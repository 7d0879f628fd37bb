//! The tools as a shell's user meets them: words on the command line, terminals, pipes that close,
//! what is acknowledged when, and what is said when something is not as it should be.

mod combinations;
mod copies;
mod damage;
mod delivery;
mod each_topic;
mod failures;
mod json_input;
mod lock_listing;
mod lost_logs;
mod lost_stores;
mod multi_line;
mod notes;
mod origins;
mod other_tools;
mod outputs;
mod refusals;
mod selection;
mod stats;
mod terminal;
mod times;
mod tips;
mod words;
