//! The library as a program embeds it.
