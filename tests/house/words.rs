//! The words of the house: what never reads well in technical English, and names that the field has other
//! words for.
#![allow(
    clippy::disallowed_methods,
    reason = "reads the repository's files, not a store"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::floors::{code_of, sources};
use super::runners::root;

/// A word that is refused in prose, and why.
const PROSE: [(&str, &str); 12] = [
    (
        "whoever",
        "name the process or the person: the writer, the caller, the next lock holder",
    ),
    ("whomever", "name the process or the person"),
    (
        "whom",
        "name what is meant: the replicas that an election may choose from",
    ),
    ("whosoever", "name the process or the person"),
    ("he", "a process is \"it\"; name a person: the user"),
    ("him", "a process is \"it\"; name a person: the user"),
    ("himself", "a process is \"it\""),
    ("anew", "write \"again\", or say what is new"),
    ("befall", "write \"happen\", and name the subject first"),
    ("befell", "write \"happened\", and name the subject first"),
    ("thereof", "write \"of it\""),
    ("hitherto", "write \"so far\""),
];

/// Parts of identifiers that the field has other words for, and which. In `docs/glossary.md` each stands
/// with its meaning.
const NAMES: [(&str, &str); 43] = [
    ("anew", "again, recreated, replaced"),
    ("buried", "proof (of a deletion)"),
    ("bury", "keep the proof"),
    ("caretaker", "LogManager"),
    ("grave", "deleted topic"),
    ("graves", "deleted topics"),
    ("graveyard", "deleted topics"),
    ("habit", "foreign flag"),
    ("habits", "foreign flags"),
    ("heart", "heartbeat"),
    ("inherited", "reused"),
    ("judge", "ExpectedReplica, failover policy, assess"),
    ("keeper", "membership thread"),
    ("lane", "PartitionFetch, AssignedPartition, InFlightBatches"),
    ("lanes", "the same"),
    ("leftover", "orphan"),
    ("leftovers", "orphans"),
    ("look", "probe, observe, examine, poll"),
    ("looked", "observed"),
    ("looker", "SnapshotReader"),
    ("lookout", "Prober"),
    ("looks", "observations, polls"),
    ("mender", "ReplicaRecovery"),
    ("news", "changes, ChangeEvents"),
    ("onlooker", "Observer"),
    ("patience", "timeout"),
    ("rescue", "rewrite of unsynced bytes"),
    ("sight", "assessment"),
    ("stranded", "leaderless"),
    ("tell", "notify"),
    ("told", "notified; Notice"),
    ("unborn", "staging directory"),
    ("wish", "MoveReason, IsrChange, KeyCommand"),
    ("beat", "heartbeat"),
    ("care", "log maintenance"),
    ("gate", "suspend guard"),
    ("life", "liveness lock"),
    ("mend", "recover"),
    ("pulse", "heartbeat"),
    ("rebooted", "follower recovery"),
    ("rebuild", "recover the lost state"),
    ("standing", "OffsetCheck, BrokerLiveness"),
    ("useless", "ineligible"),
];

/// Words that were names for something the field has another word for, and that stay in other names:
/// why.
const KEPT: [(&str, &str); 10] = [
    ("around", "the records around an offset"),
    ("copied", "bytes that were copied"),
    ("hold", "a verb: what may hold a file, whether a rule holds"),
    ("lost", "records, files and locks that are lost"),
    ("moves", "moves of leaderships, and of members' partitions"),
    ("names", "names of topics, of files in a directory"),
    ("point", "a point in a log, as in OffsetSpec"),
    ("reports", "failure reports"),
    ("shell", "the user's shell"),
    ("sign", "of a number"),
];

/// Tests are named in sentences: a name of so many words is one. In `tests` and `benches` its words count
/// as well.
const SENTENCE: usize = 5;

/// Parts of the names of tests and of what they are made of that are refused besides [`NAMES`], and what
/// to say.
const IN_TESTS: [(&str, &str); 9] = [
    (
        "who",
        "name the process or the person: the caller, the reader",
    ),
    ("whoever", "the same"),
    ("whom", "the same"),
    ("he", "a process is \"it\""),
    ("him", "a process is \"it\""),
    ("mended", "repaired, recovered"),
    ("mends", "repairs, recovers"),
    ("tells", "reports, shows"),
    ("beats", "has a heartbeat"),
];

/// Files of `tests` and `benches` that are not read, and why.
const UNREAD: [(&str, &str); 1] = [("tests/house/words.rs", "lists the refused words")];

/// The words of a line, in lower case, with the place of each.
fn words(line: &str) -> impl Iterator<Item = String> {
    line.split(|c: char| !c.is_alphabetic())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
}

