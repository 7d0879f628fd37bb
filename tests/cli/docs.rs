//! Man pages and completions: as the tools' arguments are now, and whole.
//!
//! With `MQ_BLESS=1` the files are written instead of compared.
#![allow(
    clippy::disallowed_methods,
    reason = "these files are the repository's, not a store's"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use mq::cli::docs;

use super::man;
use crate::common::switches::is_blessing;

/// The pages that are written by hand.
const BY_HAND: [&str; 1] = ["mq.7"];

const TOOLS: [&str; 5] = [
    "mq-produce",
    "mq-consume",
    "mq-topics",
    "mq-groups",
    "mq-broker",
];

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Compares what is generated with what is committed in `folder`, or writes it.
fn check(folder: &str, generated: &BTreeMap<String, Vec<u8>>, by_hand: &[&str]) {
    let folder = repository().join(folder);
    if is_blessing() {
        for name in files(&folder).difference(&expected(generated, by_hand)) {
            std::fs::remove_file(folder.join(name)).expect("remove what is stale");
        }
        for (name, bytes) in generated {
            let path = folder.join(name);
            std::fs::create_dir_all(path.parent().expect("parent")).expect("directory");
            std::fs::write(path, bytes).expect("write");
        }
    }
    assert_eq!(
        files(&folder),
        expected(generated, by_hand),
        "other files than expected in {}: run MQ_BLESS=1 cargo test --test cli docs",
        folder.display()
    );
    for (name, bytes) in generated {
        let committed = std::fs::read(folder.join(name)).expect("read");
        assert!(
            committed == *bytes,
            "{name} is not fresh: run MQ_BLESS=1 cargo test --test cli docs"
        );
    }
}

fn expected(generated: &BTreeMap<String, Vec<u8>>, by_hand: &[&str]) -> BTreeSet<String> {
    generated
        .keys()
        .cloned()
        .chain(by_hand.iter().map(|name| (*name).to_owned()))
        .collect()
}

/// The files below `folder`, by their paths within it.
fn files(folder: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut left: Vec<PathBuf> = vec![folder.to_owned()];
    while let Some(dir) = left.pop() {
        let Ok(entries) = std::fs::read_dir(&dir) else {
            continue;
        };
        for entry in entries {
            let path = entry.expect("entry").path();
            if path.is_dir() {
                left.push(path);
            } else {
                let within = path.strip_prefix(folder).expect("within");
                found.insert(within.to_str().expect("a name in UTF-8").to_owned());
            }
        }
    }
    found
}

#[test]
fn man_pages_are_fresh() {
    check("man", &man::man_pages().expect("pages"), &BY_HAND);
}

#[test]
fn completions_are_fresh() {
    check("completions", &docs::completions(), &[]);
}

#[test]
fn every_man_page_has_four_examples_of_its_own() {
    for (name, text) in man::man_pages().expect("pages") {
        let text = String::from_utf8(text).expect("text");
        let (_, examples) = text.split_once(".SH EXAMPLES\n").expect(&name);
        let (examples, _) = examples.split_once(".SH").expect(&name);
        let spelled = name.trim_end_matches(".1").replace('-', "\\-");
        // A subcommand's page is named with a dash where its command has a space.
        let command = match spelled.match_indices("\\-").nth(1) {
            Some((at, dash)) => format!("{} {}", &spelled[..at], &spelled[at + dash.len()..]),
            None => spelled.clone(),
        };
        let own = examples
            .lines()
            .filter(|line| line.contains(&command))
            .count();
        assert!(
            own >= 4 || (own >= 3 && examples.lines().count() >= 6),
            "{name}: {own}\n{examples}"
        );
    }
}

#[test]
fn every_subcommand_and_option_says_what_it_does() {
    fn check_help(command: &clap::Command) {
        assert!(command.get_about().is_some(), "{}", command.get_name());
        for arg in command.get_arguments() {
            assert!(
                arg.get_help().is_some(),
                "{} {}",
                command.get_name(),
                arg.get_id()
            );
        }
        command.get_subcommands().for_each(check_help);
    }
    docs::commands().iter().for_each(check_help);
}

#[test]
fn tools_have_commands_and_binaries() {
    let names: Vec<String> = docs::commands()
        .iter()
        .map(|command| command.get_name().to_owned())
        .collect();
    assert_eq!(names, TOOLS);
    let binaries = [
        env!("CARGO_BIN_EXE_mq-produce"),
        env!("CARGO_BIN_EXE_mq-consume"),
        env!("CARGO_BIN_EXE_mq-topics"),
        env!("CARGO_BIN_EXE_mq-groups"),
        env!("CARGO_BIN_EXE_mq-broker"),
    ];
    for (tool, binary) in TOOLS.iter().zip(binaries) {
        let ran = std::process::Command::new(binary)
            .arg("--version")
            .output()
            .expect(tool);
        assert!(ran.status.success(), "{tool}");
        let version = format!("{tool} {}\n", env!("CARGO_PKG_VERSION"));
        assert_eq!(String::from_utf8(ran.stdout).expect("text"), version);

        let ran = std::process::Command::new(binary)
            .arg("--no-such-option")
            .output()
            .expect(tool);
        assert_eq!(ran.status.code(), Some(2), "{tool}");
        assert!(ran.stdout.is_empty(), "{tool}");
        let reported = String::from_utf8(ran.stderr).expect("text");
        assert!(reported.starts_with(&format!("{tool}: ")), "{reported}");
    }
}

#[test]
fn what_is_not_due_is_refused() {
    let later = [
        (0, &["--follow", "--resume", "--transaction"][..]),
        (
            1,
            &["--segment", "--merge", "--isolation", "--latest-per-key"],
        ),
        (2, &["export", "import", "quarantine", "reindex"]),
        (4, &["--listen", "perf", "metrics", "top"]),
    ];
    let commands = docs::commands();
    for (tool, names) in later {
        let command = &commands[tool];
        let all = all_names(command);
        for name in names {
            assert!(!all.contains(*name), "{} {name}", command.get_name());
        }
    }
}

/// Subcommands, long options and their possible values.
fn all_names(command: &clap::Command) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for sub in command.get_subcommands() {
        names.insert(sub.get_name().to_owned());
        names.extend(all_names(sub));
    }
    for arg in command.get_arguments() {
        names.extend(arg.get_long().map(|long| format!("--{long}")));
        names.extend(
            arg.get_possible_values()
                .iter()
                .map(|value| value.get_name().to_owned()),
        );
    }
    names
}

#[test]
fn the_overview_names_every_tool_and_page() {
    let text = std::fs::read_to_string(repository().join("man/mq.7")).expect("man/mq.7");
    for tool in TOOLS {
        assert!(
            text.contains(&tool.replace('-', "\\-")),
            "mq.7 does not name {tool}"
        );
    }
    for section in [
        "NAME",
        "DESCRIPTION",
        "TOOLS",
        "MODEL",
        "STORE",
        "DURABILITY",
        "OFFSETS",
        "FORMATS",
        "\"EXIT STATUS\"",
        "ENVIRONMENT",
        "FILES",
        "EXAMPLES",
    ] {
        assert!(
            text.contains(&format!(".SH {section}\n")),
            "mq.7 has no {section}"
        );
    }
    for name in ["MQ_STORE", "XDG_DATA_HOME", "NO_COLOR"] {
        assert!(text.contains(name), "mq.7 does not name {name}");
    }
    for status in ["0", "1", "2", "4", "65", "74", "75"] {
        assert!(
            text.contains(&format!("\n.B {status}\n")),
            "mq.7 has no status {status}"
        );
    }
}
