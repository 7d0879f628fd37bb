//! Reports an error of a place once, until that place succeeds.

use std::collections::HashMap;

use crate::error::Error;

/// The reported causes, by place.
#[derive(Debug, Default)]
pub struct NotifyOnce(HashMap<String, Vec<Cause>>);

/// An error of the system counts as the same cause whatever file it names. Other errors are
/// compared by their text.
#[derive(Debug, PartialEq, Eq)]
enum Cause {
    System(i32),
    Words(String),
}

/// Causes that are remembered for a place: two that alternate are reported once each.
const CAUSES_MAX: usize = 16;

impl NotifyOnce {
    /// Whether an error is new; from then on it is not.
    pub fn is_change(&mut self, place: &str, error: &Error) -> bool {
        let number = error.io_source().and_then(std::io::Error::raw_os_error);
        let cause = number.map_or_else(|| Cause::Words(error.to_string()), Cause::System);
        let causes = self.0.entry(place.to_owned()).or_default();
        if causes.contains(&cause) {
            return false;
        }
        if causes.len() == CAUSES_MAX {
            causes.remove(0);
        }
        causes.push(cause);
        true
    }

    /// The place succeeded.
    pub fn is_well(&mut self, place: &str) {
        self.0.remove(place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn causes_that_take_turns_are_told_once_each() {
        let mut notified = NotifyOnce::default();
        let no_file = || std::io::Error::from_raw_os_error(24);
        let words = |text| Error::new(Kind::Busy, text);
        assert!(notified.is_change("t", &Error::io("open", "a", no_file())));
        assert!(notified.is_change("t", &words("one")));
        for _ in 0..3 {
            assert!(!notified.is_change("t", &Error::io("list", "b", no_file())));
            assert!(!notified.is_change("t", &words("one")));
        }
        assert!(notified.is_change("u", &words("one")));
        notified.is_well("t");
        assert!(notified.is_change("t", &words("one")));
    }
}
