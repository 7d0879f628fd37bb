//! `-c KEY=VALUE` and `--unset KEY`, of topics and of groups.

use std::collections::BTreeMap;

use super::common::usage;
use crate::error::Result;

/// Parses `KEY=VALUE` pairs with keys that `check` knows, each key once. `example` is a typical
/// pair.
///
/// # Errors
/// [`crate::error::Kind::Usage`]; the errors of `check`.
pub fn config_pairs(
    args: &[String],
    check: fn(&str) -> Result<()>,
    example: &str,
) -> Result<BTreeMap<String, String>> {
    let mut pairs = BTreeMap::new();
    for arg in args {
        let Some((key, value)) = arg.split_once('=') else {
            return Err(usage(
                format!("'{}' gives no value to a config", arg.escape_debug()),
                format!("write -c KEY=VALUE, such as -c {example}"),
            ));
        };
        check(key)?;
        if pairs.insert(key.to_owned(), value.to_owned()).is_some() {
            return Err(usage(format!("{key} is set twice"), "set each config once"));
        }
    }
    Ok(pairs)
}

/// Configs to unset: `check` knows each, none of them is set as well, and each comes once.
///
/// # Errors
/// As [`config_pairs`].
pub fn unset_keys(
    args: Vec<String>,
    set: &BTreeMap<String, String>,
    check: fn(&str) -> Result<()>,
) -> Result<Vec<String>> {
    let mut keys = Vec::with_capacity(args.len());
    for key in args {
        check(&key)?;
        if set.contains_key(&key) {
            return Err(usage(
                format!("{key} is both set and unset"),
                "say either -c or --unset for one config",
            ));
        }
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    Ok(keys)
}
