//! One type name means one thing: no two modules define a visible type of the same name.
//!
//! Visible: `pub` or `pub(crate)`. A type that only its own folder sees may have a short name.

use std::collections::BTreeMap;

use super::floors::{Source, sources};

/// Names that more than one module may define, and why.
const ALLOWED: [(&str, &str); 1] = [("Args", "the command line of each tool")];

/// Where a name may repeat one of another module: a file's path contains it. And why.
const REPEATING: [(&str, &str); 4] = [
    (
        "api/",
        "a type of the public API wraps the engine's type of the same name",
    ),
    (
        "cli/topics/job.rs",
        "a job is called after its command, and tools share names of commands",
    ),
    ("cli/groups/job.rs", "the same"),
    ("cli/consume/job.rs", "the same"),
];

/// The visible types that a source defines at its own level.
fn visible_types(source: &Source) -> Vec<String> {
    let defined = source.code.lines().filter_map(|line| {
        let rest = line
            .strip_prefix("pub ")
            .or_else(|| line.strip_prefix("pub(crate) "))?;
        let (kind, rest) = rest.split_once(' ')?;
        if !matches!(kind, "struct" | "enum" | "trait" | "type" | "union") {
            return None;
        }
        let name = rest.split(|c: char| !c.is_alphanumeric()).next()?;
        (!name.is_empty()).then(|| name.to_owned())
    });
    defined.collect()
}

/// The names that several sources define, and where.
fn repeated(sources: &[Source]) -> BTreeMap<String, Vec<String>> {
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for source in sources {
        if REPEATING
            .iter()
            .any(|(place, _)| source.path.starts_with(place))
        {
            continue;
        }
        for name in visible_types(source) {
            places.entry(name).or_default().push(source.path.clone());
        }
    }
    places.retain(|_, at| at.len() > 1);
    places
}

#[test]
fn a_type_name_means_one_thing() {
    let all = sources();
    let types: usize = all.iter().map(|source| visible_types(source).len()).sum();
    assert!(
        types > 400,
        "only {types} types: the search sees them no more"
    );
    let found = repeated(&all);
    let wrong: Vec<String> = found
        .iter()
        .filter(|(name, _)| !ALLOWED.iter().any(|(allowed, _)| allowed == name))
        .map(|(name, at)| format!("{name}: {}", at.join(", ")))
        .collect();
    assert!(
        wrong.is_empty(),
        "say in each name what it is of:\n{}",
        wrong.join("\n")
    );
    for (name, why) in ALLOWED {
        assert!(found.contains_key(name), "{name} ({why}) is not repeated");
    }
    for (place, why) in REPEATING {
        assert!(
            all.iter().any(|source| source.path.starts_with(place)),
            "{place} ({why}) is gone"
        );
    }
}

#[test]
fn the_search_sees_types() {
    let source = |path: &str, code: &str| Source {
        path: path.to_owned(),
        text: code.to_owned(),
        code: code.to_owned(),
    };
    let one = source(
        "a.rs",
        "pub struct One;\nstruct Mine;\npub(super) enum Near {}\n",
    );
    let other = source("b.rs", "pub(crate) enum One<'a> {}\nstruct Mine;\n");
    let face = source("api/c.rs", "pub struct One(u8);\n");
    let found = repeated(&[one, other, face]);
    assert_eq!(found.keys().collect::<Vec<_>>(), ["One"]);
    assert_eq!(found["One"], ["a.rs", "b.rs"]);
}
