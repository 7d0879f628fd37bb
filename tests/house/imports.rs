//! Which module imports which: no circle, neither between modules nor within one.
//!
//! Read from the sources: `use` trees and paths in code, both resolved through re-exports to the module
//! that defines the item. Test modules are left out.

use std::collections::{BTreeMap, BTreeSet};

use super::floors::{Source, sources};

/// The path of a module from the crate's root.
type Module = Vec<String>;

/// What is known of one module.
#[derive(Default)]
struct Known {
    /// Its code, without comments, strings and tests.
    code: String,
    /// The names that it imports, and the path that each stands for.
    names: BTreeMap<String, Module>,
    /// The names that it re-exports.
    handed_on: BTreeMap<String, Module>,
}

/// The modules of the crate.
pub struct Crate(BTreeMap<Module, Known>);

/// An import: the module that uses an item, the module that defines it, and the item.
pub type Import = (Module, Module, String);

impl Crate {
    /// The modules of the library's sources.
    pub fn read() -> Self {
        Crate::of(
            sources()
                .iter()
                .filter(|source| !source.path.starts_with("bin/")),
        )
    }

    fn of<'a>(sources: impl Iterator<Item = &'a Source>) -> Self {
        let mut modules: BTreeMap<Module, Known> = BTreeMap::new();
        for source in sources {
            let code = without_strings(&source.code);
            modules.insert(
                module_of(&source.path),
                Known {
                    code,
                    ..Known::default()
                },
            );
        }
        let places: BTreeSet<Module> = modules.keys().cloned().collect();
        for (module, known) in &mut modules {
            for (is_handed_on, tree) in uses(&known.code) {
                for (path, name) in leaves(&tree) {
                    let Some(absolute) = absolute(&places, module, &path) else {
                        continue;
                    };
                    known.names.insert(name.clone(), absolute.clone());
                    if is_handed_on {
                        known.handed_on.insert(name, absolute);
                    }
                }
            }
        }
        Crate(modules)
    }

    /// The module that defines what a path names, and the item; the item is empty for a module.
    fn resolve(&self, path: &[String], depth: usize) -> (Module, String) {
        let mut at = path.len();
        while at > 0 && !self.0.contains_key(&path[..at]) {
            at -= 1;
        }
        let Some(item) = path.get(at) else {
            return (path.to_vec(), String::new());
        };
        let handed_on = self
            .0
            .get(&path[..at])
            .and_then(|known| known.handed_on.get(item));
        match handed_on {
            Some(to) if depth < 10 => {
                let next: Module = to.iter().chain(&path[at + 1..]).cloned().collect();
                self.resolve(&next, depth + 1)
            }
            _ => (path[..at].to_vec(), item.clone()),
        }
    }

    /// Every import of an item from another module.
    pub fn imports(&self) -> BTreeSet<Import> {
        let places: BTreeSet<Module> = self.0.keys().cloned().collect();
        let mut found = BTreeSet::new();
        for (module, known) in &self.0 {
            let is_facade = self
                .0
                .keys()
                .any(|other| other.len() > module.len() && other.starts_with(module));
            let mut add = |path: &[String]| {
                let (defined_in, item) = self.resolve(path, 0);
                if !item.is_empty() && defined_in != *module {
                    found.insert((module.clone(), defined_in, item));
                }
            };
            let own_words: BTreeSet<String> = if is_facade {
                words(&own_code(&known.code), false)
                    .iter()
                    .filter_map(|path| path.split("::").next())
                    .map(str::to_owned)
                    .collect()
            } else {
                BTreeSet::new()
            };
            for (name, path) in &known.names {
                // What a folder's module re-exports from its own files is an import only if its own
                // code uses it.
                let is_handed_on = is_facade && known.handed_on.contains_key(name);
                if !is_handed_on || own_words.contains(name) {
                    add(path);
                }
            }
            for path in paths(&known.code) {
                let first = path[0].as_str();
                if matches!(first, "crate" | "super" | "self") {
                    if let Some(absolute) = absolute(&places, module, &path) {
                        add(&absolute);
                    }
                } else if let Some(to) = known.names.get(first) {
                    let whole: Module = to.iter().chain(&path[1..]).cloned().collect();
                    if self.0.contains_key(to) {
                        add(&whole);
                    }
                } else {
                    let child: Module = module.iter().chain(&path[..1]).cloned().collect();
                    if self.0.contains_key(&child) {
                        add(&module.iter().chain(&path).cloned().collect::<Module>());
                    }
                }
            }
        }
        found
    }
}

