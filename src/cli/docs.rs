//! The tools' commands, and their completion scripts. A test makes the man pages from the same
//! commands, so that the tools need no library for them.

use std::collections::BTreeMap;

use clap::{Command, CommandFactory};

use super::complete::Shell;
use super::{broker, consume, groups, produce, topics};

/// The five tools' commands.
pub fn commands() -> Vec<Command> {
    vec![
        produce::Args::command(),
        consume::Args::command(),
        topics::Args::command(),
        groups::Args::command(),
        broker::Args::command(),
    ]
}

/// The same, each with the rules between its arguments.
#[cfg(test)]
pub(super) fn commands_with_rules() -> Vec<(Command, &'static [super::Rule])> {
    use super::tool::Tool;
    let rules = [
        produce::Args::rules(),
        consume::Args::rules(),
        topics::Args::rules(),
        groups::Args::rules(),
        broker::Args::rules(),
    ];
    commands().into_iter().zip(rules).collect()
}

/// Every completion: `bash/mq-topics`, `zsh/_mq-topics`, `fish/mq-topics.fish` and so on.
pub fn completions() -> BTreeMap<String, Vec<u8>> {
    let mut scripts = BTreeMap::new();
    for command in commands() {
        let tool = command.get_name();
        for (shell, path) in [
            (Shell::Bash, format!("bash/{tool}")),
            (Shell::Zsh, format!("zsh/_{tool}")),
            (Shell::Fish, format!("fish/{tool}.fish")),
        ] {
            scripts.insert(path, shell.script(tool).into_bytes());
        }
    }
    scripts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_sound() {
        for command in commands() {
            command.debug_assert();
        }
    }
}
