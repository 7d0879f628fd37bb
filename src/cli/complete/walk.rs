//! What the word at the cursor may be: the words before it are read as clap will read them.
//!
//! clap's own parser stops at the first error, and does not say what may follow.

use std::collections::HashSet;

use clap::{Arg, Command};

use super::shells::Offer;

/// What the word at the cursor may be.
#[derive(Debug)]
pub struct CursorWord<'a> {
    /// The command or subcommand that the word belongs to.
    command: &'a Command,
    /// The arguments of which it may be a value.
    pub values: Vec<CursorValue<'a>>,
    /// Whether it may be an option or a subcommand.
    is_name: bool,
}

/// A value of an argument.
#[derive(Debug, PartialEq)]
pub struct CursorValue<'a> {
    /// The argument.
    pub arg: &'a Arg,
    /// Where in its word the value begins: behind `--option=` or `-o`.
    pub begin: usize,
    /// Whether a dash at the begin of the word would make it an option.
    pub is_dash_special: bool,
}

impl<'a> CursorWord<'a> {
    /// What `current` may be behind these words; `command` has been built.
    pub fn of(command: &'a Command, words: &[String], current: &str) -> Self {
        let mut walk = LineWalk::new(command);
        for word in words {
            walk.pass(word);
        }
        walk.end(current)
    }

    /// The subcommands and options that begin with `current`.
    pub fn names(&self, current: &str) -> Vec<Offer> {
        if !self.is_name {
            return Vec::new();
        }
        let mut offers = subcommands(self.command, current);
        offers.extend(options(self.command, current));
        offers
    }
}

/// How the words so far are understood.
struct LineWalk<'a> {
    command: &'a Command,
    /// An option that takes a value, and how many it got.
    open: Option<(&'a Arg, usize)>,
    /// The index of the next positional argument, from 1, and how many values it got.
    index: usize,
    count: usize,
    /// Whether all words from here on are positional.
    is_escaped: bool,
}

impl<'a> LineWalk<'a> {
    fn new(command: &'a Command) -> Self {
        LineWalk {
            command,
            open: None,
            index: 1,
            count: 0,
            is_escaped: false,
        }
    }

    fn pass(&mut self, word: &str) {
        match self.open.take() {
            Some((option, count)) if word == "-" || accepts(option, word) => {
                let is_more = count + 1 < most(option);
                self.open = is_more.then_some((option, count + 1));
            }
            _ if self.is_escaped => self.pass_positional(),
            _ if word == "--" => self.is_escaped = true,
            _ => match (self.command.find_subcommand(word), word) {
                (Some(command), _) => *self = LineWalk::new(command),
                (None, "-") => self.pass_positional(),
                _ if word.starts_with('-') => match option(self.command, word) {
                    Some((option, None)) if takes_value(option) => self.open = Some((option, 0)),
                    Some(_) => {}
                    None if self.accepts_positional(word) => self.pass_positional(),
                    // An unknown option is clap's to refuse.
                    None => {}
                },
                _ => self.pass_positional(),
            },
        }
    }

    fn positional(&self) -> Option<&'a Arg> {
        let mut all = self.command.get_positionals();
        all.find(|arg| arg.get_index() == Some(self.index))
    }

    fn accepts_positional(&self, word: &str) -> bool {
        self.positional().is_some_and(|arg| accepts(arg, word))
    }

    fn pass_positional(&mut self) {
        let arg = self.positional();
        self.is_escaped |= arg.is_some_and(Arg::is_trailing_var_arg_set);
        self.count += 1;
        if self.count >= arg.map_or(1, most) {
            self.index += 1;
            self.count = 0;
        }
    }

    /// What the word at the cursor may be.
    fn end(self, current: &str) -> CursorWord<'a> {
        let mut values = Vec::new();
        let mut is_free = true;
        if let Some((arg, count)) = self.open {
            is_free = count >= least(arg);
            values.push(CursorValue {
                arg,
                begin: 0,
                is_dash_special: !arg.is_allow_hyphen_values_set(),
            });
        }
        let accepts = |arg: &&Arg| self.is_escaped || accepts(arg, current);
        if is_free && let Some(arg) = self.positional().filter(accepts) {
            values.push(CursorValue {
                arg,
                begin: 0,
                is_dash_special: !self.is_escaped && !arg.is_allow_hyphen_values_set(),
            });
        }
        let is_name = is_free && !self.is_escaped;
        if is_name && let Some((arg, begin)) = valued(self.command, current) {
            values.push(CursorValue {
                arg,
                begin,
                is_dash_special: false,
            });
        }
        CursorWord {
            command: self.command,
            values,
            is_name,
        }
    }
}