/// Words in a row that are refused in prose, and why.
const PHRASES: [(&str, &str); 4] = [
    ("is told", "write \"is notified\", or name who reports what"),
    (
        "are told",
        "write \"are notified\", or name who reports what",
    ),
    (
        "was told",
        "write \"was notified\", or name who reports what",
    ),
    ("may well", "write \"may\""),
];

/// What each line of a file says in prose, with the line's number: a source's comments and texts, all of
/// a page.
fn prose(path: &Path, text: &str) -> Vec<(usize, String)> {
    if path.extension().is_none_or(|end| end != "rs") {
        let lines = text.lines().enumerate();
        return lines.map(|(at, line)| (at + 1, line.to_owned())).collect();
    }
    let mut said: Vec<String> = vec![String::new(); text.lines().count() + 1];
    let mut at = 0;
    let mut left = text;
    let mut before = ' ';
    while let Some(c) = left.chars().next() {
        // A comment, a raw text, a text: what it has inside, and its length.
        let (inside, len) = if left.starts_with("//") {
            let end = left.find('\n').unwrap_or(left.len());
            (&left[2..end], end)
        } else if let Some(hashes) = raw_text(left).filter(|_| !is_of_a_word(before)) {
            let end = format!("\"{}", "#".repeat(hashes));
            let body = &left[hashes + 2..];
            let inside = body.find(&end).map_or(body, |at| &body[..at]);
            (
                inside,
                hashes + 2 + (inside.len() + end.len()).min(body.len()),
            )
        } else if c == '"' {
            let body = &left[1..];
            let inside = &body[..end_of_text(body)];
            (inside, (inside.len() + 2).min(left.len()))
        } else if c == '\'' && super::imports::is_char_literal(left) {
            let escaped = usize::from(left[1..].starts_with('\\'));
            let first = left[1 + escaped..].chars().next().map_or(0, char::len_utf8);
            let rest = 1 + escaped + first;
            let len = left[rest..]
                .find('\'')
                .map_or(left.len(), |at| rest + at + 1);
            ("", len)
        } else {
            ("", c.len_utf8())
        };
        for (below, line) in inside.split('\n').enumerate() {
            said[at + below].push_str(&line.replace("\\n", " "));
            said[at + below].push(' ');
        }
        at += left[..len].matches('\n').count();
        before = c;
        left = &left[len..];
    }
    let lines = said.into_iter().enumerate();
    lines
        .map(|(at, line)| (at + 1, line))
        .filter(|(_, line)| !line.trim().is_empty())
        .collect()
}

/// The hashes of a raw text that begins here.
fn raw_text(left: &str) -> Option<usize> {
    let rest = left.strip_prefix('r')?;
    let hashes = rest.len() - rest.trim_start_matches('#').len();
    rest[hashes..].starts_with('"').then_some(hashes)
}

fn is_of_a_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Where a text ends, without the quote that ends it.
fn end_of_text(body: &str) -> usize {
    let mut chars = body.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => drop(chars.next()),
            '"' => return at,
            _ => {}
        }
    }
    body.len()
}

/// The path below the root, as it is written in lists.
fn place(path: &Path) -> String {
    let below = path.strip_prefix(root()).unwrap_or(path);
    below.display().to_string()
}

fn is_unread(path: &Path) -> bool {
    UNREAD.iter().any(|(unread, _)| place(path) == *unread)
}

/// The code of tests and benches, with its places.
fn test_sources() -> Vec<(String, String)> {
    let mut found = BTreeSet::new();
    for dir in ["tests", "benches"] {
        super::runners::sources(&root().join(dir), &mut found);
    }
    for (unread, why) in UNREAD {
        assert!(found.contains(&root().join(unread)), "{unread} ({why})");
    }
    found.retain(|path| !is_unread(path));
    let read = |path: &PathBuf| code_of(&fs::read_to_string(path).expect("a source"));
    found.iter().map(|path| (place(path), read(path))).collect()
}

fn pages() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut left = vec![
        root().join("src"),
        root().join("docs"),
        root().join("examples"),
        root().join("tests"),
        root().join("benches"),
    ];
    while let Some(dir) = left.pop() {
        for entry in fs::read_dir(dir).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                left.push(path);
            } else if path
                .extension()
                .is_some_and(|end| end == "rs" || end == "md")
            {
                found.push(path);
            }
        }
    }
    found.retain(|path| !is_unread(path));
    for name in [
        "README.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "CHANGELOG.md",
        "man/mq.7",
        "tests/sabotage.sh",
        "justfile",
        ".ci/run",
    ] {
        found.push(root().join(name));
    }
    found.sort();
    found
}

