//! The public names of the library: the names that a program may rely on, committed as a list.
//!
//! With `MQ_BLESS=1` the list is written instead of compared.
#![allow(
    clippy::disallowed_methods,
    reason = "reads the repository's sources, not a store"
)]

use std::collections::BTreeSet;

use super::floors::sources;
use super::runners::root;
use super::switches::is_blessing;

/// The names that `lib.rs` re-exports, sorted.
fn public_names() -> BTreeSet<String> {
    let all = sources();
    let lib = all.iter().find(|source| source.path == "lib.rs");
    let code = &lib.expect("lib.rs").code;
    code.split("pub use ")
        .skip(1)
        .filter_map(|tree| tree.split_once(';'))
        .flat_map(|(tree, _)| {
            let names = tree.split_once('{').map_or(tree, |(_, names)| names);
            names
                .split([',', '}'])
                .filter_map(|name| name.trim().rsplit("::").next().map(str::to_owned))
                .filter(|name| !name.is_empty())
                .collect::<Vec<_>>()
        })
        .collect()
}

#[test]
fn the_public_names_are_those_that_are_promised() {
    let place = root().join("tests/snapshots/api.txt");
    let now: String = public_names().into_iter().map(|name| name + "\n").collect();
    if is_blessing() {
        std::fs::write(&place, &now).expect("written");
    }
    let promised = std::fs::read_to_string(&place).expect("the list");
    assert_eq!(
        now, promised,
        "a name that is gone breaks programs; MQ_BLESS=1 writes the list"
    );
    assert!(now.lines().count() >= 30, "the search no longer sees them");
}

#[test]
fn no_other_module_is_promised() {
    let all = sources();
    let lib = all
        .iter()
        .find(|source| source.path == "lib.rs")
        .expect("lib.rs");
    let mut hidden = false;
    for line in lib.text.lines() {
        assert!(
            !line.starts_with("pub mod ") || hidden,
            "{line}: hide it from the documentation"
        );
        hidden = line == "#[doc(hidden)]";
    }
}

/// The doc comments of the public items of that name: of `api`'s, or, if `api` passes an item through, of
/// the item's.
fn docs_of(name: &str, all: &[super::floors::Source]) -> Vec<String> {
    let mut found: Vec<(bool, String)> = Vec::new();
    for source in all.iter().filter(|source| !source.path.starts_with("cli/")) {
        let mut docs = String::new();
        for line in source.text.lines() {
            if let Some(text) = line.strip_prefix("///") {
                docs.push_str(text);
                docs.push('\n');
            } else if is_type(line, name) {
                found.push((source.path.starts_with("api/"), std::mem::take(&mut docs)));
            } else if !line.starts_with('#') && !line.starts_with([' ', ')']) {
                docs.clear();
            }
        }
    }
    let is_of_api = found.iter().any(|(of_api, _)| *of_api);
    found.retain(|(of_api, _)| *of_api == is_of_api);
    found.into_iter().map(|(_, docs)| docs).collect()
}

/// Whether the line begins the definition of a public type of that name.
fn is_type(line: &str, name: &str) -> bool {
    ["pub struct ", "pub enum ", "pub type "]
        .iter()
        .find_map(|kind| line.strip_prefix(kind)?.strip_prefix(name))
        .is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
}

#[test]
fn each_public_name_has_an_example() {
    let all = sources();
    let lacks: Vec<String> = public_names()
        .into_iter()
        .filter(|name| {
            let docs = docs_of(name, &all);
            !docs.iter().any(|docs| docs.contains("```\n"))
        })
        .collect();
    assert!(lacks.is_empty(), "no doctest: {lacks:?}");
    assert!(is_type("pub struct Sent {", "Sent") && !is_type("pub struct SentLog;", "Sent"));
}
