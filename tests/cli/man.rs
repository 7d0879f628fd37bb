//! Man pages, made from the tools' own arguments.

use std::collections::BTreeMap;
use std::io::{self, Write};

use clap::{Arg, ArgAction, ArgGroup, Command, Id};
use clap_mangen::Man;
use mq::cli::docs::commands;

/// Every man page: `mq-topics.1`, `mq-topics-create.1` and so on, with its text in roff.
///
/// # Errors
/// If a page cannot be rendered.
pub fn man_pages() -> io::Result<BTreeMap<String, Vec<u8>>> {
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
            let text = man_page(&man, page, &names)?;
            pages.insert(man.get_filename(), text);
        }
    }
    Ok(pages)
}

/// One page. `siblings` are the pages of the same tool.
fn man_page(man: &Man, command: &Command, siblings: &[String]) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    man.render_title(&mut text)?;
    let mut section = |render: &dyn Fn(&mut dyn Write) -> io::Result<()>| {
        let mut part = Vec::new();
        render(&mut part)?;
        // Each part repeats the definition of the apostrophe that the title begins with.
        let body = part.strip_prefix(PREAMBLE.as_bytes()).unwrap_or(&part);
        text.extend(body);
        Ok::<(), io::Error>(())
    };
    section(&|w| man.render_name_section(w))?;
    section(&|w| w.write_all(synopsis(command).as_bytes()))?;
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
        text.extend(as_is("FIELDS", fields.trim_end()).bytes());
    }
    text.extend(as_is("EXAMPLES", examples).bytes());
    text.extend(see_also(command, siblings).bytes());
    Ok(text)
}

/// How the command is typed: each option with what stands for its value, `...` where more may follow.
/// What belongs together stays on one line.
fn synopsis(command: &Command) -> String {
    let name = command.get_bin_name().unwrap_or_else(|| command.get_name());
    let mut text = format!(".SH SYNOPSIS\n.nh\n.ad l\n\\fB{}\\fR", unbroken(name));
    let shown = command.get_arguments().filter(|arg| !arg.is_hide_set());
    let (arguments, options): (Vec<&Arg>, Vec<&Arg>) = shown.partition(|arg| arg.is_positional());
    let mut grouped: Vec<&Id> = Vec::new();
    for arg in options.into_iter().chain(arguments) {
        let mut groups = command.get_groups().filter(|group| group.is_required_set());
        let group = groups.find(|group| group.get_args().any(|id| id == arg.get_id()));
        if let Some(group) = group {
            if !grouped.contains(&group.get_id()) {
                grouped.push(group.get_id());
                text.push('\n');
                text.push_str(&one_of(command, group));
            }
            continue;
        }
        text.push('\n');
        text.push_str(&typed(arg));
    }
    if command.has_subcommands() {
        text.push_str("\n\\fICOMMAND\\fR ...");
    }
    text.push_str("\n.ad b\n.hy\n");
    text
}

/// `{--to POINT | --by N}`: the options of a group of which one is required; `...` where more than
/// one may be given.
fn one_of(command: &Command, group: &ArgGroup) -> String {
    let members = group.get_args().filter_map(|id| {
        let mut all = command.get_arguments();
        all.find(|arg| arg.get_id() == id && !arg.is_hide_set())
    });
    let members: Vec<String> = members.map(|arg| bare(arg) + dots(arg)).collect();
    let more = if group.clone().is_multiple() {
        "..."
    } else {
        ""
    };
    format!("{{{}}}{more}", members.join(" |\n"))
}

/// `[-p LIST]`, `TOPIC...` and the like.
fn typed(arg: &Arg) -> String {
    let (text, dots) = (bare(arg), dots(arg));
    if arg.is_required_set() {
        format!("{text}{dots}")
    } else {
        format!("[{text}]{dots}")
    }
}

fn dots(arg: &Arg) -> &'static str {
    let takes_more = arg.get_num_args().is_some_and(|n| n.max_values() > 1);
    if takes_more || matches!(arg.get_action(), ArgAction::Append) {
        "..."
    } else {
        ""
    }
}

/// `-p LIST`.
fn bare(arg: &Arg) -> String {
    let mut parts = Vec::new();
    let short = arg.get_short().map(|short| format!("-{short}"));
    let long = arg.get_long().map(|long| format!("--{long}"));
    if let Some(option) = short.or(long) {
        parts.push(format!("\\fB{}\\fR", unbroken(&option)));
    }
    if arg.is_positional() || arg.get_action().takes_values() {
        let names = arg.get_value_names().unwrap_or_default();
        parts.extend(
            names
                .iter()
                .map(|name| format!("\\fI{}\\fR", unbroken(name))),
        );
    }
    parts.join("\\ ")
}

/// A word that roff neither changes nor breaks.
fn unbroken(word: &str) -> String {
    roff_literal(word).replace(' ', "\\ ")
}

/// What every part rendered by itself begins with.
const PREAMBLE: &str = ".ie \\n(.g .ds Aq \\(aq\n.el .ds Aq '\n";

/// A part of the help, line by line as it stands there.
fn as_is(title: &str, part: &str) -> String {
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

/// A reader of the line sees what each option takes, and what may come more than once.
#[test]
fn a_synopsis_shows_the_values() {
    for (tool, line) in [
        ("mq-consume", r"[\fB\-o\fR\ \fIRANGE\fR]"),
        ("mq-consume", r"[\fB\-e\fR]"),
        ("mq-consume", r"\fIT[:P]|GLOB\fR..."),
        ("mq-produce", r"[\fB\-D\fR\ \fIDELIM\fR]"),
        ("mq-produce", r"[\fB\-H\fR\ \fINAME[=VALUE]\fR]..."),
        ("mq-produce", r"[\fIFILE\fR]..."),
        ("mq-topics", r"\fICOMMAND\fR ..."),
    ] {
        let mut all = commands().into_iter();
        let command = all.find(|c| c.get_name() == tool).expect("a tool");
        let text = synopsis(&command);
        assert!(text.lines().any(|one| one == line), "{line}: {text}");
    }
}

/// A reader of the line sees that one of several options is required.
#[test]
fn a_synopsis_shows_what_is_required() {
    for (tool, sub, part) in [
        (
            "mq-groups",
            "reset",
            "\n{\\fB\\-\\-to\\fR\\ \\fIPOINT\\fR |\n\\fB\\-\\-by\\fR\\ \\fIN\\fR |\n",
        ),
        (
            "mq-groups",
            "check",
            "\n{\\fB\\-\\-warn\\fR\\ \\fIN|DURATION\\fR |\n\\fB\\-\\-critical\\fR\\ \\fIN|DURATION\\fR}...\n",
        ),
        (
            "mq-groups",
            "alter",
            "\n{\\fB\\-c\\fR\\ \\fIKEY=VALUE\\fR... |\n\\fB\\-\\-unset\\fR\\ \\fIKEY\\fR...}...\n",
        ),
        ("mq-topics", "dump", "\\fB\\-\\-file\\fR\\ \\fI"),
    ] {
        let mut all = commands().into_iter();
        let mut command = all.find(|c| c.get_name() == tool).expect("a tool");
        command.build();
        let text = synopsis(command.find_subcommand(sub).expect("a command"));
        assert!(text.contains(part), "{sub}: {text}");
        assert!(
            !text.contains(&format!("[{}", part.trim())),
            "{sub}: {text}"
        );
    }
}

#[test]
fn examples_are_printed_as_they_are() {
    assert_eq!(
        roff_literal(".a -c 'x\\n' ~/b"),
        "\\&.a \\-c \\(aqx\\en\\(aq \\(ti/b"
    );
}
