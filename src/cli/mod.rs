//! The command line: arguments, formats, tables, progress, exit codes. Only here does mq print.

pub mod lang;
