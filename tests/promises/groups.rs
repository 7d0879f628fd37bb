//! Groups: backlogs, starts, ends, and what they report.
