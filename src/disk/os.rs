//! The real disk (being built).
