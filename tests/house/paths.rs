//! The docs name files. A path that leads nowhere sends the reader astray: each path in backticks
//! and each link of the docs must exist.
#![allow(
    clippy::disallowed_methods,
    reason = "reads the repository's sources, not a store"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::runners::root;

/// What a path may be relative to.
const BASES: [&str; 3] = ["", "src/", "tests/"];
/// A word that ends so is a path, also without a directory.
const ENDS: [&str; 3] = [".rs", ".sh", ".md"];

/// Files of other projects, which a comparison names.
const OF_OTHERS: [&str; 3] = [
    "lib/src/lib.rs",
    "lib/tests/runner.rs",
    "test_bad_locking.rs",
];

/// Every file and directory of the repository, relative to it. Build output is left out.
fn entries(root: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut dirs = vec![PathBuf::new()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(root.join(&dir)).expect("a directory") {
            let name = entry.expect("an entry").file_name();
            let path = dir.join(name);
            if path == Path::new("target") || path == Path::new(".git") {
                continue;
            }
            found.insert(path.to_string_lossy().into_owned());
            if root.join(&path).is_dir() {
                dirs.push(path);
            }
        }
    }
    found
}

/// The paths that `a/{b,c}.rs` stands for.
fn alternatives(path: &str) -> Vec<String> {
    if let Some((start, rest)) = path.split_once('{')
        && let Some((names, end)) = rest.split_once('}')
    {
        let each = names.split(',').map(|name| format!("{start}{name}{end}"));
        return each.collect();
    }
    vec![path.to_owned()]
}

/// Whether a name fits a pattern, in which `*` stands for any text within one name.
fn fits(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((start, rest)) => name.strip_prefix(start).is_some_and(|name| {
            let ends = name.find('/').unwrap_or(name.len());
            (0..=ends).any(|at| name.get(at..).is_some_and(|name| fits(rest, name)))
        }),
    }
}

/// The words in backticks, outside of fenced blocks, with the numbers of their lines.
fn words(text: &str) -> Vec<(usize, &str)> {
    let (mut words, mut is_fenced) = (Vec::new(), false);
    for (number, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            is_fenced = !is_fenced;
        } else if !is_fenced {
            let spans = line.split('`').skip(1).step_by(2);
            let all = spans.flat_map(str::split_whitespace);
            words.extend(all.map(|word| (number + 1, word)));
        }
    }
    words
}

/// The targets of links to files, without `#...`.
fn links(text: &str) -> Vec<(usize, &str)> {
    let mut links = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let targets = line.split("](").skip(1).filter_map(|l| l.split(')').next());
        let paths = targets.map(|target| target.split('#').next().unwrap_or_default());
        links.extend(
            paths
                .filter(|path| !path.is_empty() && !path.contains("://"))
                .map(|path| (number + 1, path)),
        );
    }
    links
}

/// Whether a word names a file or a directory of the repository: it ends as one, or it begins with a
/// directory of the repository, of `src` or of `tests`. A name in capitals is a placeholder, so such
/// a path is one of a store.
fn is_path(word: &str, entries: &BTreeSet<String>) -> bool {
    let is_placeholder = |part: &str| {
        part.split(['.', '-'])
            .any(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_uppercase()))
    };
    if word.starts_with(['/', '-', '$', '~', '.']) && !word.starts_with(".ci/") {
        return false;
    }
    if ENDS.iter().any(|end| word.ends_with(end)) {
        return true;
    }
    let Some((first, rest)) = word.split_once('/') else {
        return false;
    };
    let is_dir = BASES
        .iter()
        .any(|base| entries.contains(&format!("{base}{first}")));
    is_dir && !rest.split('/').any(is_placeholder)
}

fn exists(word: &str, entries: &BTreeSet<String>) -> bool {
    alternatives(word)
        .iter()
        .all(|path| is_there(path, entries))
}

fn is_there(path: &str, entries: &BTreeSet<String>) -> bool {
    let path = path.trim_end_matches('/');
    let found = |path: &str| {
        if path.contains('*') {
            entries.iter().any(|entry| fits(path, entry))
        } else {
            entries.contains(path)
        }
    };
    if !path.contains('/') {
        let name = |entry: &String| fits(path, entry.rsplit('/').next().unwrap_or_default());
        return entries.iter().any(name);
    }
    BASES
        .iter()
        .any(|base| found(&format!("{base}{path}")) || found(&format!("{base}{path}.rs")))
}

/// What a text of the directory `dir` names and the repository does not have, as `LINE: PATH`.
fn lost(text: &str, dir: &Path, root: &Path, entries: &BTreeSet<String>) -> Vec<String> {
    let paths = words(text)
        .into_iter()
        .filter(|(_, word)| is_path(word, entries) && !exists(word, entries));
    let links = links(text)
        .into_iter()
        .filter(|(_, link)| !root.join(dir).join(link).exists());
    paths
        .chain(links)
        .map(|(line, path)| format!("{line}: {path}"))
        .collect()
}

#[test]
fn every_path_of_the_docs_exists() {
    let entries = entries(root());
    let is_doc = |path: &&String| {
        path.ends_with(".md")
            && (path.starts_with("docs/") || *path == "README.md" || *path == "CONTRIBUTING.md")
    };
    let docs: Vec<&String> = entries.iter().filter(is_doc).collect();
    assert!(docs.len() > 20, "{docs:?}");
    let (mut all, mut checked) = (Vec::new(), 0);
    for doc in docs {
        let text = fs::read_to_string(root().join(doc)).expect("a doc");
        let dir = Path::new(doc).parent().expect("a directory");
        let named = words(&text)
            .into_iter()
            .filter(|(_, w)| is_path(w, &entries));
        checked += named.count();
        let lost = lost(&text, dir, root(), &entries);
        let is_own = |lost: &&String| !OF_OTHERS.iter().any(|path| lost.ends_with(path));
        let lost: Vec<String> = lost.iter().filter(is_own).cloned().collect();
        all.extend(lost.into_iter().map(|lost| format!("{doc}:{lost}")));
    }
    assert!(checked > 400, "only {checked} paths are seen");
    assert!(all.is_empty(), "lead nowhere: {all:#?}");
}

#[test]
fn a_path_that_leads_nowhere_is_found() {
    let at = tempfile::tempdir().expect("a directory");
    for file in [
        "src/log/walk.rs",
        "src/log/deep/up.rs",
        "tests/cli/main.rs",
        "docs/a.md",
    ] {
        let path = at.path().join(file);
        fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        fs::write(path, "").expect("written");
    }
    let entries = entries(at.path());
    let good = "`log/walk.rs` `walk.rs` `log/deep/` `log/deep` `log/deep/up` `src/log/walk.rs`\n\
                `tests/*/main.rs` `run cli/main.rs` `log/{walk,deep/up}.rs` [a](a.md#x) [b](https://x/y.md)\n\
                `topics/none.json` `log/NAME.json` `/log/none` `none` `a/b`\n\
                ```\n`log/none.rs`\n```\n";
    assert_eq!(lost(good, Path::new("docs"), at.path(), &entries), [""; 0]);
    for bad in [
        "`log/walks.rs`",
        "`walks.rs`",
        "`log/none`",
        "`src/none/`",
        "`x cli/none.rs`",
        "`tests/*/none.rs`",
        "`tests/*.rs`",
        "`log/x/*.rs`",
        "`log/{walk,walks}.rs`",
        "[a](../none.md)",
        "```\n```\n`none.md`",
    ] {
        let lost = lost(bad, Path::new("docs"), at.path(), &entries);
        assert_eq!(lost.len(), 1, "{bad}: {lost:?}");
    }
}
