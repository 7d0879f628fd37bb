//! The rules of the house that no type system checks: which module may import which, touch files,
//! or print; and that every test runs.

mod api;
mod floors;
mod imports;
mod runners;
mod sabotage;
mod words;
