//! Reading one partition without a lock.

mod cursor;
mod reader;
mod reader_state;
mod scan;
mod settling;

pub(crate) use reader::unreadable;
pub use reader::{LogEdges, PartitionReader};
pub(crate) use settling::wait_until_settled;
