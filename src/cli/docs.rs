//! Man pages and completions, made from the tools' own arguments.
//!
//! Pure: what is made is handed back by name, for a test that compares it with the files that are
//! committed (or writes them, when asked to).

use std::collections::BTreeMap;
use std::io::Write;

use clap::{Command, CommandFactory};
use clap_mangen::Man;

use super::complete::Shell;
use super::{broker, consume, groups, produce, topics};
use crate::error::{Error, Result};

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

/// Every man page: `mq-topics.1`, `mq-topics-create.1` and so on, with its text in roff.
///
/// # Errors
/// [`Kind::Io`](crate::error::Kind::Io), if a page cannot be rendered.
pub fn man_pages() -> Result<BTreeMap<String, Vec<u8>>> {
    let mut pages = BTreeMap::new();
    for command in commands() {
        let mut command = command.disable_help_subcommand(true);
        command.build();
        let mut names = vec![command.get_name().to_owned()];
        for sub in command.get_subcommands() {
            names.extend(sub.get_display_name().map(str::to_owned));
        }
        for page in command.get_subcommands().chain([&command]) {
            let man = Man::new(page.clone())
                .manual("mq manual")
                .source(concat!("mq ", env!("CARGO_PKG_VERSION")));
            let text = man_page(&man, page, &names)
                .map_err(|e| Error::io("render", man.get_filename(), e))?;
            pages.insert(man.get_filename(), text);
        }
    }
    Ok(pages)
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

/// One page. `siblings` are the pages of the same tool.
fn man_page(man: &Man, command: &Command, siblings: &[String]) -> std::io::Result<Vec<u8>> {
    let mut text = Vec::new();
    man.render_title(&mut text)?;
    let mut section = |render: &dyn Fn(&mut dyn Write) -> std::io::Result<()>| {
        let mut part = Vec::new();
        render(&mut part)?;
        // Each part repeats the definition of the apostrophe that the title begins with.
        let body = part.strip_prefix(PREAMBLE.as_bytes()).unwrap_or(&part);
        text.extend(body);
        Ok::<(), std::io::Error>(())
    };
    section(&|w| man.render_name_section(w))?;
    section(&|w| man.render_synopsis_section(w))?;
    section(&|w| man.render_description_section(w))?;
    if command.get_arguments().any(|arg| !arg.is_hide_set()) {
        section(&|w| man.render_options_section(w))?;
    }
    if command.has_subcommands() {
        section(&|w| man.render_subcommands_section(w))?;
    }
    let help = command
        .get_after_long_help()
        .or_else(|| command.get_after_help())
        .map(ToString::to_string)
        .unwrap_or_default();
    let (fields, examples) = help.split_once("Examples:\n").unwrap_or(("", &help));
    if !fields.is_empty() {
        text.extend(as_it_stands("FIELDS", fields.trim_end()).bytes());
    }
    text.extend(as_it_stands("EXAMPLES", examples).bytes());
    text.extend(see_also(command, siblings).bytes());
    Ok(text)
}

/// What every part rendered by itself begins with.
const PREAMBLE: &str = ".ie \\n(.g .ds Aq \\(aq\n.el .ds Aq '\n";

/// A part of the help, line by line as it stands there.
fn as_it_stands(title: &str, part: &str) -> String {
    let mut text = format!(".SH {title}\n.nf\n");
    for line in part.lines() {
        let line = line.strip_prefix("  ").unwrap_or(line);
        text.push_str(&roff_literal(line));
        text.push('\n');
    }
    text.push_str(".fi\n");
    text
}

fn see_also(command: &Command, siblings: &[String]) -> String {
    let own = command
        .get_display_name()
        .unwrap_or_else(|| command.get_name());
    let others = siblings.iter().filter(|name| *name != own);
    let mut text = String::from(".SH \"SEE ALSO\"\n");
    for name in others {
        text.push_str(&format!(".BR {} (1),\n", name.replace('-', "\\-")));
    }
    text.push_str(".BR mq (7)\n");
    text
}

/// A line that roff prints as it is, and that can be copied from the page into a shell.
fn roff_literal(line: &str) -> String {
    let escaped = line
        .replace('\\', "\\e")
        .replace('-', "\\-")
        .replace('\'', "\\(aq")
        .replace('`', "\\(ga")
        .replace('^', "\\(ha")
        .replace('~', "\\(ti");
    if escaped.starts_with('.') {
        format!("\\&{escaped}")
    } else {
        escaped
    }
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

    #[test]
    fn examples_are_printed_as_they_are() {
        assert_eq!(
            roff_literal(".a -c 'x\\n' ~/b"),
            "\\&.a \\-c \\(aqx\\en\\(aq \\(ti/b"
        );
    }
}
