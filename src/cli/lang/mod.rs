//! The languages of the command line: offsets, times, durations and sizes, and records as text, for
//! input and output.
//!
//! Invariant: pure. Nothing here opens a file, knows a store, or reads the environment; the present
//! time and the local time zone are passed in.

mod ambiguity;
mod braces;
mod civil;
mod console;
mod count;
mod delimiter;
mod duration;
mod envelope;
mod escape;
mod framing;
mod input;
mod input_record;
mod json;
mod json_words;
mod kcat;
mod lines;
mod multi_line;
mod number;
mod offsets;
mod origin;
mod output_record;
mod parse_template;
mod partitions;
mod plan;
mod render;
mod size;
mod stamp;
mod step;
mod template;
mod terminal;
#[cfg(test)]
mod tests;
mod text;
mod time;

pub use braces::literal_braces;
pub use count::parse_count;
pub use delimiter::Delimiter;
pub use duration::{parse_duration, show_duration};
pub use envelope::{read_envelope, write_envelope};
pub(in crate::cli) use escape::is_unprintable;
pub use escape::{shown, tsv_field, unescape};
pub use framing::{Framing, FramingOptions};
pub use input::RecordParser;
pub use input_record::MultiLine;
pub use input_record::{InputFormat, InputHeader, InputOptions, InputRecord, MissingKey};
pub use offsets::{NAMED_POINTS, parse_one_point, parse_point, parse_range, parse_selection};
pub use origin::{Origin, OriginText};
pub use output_record::HeaderList;
pub use output_record::OutputRecord;
pub use partitions::{
    parse_partition, parse_partition_offset, parse_partitions, parse_topic_partition,
    parse_topic_with_partition,
};
pub use render::Renderer;
pub use size::parse_size;
pub use step::Step;
pub use template::{FIELDS_HELP, Format, Template};
pub use terminal::TerminalEscaper;
pub use time::{Now, parse_time};

use crate::error::{Error, Kind};

/// The error for a refused argument: what it is, why, and what is allowed.
pub fn usage(message: impl Into<String>, cure: impl Into<String>) -> Error {
    Error::new(Kind::Usage, message).cure(cure)
}
