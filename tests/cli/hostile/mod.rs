//! No hostile byte gets further than an error: names, links, lengths, bombs, escapes, JSON.

mod batches;
mod names;
mod places;
mod text;
