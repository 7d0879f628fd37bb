//! The checker of histories: a good one passes, and each way to doctor it is found.
