//! `--help-json`: a command, its arguments and its subcommands, as one JSON object for programs.
//! All of it is generated from the tool's argument definitions.
//!
//! Frozen like the JSON of the admin tools: fields are only added, at the end; a value that is
//! unknown or does not apply is null, never absent. A type or a value may be added too.
//!
//! Invariant: the store is not looked for.

use std::any::TypeId;
use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgGroup, Command};
use serde::Serialize;

use super::Rule;
use super::argument_relations::{ArgumentRelations, is_multiple};
use super::lang::{Delimiter, parse_duration, parse_size};
use super::output::json_line;
use crate::error::Result;

/// The option on the command line.
const OPTION: &str = "--help-json";
/// Its id among the arguments of every tool.
const ID: &str = "help_json";
/// Stands for a version where a command line is parsed only to find the command that it asks about.
const MARK: &str = "?";

/// What to print, if `words` ask for it. As for `--help`, the option may stand anywhere, and asks
/// about the command before it.
pub fn asked(
    command: impl FnOnce() -> Command,
    rules: &'static [Rule],
    words: &[OsString],
) -> Option<Result<Vec<u8>>> {
    if !words.iter().any(|word| word == OPTION) {
        return None;
    }
    // Every run calls this: the command is built only if needed.
    let command = command();
    let name = command_asked_about(&command, &without_help_word(&command, words))?;
    let mut tree = command.disable_help_subcommand(true);
    tree.build();
    let found = find(&tree, &name)?;
    let mut line = Vec::new();
    Some(json_line(&CommandHelp::of(found, rules), &mut line).map(|()| line))
}

/// `mq-topics help create` asks about the same as `mq-topics create --help`; without the word
/// `help`, it can be parsed like that.
fn without_help_word(command: &Command, words: &[OsString]) -> Vec<OsString> {
    let ends_in_help = |words: &[OsString]| {
        let parsed = super::tool::dashed_values(command.clone()).try_get_matches_from(words);
        parsed.is_err_and(|e| e.kind() == ErrorKind::DisplayHelp)
    };
    let mut places = (1..words.len()).filter(|at| words[*at] == "help");
    // The word may be an option's value, or a name; behind --help nothing is read.
    let word = places.find(|at| ends_in_help(&words[..=*at]) && !ends_in_help(&words[..*at]));
    let mut words = words.to_vec();
    if let Some(at) = word.filter(|_| command.has_subcommands()) {
        words.remove(at);
    }
    words
}

/// Only clap knows whether a word is an option, an option's value or a name. So the option is
/// replaced by `--version`, whose output names the command; an earlier `--help` or `--version` ends
/// the line as usual.
fn command_asked_about(command: &Command, words: &[OsString]) -> Option<String> {
    fn mark(command: Command) -> Command {
        let marked = command.version(MARK).disable_version_flag(true);
        marked.mut_subcommands(mark)
    }
    let version = Arg::new("version").short('V').long("version");
    let command = super::tool::dashed_values(mark(command.clone()))
        .mut_arg(ID, |arg| arg.action(ArgAction::Version))
        .arg(version.action(ArgAction::Help));
    let ended = command.try_get_matches_from(words).err()?;
    if ended.kind() != ErrorKind::DisplayVersion {
        return None;
    }
    let reported = ended.render().to_string();
    Some(
        reported
            .trim_end()
            .strip_suffix(MARK)?
            .trim_end()
            .to_owned(),
    )
}

/// The command with that display name, such as `mq-topics-create`.
fn find<'a>(command: &'a Command, name: &str) -> Option<&'a Command> {
    let own = command.get_display_name();
    if own.unwrap_or_else(|| command.get_name()) == name {
        return Some(command);
    }
    command.get_subcommands().find_map(|sub| find(sub, name))
}

/// A command and its subcommands.
#[derive(Debug, Serialize)]
struct CommandHelp<'a> {
    /// `create`.
    name: &'a str,
    /// `mq-topics create`.
    command: &'a str,
    version: &'static str,
    about: Option<String>,
    /// If it says more than `about`.
    long_about: Option<String>,
    usage: String,
    aliases: Vec<&'a str>,
    arguments: Vec<ArgumentHelp<'a>>,
    groups: Vec<GroupHelp<'a>>,
    subcommands: Vec<CommandHelp<'a>>,
    /// The end of `--help`: fields of templates, examples.
    after_help: Option<String>,
    /// The examples, one line each.
    examples: Vec<String>,
}