/// Groups of modules in which each module can be reached from each other one.
pub fn circles(imports: &BTreeSet<Import>) -> Vec<BTreeSet<Module>> {
    let mut next: BTreeMap<&Module, BTreeSet<&Module>> = BTreeMap::new();
    for (from, to, _) in imports {
        next.entry(from).or_default().insert(to);
        next.entry(to).or_default();
    }
    let reached: BTreeMap<&Module, BTreeSet<&Module>> = next
        .keys()
        .map(|start| (*start, reachable(&next, start)))
        .collect();
    let mut found: Vec<BTreeSet<Module>> = Vec::new();
    for (module, from_it) in &reached {
        if !from_it.contains(module) || found.iter().any(|circle| circle.contains(*module)) {
            continue;
        }
        let back = |other: &&&Module| reached.get(**other).is_some_and(|r| r.contains(module));
        found.push(from_it.iter().filter(back).map(|m| (*m).clone()).collect());
    }
    found
}

fn reachable<'a>(
    next: &BTreeMap<&'a Module, BTreeSet<&'a Module>>,
    start: &'a Module,
) -> BTreeSet<&'a Module> {
    let mut seen = BTreeSet::new();
    let mut left: Vec<&Module> = next[start].iter().copied().collect();
    while let Some(module) = left.pop() {
        if seen.insert(module) {
            left.extend(next[module].iter().copied());
        }
    }
    seen
}

fn module_of(path: &str) -> Module {
    let stem = path.strip_suffix(".rs").unwrap_or(path);
    let mut parts: Module = stem.split('/').map(str::to_owned).collect();
    if parts.last().is_some_and(|last| last == "mod") || parts == ["lib"] {
        parts.pop();
    }
    parts
}

/// The path from the crate's root, of a path written in `module`; `None` if it leads out of the crate.
fn absolute(places: &BTreeSet<Module>, module: &Module, path: &[String]) -> Option<Module> {
    let (first, mut rest) = path.split_first()?;
    let mut base = match first.as_str() {
        "crate" => Module::new(),
        "self" => module.clone(),
        "super" => module[..module.len().checked_sub(1)?].to_vec(),
        _ => {
            let child: Module = module.iter().chain([first]).cloned().collect();
            if !places.contains(&child) {
                return None;
            }
            rest = path;
            module.clone()
        }
    };
    while rest.first().is_some_and(|word| word == "super") {
        base.pop()?;
        rest = &rest[1..];
    }
    base.extend(rest.iter().cloned());
    Some(base)
}

