//! A slow disk is not a stopped process.
