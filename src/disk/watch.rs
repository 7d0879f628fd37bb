//! Watching (being built).