/// Code with every string and character literal emptied.
pub fn without_strings(code: &str) -> String {
    let mut out = String::with_capacity(code.len());
    let mut left = code;
    while let Some(c) = left.chars().next() {
        let raw = left.strip_prefix('r').filter(|rest| {
            rest.trim_start_matches('#').starts_with('"')
                && !out.ends_with(|c: char| c.is_alphanumeric() || c == '_')
        });
        if let Some(rest) = raw {
            let hashes = rest.len() - rest.trim_start_matches('#').len();
            let end = format!("\"{}", "#".repeat(hashes));
            let body = &rest[hashes + 1..];
            left = body.find(&end).map_or("", |at| &body[at + end.len()..]);
            out.push_str("\"\"");
        } else if c == '"' {
            let mut chars = left[1..].char_indices();
            let mut end = left.len() - 1;
            while let Some((at, c)) = chars.next() {
                match c {
                    '\\' => drop(chars.next()),
                    '"' => {
                        end = at + 1;
                        break;
                    }
                    _ => {}
                }
            }
            left = left[1..].get(end..).unwrap_or("");
            out.push_str("\"\"");
        } else if c == '\'' && is_char_literal(left) {
            let body = &left[1..];
            let escaped = usize::from(body.starts_with('\\'));
            let skip = escaped + body[escaped..].chars().next().map_or(0, char::len_utf8);
            left = body[skip..].split_once('\'').map_or("", |(_, rest)| rest);
            out.push_str("' '");
        } else {
            out.push(c);
            left = &left[c.len_utf8()..];
        }
    }
    out
}

/// Whether a quote begins a character, and not a lifetime.
pub fn is_char_literal(at_quote: &str) -> bool {
    let mut chars = at_quote[1..].chars();
    match chars.next() {
        Some('\\') => true,
        Some(_) => chars.next() == Some('\''),
        None => false,
    }
}

/// Every `use` of a module's own level: whether it is a re-export, and its tree.
fn uses(code: &str) -> Vec<(bool, String)> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("use ") {
        let line_start = code[..at].rfind('\n').map_or(0, |at| at + 1);
        let before = &code[line_start..at];
        if !(before.is_empty() || before.starts_with("pub")) {
            continue;
        }
        let tree = code[at + 4..].split(';').next().unwrap_or_default();
        found.push((!before.is_empty(), tree.to_owned()));
    }
    found
}

/// The paths of a `use` tree, and the name that each gets.
fn leaves(tree: &str) -> Vec<(Module, String)> {
    let tokens = words(tree, true);
    let mut found = Vec::new();
    branch(&tokens, &mut 0, &Module::new(), &mut found);
    found
}

fn branch(tokens: &[String], at: &mut usize, prefix: &Module, found: &mut Vec<(Module, String)>) {
    let mut path = prefix.clone();
    let mut name = None;
    while let Some(token) = tokens.get(*at) {
        *at += 1;
        match token.as_str() {
            "{" => {
                while tokens.get(*at).is_some_and(|token| token != "}") {
                    branch(tokens, at, &path, found);
                    if tokens.get(*at).is_some_and(|token| token == ",") {
                        *at += 1;
                    }
                }
                *at += 1;
                return;
            }
            "," | "}" => {
                *at -= 1;
                break;
            }
            "as" => {
                name = tokens.get(*at).cloned();
                *at += 1;
            }
            "*" => return,
            word => path.push(word.to_owned()),
        }
    }
    if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
        path.pop();
    }
    if let Some(name) = name.or_else(|| path.last().cloned()) {
        found.push((path, name));
    }
}

/// Paths of more than one word in code, except those in `use`.
fn paths(code: &str) -> Vec<Module> {
    let mut found: Vec<Module> = words(&own_code(code), false)
        .iter()
        .filter(|word| word.contains("::"))
        .map(|word| {
            word.split("::")
                .filter(|part| !part.is_empty())
                .map(str::to_owned)
                .collect()
        })
        .collect();
    found.retain(|path| path.len() > 1);
    found
}

/// Code without its `use` and without the lines that declare a module.
fn own_code(code: &str) -> String {
    let mut own = String::with_capacity(code.len());
    let mut in_use = false;
    for line in code.lines() {
        let start = line.trim_start();
        in_use |=
            start.starts_with("use ") || (start.starts_with("pub") && start.contains(" use "));
        let declares = line.ends_with(';') && format!(" {start}").contains(" mod ");
        if !in_use && !declares {
            own.push_str(line);
            own.push('\n');
        }
        if line.ends_with(';') {
            in_use = false;
        }
    }
    own
}

