//! The rules of the house that no type system checks: which module may import which, touch files,
//! or print; that every test runs; and that the docs name what is there.

#[path = "../common/switches.rs"]
#[allow(dead_code, reason = "this runner uses a part")]
mod switches;

mod api;
mod floors;
mod imports;
mod paths;
mod runners;
mod sabotage;
mod types;
mod words;
