//! The floors of the house: which module may import which, touch files, or print.
#![allow(
    clippy::disallowed_methods,
    reason = "reads the repository's sources, not a store"
)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Every module of the library and its floor. A module may use only those below its own floor.
const FLOORS: [(&str, u8); 16] = [
    ("error", 0),
    ("types", 0),
    ("clock", 0),
    ("timing", 0),
    ("disk", 0),
    ("codec", 0),
    ("record", 1),
    ("log", 2),
    ("store", 3),
    ("partition", 4),
    ("lifecycle", 5),
    ("cluster", 6),
    ("group", 6),
    ("client", 7),
    ("api", 8),
    ("cli", 9),
];

/// What may be used on its own floor: the types return errors for invalid names.
const WITHIN: [(&str, &str); 1] = [("types", "error")];

const FILE_LINES_MAX: usize = 600;
const BIN_LINES_MAX: usize = 5;

/// A source file: its path from `src`, its text, and its text without tests and comments.
pub struct Source {
    pub path: String,
    pub text: String,
    pub code: String,
}

impl Source {
    /// The module of the library that it belongs to.
    fn module(&self) -> &str {
        let first = self.path.split('/').next().unwrap_or(&self.path);
        first.strip_suffix(".rs").unwrap_or(first)
    }
}

pub fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut left: Vec<PathBuf> = vec![root.clone()];
    while let Some(dir) = left.pop() {
        for entry in std::fs::read_dir(&dir).expect("a directory of sources") {
            let path = entry.expect("entry").path();
            if path.is_dir() {
                left.push(path);
                continue;
            }
            let within = path.strip_prefix(&root).expect("below src");
            let name = within.to_str().expect("a name in UTF-8").to_owned();
            if path.extension().is_none_or(|end| end != "rs") || is_test_file(&name) {
                continue;
            }
            let text = std::fs::read_to_string(&path).expect("source");
            let code = code_of(&text);
            found.push(Source {
                path: name,
                text,
                code,
            });
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn is_test_file(name: &str) -> bool {
    name.split('/')
        .any(|part| part == "tests" || part == "tests.rs")
}

/// The text without comments, and without modules that are compiled for tests only.
pub fn code_of(text: &str) -> String {
    let mut code = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line == "#[cfg(test)]" {
            // An item on one line, or up to the brace in the first column.
            if lines.next().is_some_and(|item| item.ends_with('{')) {
                for line in lines.by_ref() {
                    if line == "}" {
                        break;
                    }
                }
            }
            continue;
        }
        if !line.trim_start().starts_with("//") {
            code.push_str(line);
            code.push('\n');
        }
    }
    code
}

/// The modules that `code` names by `crate::...`, also in groups.
pub fn imports(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let before = code[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '$') {
            continue;
        }
        let rest = &code[at + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            let mut depth = 1;
            let mut name = String::new();
            let mut wanted = true;
            for c in group.chars() {
                match c {
                    '{' => depth += 1,
                    '}' => depth -= 1,
                    ',' if depth == 1 => {
                        found.insert(std::mem::take(&mut name));
                        wanted = true;
                        continue;
                    }
                    _ => {}
                }
                if depth == 0 {
                    break;
                }
                if wanted && (c.is_alphanumeric() || c == '_') {
                    name.push(c);
                } else if !c.is_whitespace() {
                    wanted = false;
                }
            }
            found.insert(name);
        } else {
            found.insert(
                rest.chars()
                    .take_while(|c| c.is_alphanumeric() || *c == '_')
                    .collect::<String>(),
            );
        }
    }
    found.remove("");
    found
}

fn floor(module: &str) -> Option<u8> {
    FLOORS
        .iter()
        .find(|(name, _)| *name == module)
        .map(|(_, floor)| *floor)
}

/// Why `module` may not use `other`, if it may not.
fn refusal(module: &str, other: &str) -> Option<String> {
    let Some(own) = floor(module) else {
        return Some(format!(
            "{module} has no floor: give it one in tests/house/floors.rs"
        ));
    };
    let Some(others) = floor(other) else {
        return Some(format!("uses crate::{other}, which has no floor"));
    };
    let may = module == other || others < own || WITHIN.contains(&(module, other));
    (!may).then(|| format!("{module} (floor {own}) uses {other} (floor {others})"))
}

