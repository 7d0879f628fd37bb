//! The exit statuses of a monitoring check, as Nagios reads them.

/// The status of a check; its number is the exit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// 0: no threshold is exceeded.
    Ok,
    /// 1: the first threshold is exceeded.
    Warning,
    /// 2: the second threshold is exceeded.
    Critical,
    /// 3: the state could not be determined.
    Unknown,
}

impl Status {
    /// The exit status.
    pub fn code(self) -> u8 {
        match self {
            Status::Ok => 0,
            Status::Warning => 1,
            Status::Critical => 2,
            Status::Unknown => 3,
        }
    }

    pub(crate) fn word(self) -> &'static str {
        match self {
            Status::Ok => "OK",
            Status::Warning => "WARNING",
            Status::Critical => "CRITICAL",
            Status::Unknown => "UNKNOWN",
        }
    }

    /// The status that counts among several, in the order of `max_state_alt` of the Nagios plugins.
    pub(crate) fn worst(statuses: impl Iterator<Item = Status>) -> Status {
        let weight = |status: &Status| match status {
            Status::Ok => 0,
            Status::Unknown => 1,
            Status::Warning => 2,
            Status::Critical => 3,
        };
        statuses.max_by_key(weight).unwrap_or(Status::Unknown)
    }
}
