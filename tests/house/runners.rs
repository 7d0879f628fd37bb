//! Every file of tests is part of a runner. A file that no `mod` names is never compiled: its tests
//! would never run, and never fail.
#![allow(
    clippy::disallowed_methods,
    reason = "reads the repository's sources, not a store"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All files below a directory that end in `.rs`.
pub fn sources(dir: &Path, into: &mut BTreeSet<PathBuf>) {
    for entry in fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|end| end == "rs") {
            into.insert(path);
        }
    }
}

/// The modules that a file declares outside of itself: their names, and the path given to each.
fn modules(text: &str) -> Vec<(String, Option<String>)> {
    let mut found = Vec::new();
    let mut given = None;
    for line in text.lines().map(str::trim) {
        if let Some(path) = line.strip_prefix("#[path = \"") {
            given = path.strip_suffix("\"]").map(str::to_owned);
        } else if let Some(name) = declared(line) {
            found.push((name.to_owned(), given.take()));
        } else if !line.starts_with("#[") {
            given = None;
        }
    }
    found
}

/// `x` of `mod x;`, whatever its visibility.
fn declared(line: &str) -> Option<&str> {
    let name = ["mod ", "pub mod ", "pub(crate) mod ", "pub(super) mod "]
        .iter()
        .find_map(|start| line.strip_prefix(start))?;
    name.strip_suffix(';')
}

/// The files of a runner, beginning with its head. Panics with the name of a module without file.
fn reach(file: &Path, is_head: bool, reached: &mut BTreeSet<PathBuf>) {
    if !reached.insert(file.to_owned()) {
        return;
    }
    let text = fs::read_to_string(file).expect("a source");
    let beside = file.parent().expect("a directory");
    let names_its_directory = is_head || file.ends_with("mod.rs");
    let below = match file.file_stem() {
        Some(stem) if !names_its_directory => beside.join(stem),
        _ => beside.to_owned(),
    };
    for (name, given) in modules(&text) {
        let candidates = match given {
            Some(path) => vec![beside.join(path)],
            None => vec![
                below.join(format!("{name}.rs")),
                below.join(&name).join("mod.rs"),
            ],
        };
        let found = candidates.iter().find(|path| path.is_file());
        let Some(found) = found else {
            panic!("{}: mod {name} has no file", file.display());
        };
        reach(&found.canonicalize().expect("a path"), false, reached);
    }
}

/// The head files of the binaries that cargo makes in a directory.
fn heads(dir: &Path) -> Vec<PathBuf> {
    let mut heads = Vec::new();
    for entry in fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            heads.extend(Some(path.join("main.rs")).filter(|head| head.is_file()));
        } else if path.extension().is_some_and(|end| end == "rs") {
            heads.push(path);
        }
    }
    heads
}

fn forgotten(dir: &Path) -> Vec<PathBuf> {
    let mut all = BTreeSet::new();
    sources(dir, &mut all);
    let mut reached = BTreeSet::new();
    for head in heads(dir) {
        reach(&head, true, &mut reached);
    }
    all.difference(&reached).cloned().collect()
}

#[test]
fn no_file_of_tests_is_forgotten() {
    let dir = root().join("tests").canonicalize().expect("tests");
    let forgotten = forgotten(&dir);
    assert!(
        forgotten.is_empty(),
        "no runner has a `mod` that leads to {forgotten:?}"
    );
}

/// Each binary is linked with the whole library: many of them make `cargo test` slow.
#[test]
fn the_runners_are_few() {
    let heads = heads(&root().join("tests"));
    let names: Vec<_> = heads.iter().map(|head| head.display()).collect();
    assert!(heads.len() <= 7, "{} runners: {names:?}", heads.len());
    let cargo = fs::read_to_string(root().join("Cargo.toml")).expect("Cargo.toml");
    assert!(
        !cargo.contains("[[test]]") && !cargo.contains("autotests"),
        "cargo finds the runners by itself; with [[test]] this test no longer knows them"
    );
}

/// As a file of `src`, one of tests proves one thing.
const LINES_MAX: usize = 600;

#[test]
fn files_of_tests_are_small() {
    let mut all = BTreeSet::new();
    sources(&root().join("tests"), &mut all);
    let lines = |path: &PathBuf| fs::read_to_string(path).expect("a source").lines().count();
    let large: Vec<_> = all.iter().filter(|path| lines(path) > LINES_MAX).collect();
    assert!(large.is_empty(), "over {LINES_MAX} lines: {large:?}");
}

/// Whether a file below `src` is named as a file of unit tests may be: `x/tests.rs` beside `x`, and
/// its parts `x/tests/PART.rs`.
fn is_in_place(path: &Path) -> bool {
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    let is_part = path.parent().is_some_and(|dir| dir.ends_with("tests"));
    !(name.ends_with("_tests") || is_part && name == "mod")
}

#[test]
fn unit_tests_stand_in_one_place() {
    let mut files = BTreeSet::new();
    sources(&root().join("src"), &mut files);
    let elsewhere: Vec<_> = files.iter().filter(|path| !is_in_place(path)).collect();
    assert!(
        elsewhere.is_empty(),
        "unit tests of x.rs are in x/tests.rs, their parts in x/tests/: {elsewhere:?}"
    );
    for (path, is_right) in [
        ("x/tests.rs", true),
        ("x/tests/part.rs", true),
        ("x/mod.rs", true),
        ("x_tests.rs", false),
        ("x/tests/mod.rs", false),
    ] {
        assert_eq!(is_in_place(Path::new(path)), is_right, "{path}");
    }
}

#[test]
fn a_forgotten_file_is_found() {
    let at = tempfile::tempdir().expect("a directory");
    let dir = at.path().canonicalize().expect("a path");
    let write = |path: &str, text: &str| {
        let path = dir.join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        fs::write(path, text).expect("written");
    };
    write(
        "one/main.rs",
        "#[path = \"../common/mod.rs\"]\nmod common;\nmod a;\n",
    );
    write("one/a.rs", "pub(super) mod below;\n// mod no;\n");
    write("one/a/below.rs", "mod inline { mod x {} }\n");
    write("common/mod.rs", "#[macro_use]\npub mod shared;\n");
    write("common/shared.rs", "");
    assert_eq!(forgotten(&dir), Vec::<PathBuf>::new());
    for file in ["one/b.rs", "one/below.rs", "one/b/mod.rs", "two/mod.rs"] {
        write(file, "");
        assert_eq!(forgotten(&dir), [dir.join(file)]);
        fs::remove_file(dir.join(file)).expect("removed");
    }
}