#[test]
fn modules_import_only_from_floors_below() {
    let mut wrong = Vec::new();
    let mut seen = 0;
    for source in sources() {
        if source.path == "lib.rs" || source.path.starts_with("bin/") {
            continue;
        }
        for other in imports(&source.code) {
            seen += 1;
            if let Some(why) = refusal(source.module(), &other) {
                wrong.push(format!("src/{}: {why}", source.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(
        seen > 100,
        "only {seen} imports found: the search no longer sees them"
    );
}

#[test]
fn every_module_of_the_library_has_a_floor() {
    let root = sources()
        .into_iter()
        .find(|source| source.path == "lib.rs")
        .expect("lib.rs");
    let named: BTreeSet<&str> = root
        .code
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod ").or(line.strip_prefix("mod ")))
        .filter_map(|name| name.strip_suffix(';'))
        .collect();
    let floors: BTreeSet<&str> = FLOORS.iter().map(|(name, _)| *name).collect();
    assert_eq!(named, floors);
    assert!(
        root.code.contains("#![forbid(unsafe_code)]"),
        "src/lib.rs must forbid unsafe code"
    );
}

#[test]
fn only_the_disk_touches_files_and_only_the_command_line_prints() {
    let files = [
        "std::fs",
        "rustix::fs",
        "fs2::",
        "use std::{fs",
        "File::open(",
        "OpenOptions",
    ];
    let voices = [
        "println!",
        "print!(",
        "io::stdout",
        "io::stderr",
        "std::process::exit",
        "env::var",
    ];
    let mut wrong = Vec::new();
    for source in sources() {
        let module = source.module();
        // One output for all tools: it handles signals, closed pipes, and closed descriptors.
        let stdout = source.code.contains("io::stdout") || source.code.contains("print!(");
        if stdout && source.path != "cli/stdout.rs" {
            wrong.push(format!("src/{}: print through cli::stdout", source.path));
        }
        if module == "cli" || module == "bin" {
            continue;
        }
        for (number, line) in source.code.lines().enumerate() {
            let touches = module != "disk" && files.iter().any(|word| line.contains(word));
            if touches || voices.iter().any(|word| line.contains(word)) {
                wrong.push(format!(
                    "src/{} (code line {}): {}",
                    source.path,
                    number + 1,
                    line.trim()
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Copies of a value that became stale: a pattern, where it may stand, and what to use elsewhere.
const STALE_COPIES: [(&str, &[&str], &str); 3] = [
    (
        "configs: TopicConfigs",
        &["store/topics/topic_handle.rs"],
        "ask the topic handle for its configs at each use: a copy stays when the handle is replaced",
    ),
    (
        "page.generation += 1",
        &["partition/state_page.rs"],
        "begin a generation with StatePage::begin_generation, which asks what becomes of an unseen sync",
    ),
    (
        "Segments::list(",
        &[
            // Under the append lock: it searches for the files of a killed roll.
            "log/",
            "partition/recovery/replica_recovery.rs",
            "partition/recovery/repair.rs",
            "partition/recovery/truncate.rs",
            "partition/recovery/start_adoption.rs",
            "lifecycle/segment_reuse.rs",
            // It searches for files beyond the state page.
            "partition/end_of_files.rs",
            // Up to the state page's active segment, or its log start.
            "partition/log_start/prepared.rs",
            "partition/log_snapshot.rs",
            "partition/append/committer.rs",
            "partition/retention/segment_facts.rs",
            "client/verify.rs",
            // It lists the existing files.
            "cli/topics/dump.rs",
        ],
        "take a LogSnapshot: a listing alone includes the files of a killed roll",
    ),
];

#[test]
fn nothing_keeps_a_copy_that_can_be_stale() {
    let mut wrong = Vec::new();
    for source in sources() {
        for (pattern, allowed, instead) in STALE_COPIES {
            let allowed = allowed.iter().any(|place| source.path.starts_with(place));
            if !allowed && source.code.contains(pattern) {
                wrong.push(format!("src/{}: {pattern}: {instead}", source.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn files_are_small() {
    let mut wrong = Vec::new();
    for source in sources() {
        let lines = source.text.lines().count();
        let most = if source.path.starts_with("bin/") {
            BIN_LINES_MAX
        } else {
            FILE_LINES_MAX
        };
        if lines > most {
            wrong.push(format!(
                "src/{}: {lines} lines, at most {most}",
                source.path
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_search_sees_what_it_should() {
    let names = |code: &str| imports(code).into_iter().collect::<Vec<_>>().join(" ");
    assert_eq!(names("use crate::store::{Page, Replica};"), "store");
    assert_eq!(
        names("use crate::{\n    disk::{Dir, File},\n    error,\n};"),
        "disk error"
    );
    assert_eq!(
        names("let x = crate::clock::now(); mycrate::no();"),
        "clock"
    );
    assert_eq!(
        code_of("a\n#[cfg(test)]\nmod tests {\n  b\n}\n// c\nd\n"),
        "a\nd\n"
    );
    assert_eq!(code_of("a\n#[cfg(test)]\nmod tests;\nd\n"), "a\nd\n");
    assert!(refusal("store", "log").is_none());
    for (module, other) in [("log", "store"), ("group", "cluster"), ("client", "cli")] {
        assert!(
            refusal(module, other).is_some(),
            "{module} must not use {other}"
        );
    }
}
