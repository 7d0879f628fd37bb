//! Commands that members run, dead letters, and batches.