/// An option, a flag, or a positional argument.
#[derive(Debug, Serialize)]
struct ArgumentHelp<'a> {
    /// Unique in its command.
    id: &'a str,
    /// The option, such as `--topic`, or the positional argument's name in the usage: `TOPIC`.
    name: String,
    long: Option<String>,
    short: Option<String>,
    aliases: Vec<String>,
    value_names: Vec<&'a str>,
    #[serde(rename = "type")]
    kind: &'static str,
    possible_values: Option<Vec<ValueHelp>>,
    default: Option<String>,
    /// The default as the help states it, which may not be a value: `all`.
    default_text: Option<String>,
    /// The environment variable for the default.
    env: Option<String>,
    required: bool,
    repeatable: bool,
    /// The position of a positional argument, from 1.
    index: Option<usize>,
    /// Whether every command of the tool has it.
    global: bool,
    heading: Option<&'a str>,
    help: Option<String>,
    /// If it says more than `help`.
    long_help: Option<String>,
    /// The ids of the arguments that it conflicts with.
    conflicts: Vec<&'a str>,
    /// The ids of the arguments that it requires.
    requires: Vec<&'a str>,
    /// The ids of arguments of which it requires one; empty: none.
    requires_one_of: Vec<&'a str>,
}

#[derive(Debug, Serialize)]
struct ValueHelp {
    value: String,
    help: Option<String>,
}

/// Arguments of which one is required, or at most one is allowed.
#[derive(Debug, Serialize)]
struct GroupHelp<'a> {
    id: &'a str,
    required: bool,
    /// Whether more than one may be given.
    multiple: bool,
    /// The arguments' ids.
    arguments: Vec<&'a str>,
}

impl<'a> CommandHelp<'a> {
    /// Describes a command that was built, so that it has the options of every tool.
    fn of(command: &'a Command, rules: &'static [Rule]) -> Self {
        let relations = ArgumentRelations::of(command, rules);
        let usage = command.clone().render_usage().to_string();
        let about = command.get_about().map(ToString::to_string);
        let long = command.get_long_about().map(ToString::to_string);
        let after = command.get_after_long_help();
        let after = after.or_else(|| command.get_after_help());
        let after_help = after.map(ToString::to_string);
        let shown = |arg: &&Arg| !arg.is_hide_set();
        let subcommands = command.get_subcommands().filter(|sub| !sub.is_hide_set());
        CommandHelp {
            name: command.get_name(),
            command: command.get_bin_name().unwrap_or_else(|| command.get_name()),
            version: env!("CARGO_PKG_VERSION"),
            long_about: long.filter(|long| about.as_ref() != Some(long)),
            about,
            usage: usage.trim_start_matches("Usage: ").to_owned(),
            aliases: command.get_visible_aliases().collect(),
            arguments: command
                .get_arguments()
                .filter(shown)
                .map(|arg| ArgumentHelp::of(arg, &relations))
                .collect(),
            groups: groups(command),
            subcommands: subcommands.map(|sub| CommandHelp::of(sub, rules)).collect(),
            examples: after_help.as_deref().map(examples).unwrap_or_default(),
            after_help,
        }
    }
}

fn examples(help: &str) -> Vec<String> {
    let (_, examples) = help.split_once("Examples:\n").unwrap_or_default();
    let lines = examples
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty());
    lines.map(str::to_owned).collect()
}

/// The groups that state a rule: clap also makes one of each struct of shared arguments.
fn groups(command: &Command) -> Vec<GroupHelp<'_>> {
    let said = |group: &&ArgGroup| group.is_required_set() || !is_multiple(group);
    let of = |group: &'_ ArgGroup| (group.is_required_set(), is_multiple(group));
    let shown = command.get_groups().filter(said);
    shown
        .map(|group| {
            let (required, multiple) = of(group);
            GroupHelp {
                id: group.get_id().as_str(),
                required,
                multiple,
                arguments: group.get_args().map(clap::Id::as_str).collect(),
            }
        })
        .collect()
}