/// The words of a text; `apart`: also braces, commas and stars, and paths word by word.
fn words(text: &str, apart: bool) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut word = String::new();
    for c in text.chars().chain([' ']) {
        if c.is_alphanumeric() || c == '_' || (c == ':' && !apart) {
            word.push(c);
            continue;
        }
        if !word.is_empty() {
            found.push(std::mem::take(&mut word));
        }
        if apart && matches!(c, '{' | '}' | ',' | '*') {
            found.push(c.to_string());
        }
    }
    found
}

fn listed(circle: &BTreeSet<Module>, imports: &BTreeSet<Import>) -> String {
    imports
        .iter()
        .filter(|(from, to, _)| circle.contains(from) && circle.contains(to))
        .map(|(from, to, item)| format!("  {} uses {}::{item}", from.join("::"), to.join("::")))
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn no_modules_import_each_other_in_a_circle() {
    let imports = Crate::read().imports();
    assert!(
        imports.len() > 1500,
        "only {} imports found: the search no longer sees them",
        imports.len()
    );
    let found: Vec<String> = circles(&imports)
        .iter()
        .map(|circle| listed(circle, &imports))
        .collect();
    assert!(
        found.is_empty(),
        "circles; move the item down:\n{}",
        found.join("\n\n")
    );
}

#[test]
fn the_command_line_reaches_the_store_through_the_client_only() {
    let below = ["store", "partition", "lifecycle", "cluster", "group", "log"];
    let imports = Crate::read().imports();
    let mut wrong = BTreeSet::new();
    for source in sources()
        .iter()
        .filter(|source| source.path.starts_with("cli/"))
    {
        for room in below {
            if super::floors::imports(&source.code).contains(room) {
                wrong.insert(format!("src/{} names crate::{room}", source.path));
            }
        }
    }
    assert!(!imports.is_empty());
    assert!(
        wrong.is_empty(),
        "{}",
        wrong.into_iter().collect::<Vec<_>>().join("\n")
    );
}

#[test]
fn the_search_sees_circles() {
    let source = |path: &str, code: &str| Source {
        path: path.to_owned(),
        text: code.to_owned(),
        code: code.to_owned(),
    };
    let of = |sources: &[Source]| circles(&Crate::of(sources.iter()).imports()).len();
    let room = source(
        "room/mod.rs",
        "mod a;\nmod b;\npub use a::One;\npub use b::{Two, two};\n",
    );
    let a = source("room/a.rs", "use super::b::Two;\npub struct One;\n");
    let apart = source("room/b.rs", "pub struct Two;\n");
    let circle = source(
        "room/b.rs",
        "use crate::room::{self, One};\npub struct Two;\n",
    );
    let by_path = source(
        "room/b.rs",
        "use crate::room;\nfn x() { room::One; let c = '\"'; }\n",
    );
    let in_text = source("room/b.rs", "fn x() { f(\"crate::room::One\") }\n");
    assert_eq!(of(&[room, a, apart]), 0);
    let again = |b: Source| {
        let room = source(
            "room/mod.rs",
            "mod a;\nmod b;\npub use a::One;\npub use b::{Two, two};\n",
        );
        of(&[
            room,
            source("room/a.rs", "use super::b::Two;\npub struct One;\n"),
            b,
        ])
    };
    assert_eq!(again(circle), 1);
    let of_the_room = |code: &str| {
        let text = format!("mod a;\npub use a::{{One, one}};\npub struct Two;\n{code}");
        of(&[
            source("room/mod.rs", &text),
            source("room/a.rs", "use super::Two;\npub struct One;\n"),
        ])
    };
    assert_eq!(of_the_room(""), 0);
    assert_eq!(of_the_room("pub struct Three(One);\n"), 1);
    assert_eq!(of_the_room("fn x() { One::new() }\n"), 1);
    assert_eq!(again(by_path), 1);
    assert_eq!(again(in_text), 0);
}