#[test]
fn prose_has_no_word_that_never_reads_well() {
    let mut wrong = Vec::new();
    let mut seen = 0;
    for path in pages() {
        let text = fs::read_to_string(&path).expect("a page");
        let place = place(&path);
        for (at, said) in prose(&path, &text) {
            seen += 1;
            let said: Vec<String> = words(&said).collect();
            for word in &said {
                if let Some((_, instead)) = PROSE.iter().find(|(refused, _)| refused == word) {
                    wrong.push(format!("{place}:{at}: '{word}': {instead}"));
                }
            }
            for pair in said.windows(2).map(|pair| pair.join(" ")) {
                if let Some((_, instead)) = PHRASES.iter().find(|(refused, _)| *refused == pair) {
                    wrong.push(format!("{place}:{at}: '{pair}': {instead}"));
                }
            }
        }
    }
    assert!(
        seen > 10_000,
        "only {seen} lines of prose found: the search no longer sees them"
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The parts of an identifier, in lower case.
fn parts(identifier: &str) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    let mut begins = true;
    let mut was_lower = false;
    for c in identifier.chars() {
        if c == '_' {
            begins = true;
            continue;
        }
        if begins || (c.is_uppercase() && was_lower) {
            parts.push(String::new());
        }
        (begins, was_lower) = (false, c.is_lowercase());
        if let Some(part) = parts.last_mut() {
            part.extend(c.to_lowercase());
        }
    }
    parts
}

/// Identifiers of a source, without comments and texts.
fn identifiers(code: &str) -> Vec<String> {
    let code = super::imports::without_strings(code);
    code.split(|c: char| !(c.is_alphanumeric() || c == '_'))
        .filter(|word| word.starts_with(|c: char| c.is_alphabetic() || c == '_'))
        .map(str::to_owned)
        .collect()
}

#[test]
fn names_are_those_of_the_field() {
    let mut wrong = Vec::new();
    for source in sources() {
        let file = source.path.trim_end_matches(".rs").replace('/', "_");
        let all = identifiers(&source.code);
        for name in all.iter().chain([&file]) {
            let parts = parts(name);
            if parts.len() > SENTENCE && *name != file {
                continue;
            }
            for part in parts {
                if let Some((_, instead)) = NAMES.iter().find(|(refused, _)| *refused == part) {
                    wrong.push(format!("src/{}: {name}: say {instead}", source.path));
                }
            }
        }
    }
    wrong.sort();
    wrong.dedup();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn names_of_tests_are_those_of_the_field() {
    let mut wrong = Vec::new();
    let mut seen = 0;
    for (place, text) in test_sources() {
        let file = place.trim_end_matches(".rs").replace('/', "_");
        for name in identifiers(&text).iter().chain([&file]) {
            seen += 1;
            for part in parts(name) {
                let mut refused = NAMES.iter().chain(&IN_TESTS);
                if let Some((_, instead)) = refused.find(|(refused, _)| *refused == part) {
                    wrong.push(format!("{place}: {name}: say {instead}"));
                }
            }
        }
    }
    assert!(
        seen > 100_000,
        "only {seen} names found: the search no longer sees them"
    );
    wrong.sort();
    wrong.dedup();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_word_is_refused_or_kept() {
    let all: Vec<String> = sources()
        .iter()
        .flat_map(|source| identifiers(&source.code))
        .flat_map(|name| parts(&name))
        .collect();
    for (kept, why) in KEPT {
        assert!(!NAMES.iter().any(|(refused, _)| *refused == kept), "{kept}");
        assert!(
            all.iter().any(|part| part == kept),
            "{kept} ({why}) is gone"
        );
    }
}

#[test]
fn the_search_sees_words_and_names() {
    assert_eq!(parts("TOLD_MAX"), ["told", "max"]);
    assert_eq!(parts("LookAtPage"), ["look", "at", "page"]);
    assert_eq!(identifiers("let a_b = c(\"judge\");"), ["let", "a_b", "c"]);
    let found: Vec<String> = words("Whoever, he's").collect();
    assert_eq!(found, ["whoever", "he", "s"]);
    let said = |text: &str| {
        let lines = prose(Path::new("x.rs"), text);
        let lines: Vec<_> = lines
            .iter()
            .map(|(at, line)| (*at, words(line).collect::<Vec<_>>().join(" ")))
            .collect();
        lines
    };
    let one = |at: usize, text: &str| vec![(at, text.to_owned())];
    assert_eq!(said("let x = 1; // he"), one(1, "he"));
    assert_eq!(said("let he = 1;"), []);
    assert_eq!(
        said("f();\nlet x = f(\"he \\\" is\", him); g();"),
        one(2, "he is")
    );
    assert_eq!(said("let x = (r#\"he \"// is\"#, him);"), one(1, "he is"));
    assert_eq!(said("f('\"', he); g('\\'', him)"), []);
    let lines = [(1, "he".to_owned()), (2, "him".to_owned())];
    assert_eq!(said("let x = \"he\nhim\";"), lines);
}
