//! Daemons and tools with few descriptors.
