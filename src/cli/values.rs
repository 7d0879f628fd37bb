//! Options with few possible values: for clap, the types list them with their names. Parsers,
//! errors, help, completions and `--help-json` all take them from here.

use clap::ValueEnum;
use clap::builder::PossibleValue;

use crate::client::groups::Assignor;
use crate::client::{Acks, Keyless};
use crate::record::Partitioner;
use crate::types::Compression;

impl ValueEnum for Acks {
    fn value_variants<'a>() -> &'a [Self] {
        &Self::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let help = match self {
            Acks::None => "Nobody: records are echoed before the sync",
            Acks::Leader => "The leader",
            Acks::All => "Every in-sync replica",
        };
        Some(value(self.as_str(), help).aliases(self.alias()))
    }
}

impl ValueEnum for Compression {
    fn value_variants<'a>() -> &'a [Self] {
        &Self::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.as_str()))
    }
}

impl ValueEnum for Partitioner {
    fn value_variants<'a>() -> &'a [Self] {
        &Self::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let help = match self {
            Partitioner::Murmur2 => "As Kafka's Java client",
            Partitioner::Crc32 => "As librdkafka",
        };
        Some(value(self.as_str(), help))
    }
}

impl ValueEnum for Keyless {
    fn value_variants<'a>() -> &'a [Self] {
        &Self::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let help = match self {
            Keyless::RoundRobin => "One record to each in turn",
            Keyless::Sticky => "One batch to each in turn",
        };
        Some(value(self.as_str(), help))
    }
}

impl ValueEnum for Assignor {
    fn value_variants<'a>() -> &'a [Self] {
        &Self::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let help = match self {
            Assignor::Uniform => "Equal shares, and few partitions move (also called sticky)",
            Assignor::Range => "Consecutive partitions of each topic",
        };
        Some(value(self.as_str(), help).aliases(self.alias()))
    }
}

fn value(name: &'static str, help: &'static str) -> PossibleValue {
    PossibleValue::new(name).help(help)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// clap accepts what the type's own parser accepts, in any spelling.
    #[test]
    fn each_name_is_taken_by_both_parsers() {
        fn check<T: ValueEnum + PartialEq + std::fmt::Debug>(
            parse: fn(&str) -> Option<T>,
            spellings: &[&str],
        ) {
            let mut seen = Vec::new();
            for one in T::value_variants() {
                let value = one.to_possible_value().expect("none is hidden");
                for name in value.get_name_and_aliases() {
                    assert_eq!(parse(name).as_ref(), Some(one), "{name}");
                    assert_eq!(T::from_str(name, false).as_ref(), Ok(one), "{name}");
                    seen.push(name.to_owned());
                }
            }
            assert_eq!(seen, spellings);
        }
        check::<Acks>(|s| s.parse().ok(), &["0", "1", "all", "-1"]);
        check::<Partitioner>(|s| s.parse().ok(), &["murmur2", "crc32"]);
        check::<Assignor>(Assignor::parse, &["uniform", "sticky", "range"]);
        let codecs = ["none", "gzip", "snappy", "lz4", "zstd"];
        check::<Compression>(|s| s.parse().ok(), &codecs);
        let keyless = |s: &str| Keyless::ALL.into_iter().find(|one| one.as_str() == s);
        check::<Keyless>(keyless, &["round-robin", "sticky"]);
    }
}
