//! tests/sabotage.sh names tests by family and filter. An entry without tests would prove nothing,
//! and only a long run would show that.
#![allow(
    clippy::disallowed_methods,
    reason = "reads the repository's sources, not a store"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::runners::{root, sources};

/// The names of the tests in a file, as cargo has them below `module`. Tests of a `mod` in the file
/// are counted in `module::tests`; the tests that a macro makes have the names in its braces.
fn tests_in(text: &str, module: &str) -> Vec<String> {
    let mut names = Vec::new();
    let (mut within, mut is_test, mut is_macro) = (String::new(), false, false);
    for line in text.lines() {
        let word = line.trim();
        if !line.starts_with(' ') {
            is_macro = line.ends_with("! {");
        }
        let made = word.split_once(": ").filter(|_| is_macro);
        if let Some(inline) = line.strip_prefix("mod ").and_then(|l| l.strip_suffix(" {")) {
            within = format!("{inline}::");
        } else if word == "#[test]" {
            is_test = true;
        } else if let Some(name) = word.strip_prefix("fn ").filter(|_| is_test) {
            let name = name.split(['(', '<']).next().unwrap_or_default();
            names.push(format!("{module}{within}{name}"));
            is_test = false;
        } else if let Some((name, _)) = made {
            names.push(format!("{module}{name}"));
        }
    }
    names
}

/// The same of all files below a directory.
fn tests_below(dir: &Path) -> Vec<String> {
    let mut files = BTreeSet::new();
    sources(dir, &mut files);
    let mut names = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).expect("a source");
        let inner = file.strip_prefix(dir).expect("below").with_extension("");
        let module: String = inner
            .iter()
            .map(|part| part.to_string_lossy())
            .filter(|part| !["mod", "main", "lib"].contains(&part.as_ref()))
            .map(|part| format!("{part}::"))
            .collect();
        names.extend(tests_in(&text, &module));
    }
    names
}

/// Where a family is: the directory with its tests, and the prefix of their names.
fn family(name: &str) -> Option<(PathBuf, String)> {
    if name == "lib" {
        return Some((root().join("src"), String::new()));
    }
    let tests = root().join("tests");
    if tests.join(name).join("main.rs").is_file() {
        return Some((tests.join(name), String::new()));
    }
    let runners = fs::read_dir(&tests).expect("tests");
    let runners = runners.map(|entry| entry.expect("an entry").path());
    runners
        .filter(|dir| dir.join("main.rs").is_file())
        .find(|dir| {
            dir.join(name).join("mod.rs").is_file() || dir.join(format!("{name}.rs")).is_file()
        })
        .map(|dir| (dir, format!("{name}::")))
}

/// The family and the filter of each entry: the two words of its last line.
fn entries(script: &str) -> Vec<(String, String)> {
    let mut entries = Vec::new();
    let body = script.split_once("# --- ").expect("entries").1;
    for entry in body.split("\nsabotage \"").skip(1) {
        let entry = entry.split("\n\n").next().unwrap_or_default();
        let last = entry.lines().last().unwrap_or_default();
        match *last.split_whitespace().collect::<Vec<_>>() {
            [family, filter] => entries.push((family.to_owned(), filter.to_owned())),
            _ => panic!("the last line of \"{entry} is no family and filter"),
        }
    }
    entries
}

#[test]
fn each_sabotage_names_a_test() {
    let script = fs::read_to_string(root().join("tests/sabotage.sh")).expect("sabotage.sh");
    let entries = entries(&script);
    assert_eq!(entries.len(), script.matches("\nsabotage \"").count());
    assert!(entries.len() > 100, "{} entries", entries.len());
    let (mut missing, mut known) = (Vec::new(), BTreeMap::new());
    for (name, filter) in entries {
        let Some((dir, prefix)) = family(&name) else {
            missing.push(format!("{name}: no such family"));
            continue;
        };
        let tests = known.entry(dir).or_insert_with_key(|dir| tests_below(dir));
        let is_named = |test: &String| test.starts_with(&prefix) && test.contains(&filter);
        if !tests.iter().any(is_named) {
            missing.push(format!("{name} {filter}"));
        }
    }
    assert!(missing.is_empty(), "name no test: {missing:#?}");
}

/// A contributor who changes a file finds by the list which tests guard it.
#[test]
fn the_list_has_file_and_test_of_each_sabotage() {
    let script = root().join("tests/sabotage.sh");
    let list = |names: &[&str]| {
        let mut command = Command::new("bash");
        let done = command.arg(&script).arg("--list").args(names).output();
        let done = done.expect("bash");
        assert!(done.status.success(), "{done:?}");
        String::from_utf8(done.stdout).expect("text")
    };
    let all = list(&[]);
    let text = fs::read_to_string(&script).expect("sabotage.sh");
    assert_eq!(all.lines().count(), entries(&text).len());
    for line in all.lines() {
        let [name, file, test] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("not three fields: {line}");
        };
        assert!(root().join(file).is_file(), "{name}: {file}");
        let runs = ["cargo test --lib ", "cargo test --test "];
        assert!(runs.iter().any(|run| test.starts_with(run)), "{line}");
    }
    let one = list(&["a group commit syncs no segment"]);
    assert_eq!(
        one,
        "a group commit syncs no segment\tsrc/partition/append/committer.rs\tcargo test --test log \
         stop_in_append\n"
    );
}

#[test]
fn tests_are_found_by_name() {
    let text = r"
#[test]
fn at_once() {}
fn none() {}
many! {
    made: BY_A_MACRO,
}
mod tests {
    #[test]
    fn inner() {}
}
";
    let names = ["a::at_once", "a::made", "a::tests::inner"];
    assert_eq!(tests_in(text, "a::"), names);
}
