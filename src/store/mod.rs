//! The directory that many processes share.

pub mod broker_file;
pub mod configs;
pub mod fenced_lock;
pub mod gate;
pub mod json_file;
pub mod layout;
mod meta_properties;
pub mod open;
pub mod process;
pub mod store_file;
pub mod topics;
