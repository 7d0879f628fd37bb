//! The variables that switch a test run. Each is on with the value `1` only, so `MQ_LONG=0` and an
//! empty value leave it off.

fn is_on(name: &str) -> bool {
    std::env::var_os(name).is_some_and(|value| value == "1")
}

/// `MQ_LONG=1`: the long runs.
pub fn is_long() -> bool {
    is_on("MQ_LONG")
}

/// `MQ_KEEP=1`: the directory of a good failover run is kept.
pub fn keeps() -> bool {
    is_on("MQ_KEEP")
}

/// `MQ_BLESS=1`: expected files are written instead of compared.
pub fn is_blessing() -> bool {
    is_on("MQ_BLESS")
}