/// Whether a word may be the value of this argument, for its first character.
fn accepts(arg: &Arg, word: &str) -> bool {
    match word.strip_prefix('-') {
        None => true,
        Some(rest) => {
            let is_number = rest.starts_with(|c: char| c.is_ascii_digit());
            arg.is_allow_hyphen_values_set() || is_number && arg.is_allow_negative_numbers_set()
        }
    }
}

fn takes_value(arg: &Arg) -> bool {
    arg.get_action().takes_values()
}

/// The number of values that it needs at least each time.
fn least(arg: &Arg) -> usize {
    arg.get_num_args().map_or(1, |range| range.min_values())
}

/// The number of values that it takes at most each time.
fn most(arg: &Arg) -> usize {
    arg.get_num_args().map_or(1, |range| range.max_values())
}

/// The option that a word names, or the last one of several as in `-qp2`, and where in the word its
/// value begins; `None`: one of them is unknown.
fn option<'a>(command: &'a Command, word: &str) -> Option<(&'a Arg, Option<usize>)> {
    if let Some(name) = word.strip_prefix("--") {
        let (name, value) = match name.split_once('=') {
            None => (name, None),
            Some((name, _)) => (name, Some("--=".len() + name.len())),
        };
        let has_name = |arg: &&Arg| longs(arg).contains(&name);
        return Some((command.get_arguments().find(has_name)?, value));
    }
    let mut last = None;
    for (at, c) in word.char_indices().skip(1) {
        let arg = command.get_arguments().find(|arg| shorts(arg).contains(&c));
        let arg = arg?;
        let behind = at + c.len_utf8();
        if takes_value(arg) && behind < word.len() {
            let is_equals = word[behind..].starts_with('=');
            return Some((arg, Some(behind + usize::from(is_equals))));
        }
        last = Some((arg, None));
    }
    last
}

/// The option whose value is in this word, and where it begins.
fn valued<'a>(command: &'a Command, word: &str) -> Option<(&'a Arg, usize)> {
    if !word.starts_with('-') {
        return None;
    }
    let (arg, begin) = option(command, word).filter(|(arg, _)| takes_value(arg))?;
    // The value of a short option may follow directly.
    let behind = (!word.starts_with("--")).then_some(word.len());
    Some((arg, begin.or(behind)?))
}

fn longs(arg: &Arg) -> Vec<&str> {
    arg.get_long_and_visible_aliases().unwrap_or_default()
}

fn shorts(arg: &Arg) -> Vec<char> {
    arg.get_short_and_visible_aliases().unwrap_or_default()
}

fn subcommands(command: &Command, current: &str) -> Vec<Offer> {
    let shown = command.get_subcommands().filter(|sub| !sub.is_hide_set());
    let mut shown: Vec<&Command> = shown.collect();
    shown.sort_by_key(|sub| sub.get_display_order());
    let offer = |sub: &Command| {
        let mut names = sub.get_name_and_visible_aliases().into_iter();
        let name = names.find(|name| name.starts_with(current))?;
        let help = sub.get_about().map(ToString::to_string);
        Some(Offer::new(name.to_owned(), help))
    };
    shown.into_iter().filter_map(offer).collect()
}

/// Each option once, in the order of the help. The short names of others continue short ones.
fn options(command: &Command, current: &str) -> Vec<Offer> {
    let all = || command.get_arguments().filter(|arg| !arg.is_hide_set());
    let long = |arg: &'_ Arg| {
        let names = longs(arg).into_iter().map(|name| format!("--{name}"));
        names.into_iter().find(|name| name.starts_with(current))
    };
    let long = all().filter_map(|arg| Some((arg, long(arg)?)));
    let before = if current.is_empty() { "-" } else { current };
    let short = all().filter_map(|arg| Some((arg, format!("{before}{}", shorts(arg).first()?))));
    let mut named: Vec<(&Arg, String)> = match current {
        "" => long.chain(short).collect(),
        "-" => short.chain(long).collect(),
        _ if current.starts_with("--") => long.collect(),
        _ if !current.starts_with('-') => Vec::new(),
        _ => match option(command, current) {
            Some((flag, None)) if !takes_value(flag) => short.collect(),
            _ => Vec::new(),
        },
    };
    let mut seen = HashSet::new();
    named.retain(|(arg, _)| seen.insert(arg.get_id()));
    let mut headings = Vec::new();
    for (arg, _) in &named {
        if !headings.contains(&arg.get_help_heading()) {
            headings.push(arg.get_help_heading());
        }
    }
    named.sort_by_key(|(arg, _)| {
        let heading = arg.get_help_heading();
        let heading = headings.iter().position(|other| *other == heading);
        (heading, arg.get_display_order())
    });
    let offer = |(arg, name): (&Arg, String)| {
        let help = arg.get_help().map(ToString::to_string);
        Offer {
            is_option: true,
            ..Offer::new(name, help)
        }
    };
    named.into_iter().map(offer).collect()
}

#[cfg(test)]
mod tests;