impl<'a> ArgumentHelp<'a> {
    fn of(arg: &'a Arg, relations: &ArgumentRelations<'a>) -> Self {
        let takes_value = arg.get_action().takes_values();
        let long = arg.get_long().map(|long| format!("--{long}"));
        let short = arg.get_short().map(|short| format!("-{short}"));
        let value_names: Vec<&str> = if takes_value {
            let names = arg.get_value_names().unwrap_or_default();
            names.iter().map(clap::builder::Str::as_str).collect()
        } else {
            Vec::new()
        };
        let named = value_names
            .first()
            .copied()
            .unwrap_or(arg.get_id().as_str());
        let name = long.clone().or_else(|| short.clone());
        let help = arg.get_help().map(ToString::to_string);
        let long_help = arg.get_long_help().map(ToString::to_string);
        let default = arg.get_default_values().first().filter(|_| takes_value);
        let default = default.map(|value| value.to_string_lossy().into_owned());
        let default_text = help.as_deref().and_then(default_text);
        let reported = || {
            default_text
                .clone()
                .filter(|text| is_value(arg, named, text))
        };
        let default = default.or_else(reported);
        let may_repeat = matches!(arg.get_action(), ArgAction::Append | ArgAction::Count);
        let takes_more = arg.get_num_args().is_some_and(|n| n.max_values() > 1);
        ArgumentHelp {
            id: arg.get_id().as_str(),
            name: name.unwrap_or_else(|| named.to_owned()),
            aliases: aliases(arg),
            kind: kind(arg, named),
            possible_values: possible_values(arg),
            default,
            env: default_text.as_deref().and_then(variable),
            default_text,
            required: arg.is_required_set(),
            repeatable: may_repeat || takes_more,
            index: arg.get_index(),
            global: arg.is_global_set(),
            heading: arg.get_help_heading(),
            long_help: long_help.filter(|long| help.as_ref() != Some(long)),
            help,
            conflicts: relations.conflicts(arg),
            requires: relations.requires(arg),
            requires_one_of: relations.requires_one_of(arg),
            long,
            short,
            value_names,
        }
    }
}

fn aliases(arg: &Arg) -> Vec<String> {
    let long = arg.get_visible_aliases().unwrap_or_default();
    let short = arg.get_visible_short_aliases().unwrap_or_default();
    let long = long.into_iter().map(|alias| format!("--{alias}"));
    let short = short.into_iter().map(|alias| format!("-{alias}"));
    long.chain(short).collect()
}

/// The type of a value. The parser tells numbers and paths apart; for other values, which are text
/// to clap, the value's name says the type.
fn kind(arg: &Arg, value_name: &str) -> &'static str {
    if !arg.get_action().takes_values() {
        return "boolean";
    }
    let parsed = arg.get_value_parser().type_id();
    let is_one_of = |types: &[TypeId]| types.iter().any(|one| parsed == *one);
    let integers = [
        TypeId::of::<u8>(),
        TypeId::of::<u16>(),
        TypeId::of::<u32>(),
        TypeId::of::<u64>(),
        TypeId::of::<usize>(),
        TypeId::of::<i32>(),
        TypeId::of::<i64>(),
    ];
    let bytes = parsed == TypeId::of::<OsString>();
    if is_one_of(&integers) {
        return "integer";
    } else if is_one_of(&[TypeId::of::<f32>(), TypeId::of::<f64>()]) {
        return "number";
    } else if parsed == TypeId::of::<PathBuf>() {
        return "path";
    } else if !bytes && parsed != TypeId::of::<String>() {
        return "string";
    }
    match value_name {
        "N" | "ID" => "integer",
        "DURATION" => "duration",
        "BYTES" | "RATE" => "size",
        "TIME" => "time",
        "POINT" => "point",
        "RANGE" => "range",
        "REGEX" => "regex",
        "TEMPLATE" => "template",
        "TOPIC" => "topic",
        "T:P" => "partition",
        "GROUP" | "OTHER" => "group",
        _ if bytes => "bytes",
        _ => "string",
    }
}

