//! Which arguments of a command require each other, and which conflict: by clap's definitions, by
//! the tool's [`Rule`]s, and by what follows from these.

use std::collections::{BTreeMap, BTreeSet};

use clap::builder::ValueParser;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgGroup, Command};

use super::Rule;
use super::rules::{COMMON, How};

/// The relations between the arguments of a command.
pub struct ArgumentRelations<'a> {
    command: &'a Command,
    /// For each argument, those that it requires.
    needed: BTreeMap<&'a str, BTreeSet<&'a str>>,
    /// For each argument, sets of which it requires one.
    one_of: BTreeMap<&'a str, &'static [&'static str]>,
    /// Conflicting pairs, in both orders.
    refused: BTreeSet<(&'a str, &'a str)>,
}

impl<'a> ArgumentRelations<'a> {
    /// The relations of a command that was built.
    pub fn of(command: &'a Command, rules: &'static [Rule]) -> Self {
        let mut relations = ArgumentRelations {
            command,
            needed: needed(command),
            one_of: BTreeMap::new(),
            refused: refused(command),
        };
        for rule in rules.iter().chain(&COMMON).filter(|r| r.is_of(command)) {
            match rule.how {
                How::Needs([one]) => {
                    relations.needed.entry(rule.arg).or_default().insert(one);
                }
                How::Needs(others) => {
                    relations.one_of.insert(rule.arg, others);
                }
                How::Refuses(others) | How::RefusesAsRead(others) => {
                    let pairs = others
                        .iter()
                        .flat_map(|id| [(rule.arg, *id), (*id, rule.arg)]);
                    relations.refused.extend(pairs);
                }
            }
        }
        relations
    }

    /// The ids of the arguments that conflict with this one, also because one of the two requires
    /// an argument that conflicts with the other.
    pub fn conflicts(&self, arg: &Arg) -> Vec<&'a str> {
        let own = arg.get_id().as_str();
        self.others(|other| other != own && self.is_refused(own, other))
    }

    /// The ids of the arguments that it requires.
    pub fn requires(&self, arg: &Arg) -> Vec<&'a str> {
        let own = arg.get_id().as_str();
        let all = self.with_needed(own);
        self.others(|other| other != own && all.contains(other))
    }

    /// The ids of the arguments of which it requires one.
    pub fn requires_one_of(&self, arg: &Arg) -> Vec<&'a str> {
        let of = self.one_of.get(arg.get_id().as_str());
        let of = of.copied().unwrap_or_default();
        self.others(|other| of.contains(&other))
    }

    fn others(&self, is_one: impl Fn(&str) -> bool) -> Vec<&'a str> {
        let shown = self.command.get_arguments().filter(|a| !a.is_hide_set());
        let ids = shown.map(|arg| arg.get_id().as_str());
        ids.filter(|id| is_one(id)).collect()
    }

    /// The argument and all that it requires, directly or not.
    fn with_needed<'b>(&self, id: &'b str) -> BTreeSet<&'b str>
    where
        'a: 'b,
    {
        let mut all = BTreeSet::from([id]);
        let mut left = vec![id];
        while let Some(id) = left.pop() {
            let needed = self.needed.get(id).into_iter().flatten();
            left.extend(needed.filter(|id| all.insert(id)));
        }
        all
    }

    fn is_refused(&self, a: &str, b: &str) -> bool {
        let (a, b) = (self.with_needed(a), self.with_needed(b));
        self.are_refused(&a, &b) || self.are_refused(&b, &a)
    }

    /// Whether one of `a` conflicts with one of `b`, or every alternative that one of `a` requires
    /// does.
    fn are_refused(&self, a: &BTreeSet<&str>, b: &BTreeSet<&str>) -> bool {
        let is_refused = |id: &str| b.iter().any(|other| self.refused.contains(&(id, other)));
        let has_no_choice = |id: &&str| {
            let choice = self.one_of.get(*id);
            choice.is_some_and(|choice| choice.iter().all(|id| is_refused(id)))
        };
        a.iter().any(|id| is_refused(id)) || a.iter().any(has_no_choice)
    }
}

/// clap does not list what an argument requires. So each argument is parsed alone: what is missing
/// then is required by it, unless it is always missing.
fn needed(command: &Command) -> BTreeMap<&str, BTreeSet<&str>> {
    let any_value = |arg: Arg| {
        if arg.get_action().takes_values() {
            arg.value_parser(ValueParser::os_string())
        } else {
            arg
        }
    };
    let probe = command.clone().mut_args(any_value);
    let missing = |given: &[String]| -> BTreeSet<String> {
        let name = [command.get_name().to_owned()];
        let words = name.iter().chain(given);
        let Err(e) = probe.clone().try_get_matches_from(words) else {
            return BTreeSet::new();
        };
        match (e.kind(), e.get(ContextKind::InvalidArg)) {
            (ErrorKind::MissingRequiredArgument, Some(ContextValue::Strings(missing))) => {
                missing.iter().cloned().collect()
            }
            _ => BTreeSet::new(),
        }
    };
    let always = missing(&[]);
    let needed_by = |arg: &Arg| -> BTreeSet<&str> {
        let missing = missing(&words_of(arg));
        let missing: Vec<&String> = missing.difference(&always).collect();
        let is_missing = |arg: &&Arg| missing.iter().any(|reported| is_named(arg, reported));
        let all = command.get_arguments().filter(is_missing);
        all.map(|arg| arg.get_id().as_str()).collect()
    };
    let options = command.get_arguments().filter(|arg| !arg.is_positional());
    options
        .map(|arg| (arg.get_id().as_str(), needed_by(arg)))
        .collect()
}

/// The words of an option, with a value if it takes one.
fn words_of(arg: &Arg) -> Vec<String> {
    let long = arg.get_long().map(|long| format!("--{long}"));
    let short = || arg.get_short().map(|short| format!("-{short}"));
    let option = long.or_else(short);
    let value = arg.get_action().takes_values().then(|| "1".to_owned());
    option.into_iter().chain(value).collect()
}

/// Whether clap's name for a missing argument, such as `--exec <CMD>` or `<TOPIC>...`, means this
/// one.
fn is_named(arg: &Arg, reported: &str) -> bool {
    if arg.is_positional() {
        let names = arg.get_value_names().unwrap_or_default();
        let name = names.first().map(|name| format!("<{name}>"));
        return name.is_some_and(|name| reported.starts_with(&name));
    }
    let option = words_of(arg).into_iter().next();
    reported.split(' ').next() == option.as_deref()
}

/// The pairs that clap refuses, in both orders: clap's definitions name each pair once. A group may
/// allow only one of its arguments.
fn refused(command: &Command) -> BTreeSet<(&str, &str)> {
    let mut pairs = BTreeSet::new();
    for arg in command.get_arguments() {
        for other in command.get_arg_conflicts_with(arg) {
            pairs.insert((arg.get_id().as_str(), other.get_id().as_str()));
        }
    }
    for group in command.get_groups().filter(|group| !is_multiple(group)) {
        for one in group.get_args() {
            let others = group.get_args().filter(|other| *other != one);
            pairs.extend(others.map(|other| (one.as_str(), other.as_str())));
        }
    }
    let turned: Vec<_> = pairs.iter().map(|(a, b)| (*b, *a)).collect();
    pairs.extend(turned);
    pairs
}

/// Whether more than one argument of a group may be given.
pub fn is_multiple(group: &ArgGroup) -> bool {
    // clap needs it to be mutable.
    group.clone().is_multiple()
}
