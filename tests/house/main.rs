//! The rules of the house, of which no type system knows: who may import whom, who touches files, who
//! prints; and that every test runs.

mod api;
mod floors;
mod imports;
mod runners;
mod sabotage;
mod words;