/// The possible values, if they can be listed; `None`: any of its type.
fn possible_values(arg: &Arg) -> Option<Vec<ValueHelp>> {
    let values = arg.get_possible_values();
    let shown = values.iter().filter(|value| !value.is_hide_set());
    let all: Vec<ValueHelp> = shown
        .map(|value| ValueHelp {
            value: value.get_name().to_owned(),
            help: value.get_help().map(ToString::to_string),
        })
        .collect();
    (arg.get_action().takes_values() && !all.is_empty()).then_some(all)
}

/// The text in `[default: ...]`.
fn default_text(help: &str) -> Option<String> {
    let (_, text) = help.split_once("[default: ")?;
    text.split_once(']').map(|(text, _)| text.to_owned())
}

/// The first variable in the text of a default.
fn variable(text: &str) -> Option<String> {
    let (_, name) = text.split_once('$')?;
    let is_in_name = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    let name: String = name.chars().take_while(|c| is_in_name(*c)).collect();
    Some(name).filter(|name| !name.is_empty())
}

/// Whether the text of a default is a value that could be typed: it may also be `all`, or say that
/// the default comes from elsewhere.
fn is_value(arg: &Arg, value_name: &str, text: &str) -> bool {
    let values = arg.get_possible_values();
    if !values.is_empty() {
        return values.iter().any(|value| value.matches(text, false));
    }
    match (kind(arg, value_name), value_name) {
        ("integer", _) => text.parse::<u64>().is_ok(),
        ("number", _) => text.parse::<f64>().is_ok(),
        ("duration", _) => parse_duration(text).is_ok(),
        ("size", _) => parse_size(text).is_ok(),
        // Standard input; no other path is a default.
        ("path", _) => text == "-",
        (_, "DELIM") => Delimiter::parse(value_name, text).is_ok(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked_about(line: &str) -> Option<String> {
        let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        let commands = crate::cli::docs::commands();
        let tool = line.split(' ').next().expect("a tool");
        let command = commands.into_iter().find(|c| c.get_name() == tool);
        let line = asked(|| command.expect("the tool"), &[], &words)?.expect("JSON");
        let value: serde_json::Value = serde_json::from_slice(&line).expect("JSON");
        Some(value["command"].as_str().expect("a command").to_owned())
    }

    #[test]
    fn it_is_asked_for_where_help_would_be_seen() {
        for (line, of) in [
            ("mq-produce --help-json", "mq-produce"),
            ("mq-topics --help-json", "mq-topics"),
            ("mq-topics --help-json create", "mq-topics"),
            ("mq-topics -q create --help-json", "mq-topics create"),
            ("mq-topics create a -p 3 --help-json b", "mq-topics create"),
            (
                "mq-groups delete-offsets --help-json",
                "mq-groups delete-offsets",
            ),
            ("mq-consume t --help-json --help", "mq-consume"),
            ("mq-topics help --help-json", "mq-topics"),
            ("mq-topics help create --help-json", "mq-topics create"),
            (
                "mq-topics -q --store help help create --help-json",
                "mq-topics create",
            ),
            ("mq-topics --help-json help create", "mq-topics"),
            ("mq-topics describe help --help-json", "mq-topics describe"),
            ("mq-consume help --help-json", "mq-consume"),
        ] {
            assert_eq!(asked_about(line).as_deref(), Some(of), "{line}");
        }
        for line in [
            "mq-topics create",
            "mq-topics --help --help-json",
            "mq-topics --version --help-json",
            "mq-consume --grep --help-json t",
            "mq-produce t -- --help-json",
            "mq-produce --no-such-option --help-json",
            "mq-topics nope --help-json",
            "mq-topics help nope --help-json",
            "mq-topics --help help create --help-json",
        ] {
            assert_eq!(asked_about(line), None, "{line}");
        }
    }

    #[test]
    fn what_clap_does_not_say_is_in_the_help() {
        let store = "The store [default: $MQ_STORE, else ~/.local]";
        let text = default_text(store).expect("a default");
        assert_eq!(text, "$MQ_STORE, else ~/.local");
        assert_eq!(variable(&text).as_deref(), Some("MQ_STORE"));
        assert_eq!(default_text("The groups"), None);
        assert_eq!(variable("all $"), None);
        let help = "Fields:\n  %k\n\nExamples:\n  a b\n\n  c\n";
        assert_eq!(examples(help), ["a b", "c"]);
    }
}
