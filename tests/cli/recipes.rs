//! The recipes in README.md, each run in bash as it stands, in a store and a directory of its own.
//!
//! A recipe is a fenced `bash` block with a comment above it: `<!-- recipe: NAME`, the output
//! expected, and `-->`.
#![allow(
    clippy::disallowed_methods,
    reason = "scratch directories, not a store"
)]

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

const RECIPES_MIN: usize = 10;

struct Recipe {
    name: String,
    expected: String,
    script: String,
}

/// The text up to a line that is `end`, and what follows that line.
fn up_to_line<'a>(text: &'a str, end: &str) -> Option<(&'a str, &'a str)> {
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        if line.trim_end() == end {
            return Some((&text[..at], &text[at + line.len()..]));
        }
        at += line.len();
    }
    None
}

fn recipes(readme: &str) -> Vec<Recipe> {
    let mut found = Vec::new();
    let mut rest = readme;
    while let Some(at) = rest.find("<!-- recipe: ") {
        let (name, after) = rest[at + "<!-- recipe: ".len()..]
            .split_once('\n')
            .expect("a name");
        let (expected, after) = up_to_line(after, "-->").expect("the end of the comment");
        let body = after
            .strip_prefix("```bash\n")
            .expect("a bash block right below the comment");
        let (script, after) = up_to_line(body, "```").expect("the end of the block");
        found.push(Recipe {
            name: name.to_owned(),
            expected: expected.to_owned(),
            script: script.to_owned(),
        });
        rest = after;
    }
    found
}

fn readme() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    std::fs::read_to_string(path).expect("README.md")
}

fn run(script: &str) -> Output {
    let scratch = tempfile::tempdir().expect("scratch");
    let work = scratch.path().join("work");
    std::fs::create_dir(&work).expect("work");
    let tools = Path::new(env!("CARGO_BIN_EXE_mq-produce"))
        .parent()
        .expect("tools");
    let path = std::env::var("PATH").expect("PATH");
    // Bounded from outside as well: a recipe that hangs is a failure, not a wait.
    let mut bash = Command::new("timeout")
        .args(["60", "bash"])
        .env("PATH", format!("{}:{path}", tools.display()))
        .env("MQ_STORE", scratch.path().join("store"))
        .current_dir(&work)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("bash");
    // Read whole before it runs, so that no command of it takes its own script for input.
    let whole = format!("{{\nset -eo pipefail\n{script}\nexit 0; }} < /dev/null\n");
    let mut stdin = bash.stdin.take().expect("stdin");
    stdin.write_all(whole.as_bytes()).expect("script");
    drop(stdin);
    bash.wait_with_output().expect("bash")
}

fn has(tool: &str) -> bool {
    let found = Command::new("sh")
        .args(["-c", &format!("command -v {tool}")])
        .output();
    found.is_ok_and(|output| output.status.success())
}

#[test]
fn every_recipe_does_what_it_says() {
    let recipes = recipes(&readme());
    assert!(
        recipes.len() >= RECIPES_MIN,
        "only {} recipes found",
        recipes.len()
    );
    let names: BTreeSet<&str> = recipes.iter().map(|recipe| recipe.name.as_str()).collect();
    assert_eq!(names.len(), recipes.len(), "two recipes have one name");
    let jq = has("jq");
    assert!(jq || std::env::var_os("CI").is_none(), "jq is missing");
    let mut wrong = Vec::new();
    for Recipe {
        name,
        expected,
        script,
    } in &recipes
    {
        if !jq && script.contains("jq ") {
            println!("{name}: skipped: jq");
            continue;
        }
        let output = run(script);
        let stdout = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() || stdout != *expected {
            wrong.push(format!(
                "{name}: {}\nexpected:\n{expected}got:\n{stdout}stderr:\n{}",
                output.status,
                String::from_utf8_lossy(&output.stderr)
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_bash_block_is_a_recipe() {
    let readme = readme();
    assert_eq!(readme.matches("```bash").count(), recipes(&readme).len());
}

#[test]
fn a_recipe_that_fails_is_seen() {
    assert!(!run("false\ntrue").status.success());
    assert!(!run("false | true").status.success());
    assert_eq!(run("echo a").stdout, b"a\n");
}
