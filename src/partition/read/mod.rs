//! Reading one partition without a lock.

mod cursor;
mod log_edges;
mod reader;
mod reader_state;
mod scan;
mod settling;

pub use log_edges::LogEdges;
pub use reader::PartitionReader;
pub(crate) use reader::unreadable;
pub(crate) use settling::wait_until_settled;
