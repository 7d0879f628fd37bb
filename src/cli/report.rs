//! The form of errors: a line that says what went wrong and where, and one that says what to do.

use std::ffi::OsString;
use std::io::{IsTerminal, Write};

use clap::Command;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::foreign_flags;
use super::lang::{TerminalEscaper, tsv_field};
use super::stdout::{self, Stdout};
use crate::error::{Error, Result};

/// Prints an error on stderr.
pub fn error(tool: &str, error: &Error) {
    let stderr = std::io::stderr();
    let terminal = stderr.is_terminal();
    let mut text = format!("{tool}: {}\n", plain(&error.to_string(), terminal));
    if let Some(cure) = error.cure_text() {
        text.push_str(&format!(
            "{:indent$}  {}\n",
            "",
            plain(cure, terminal),
            indent = tool.len()
        ));
    }
    // Where stderr is gone, the failure cannot be reported.
    let _ = stderr.lock().write_all(text.as_bytes());
}

/// Prints the help or the version, requested or shown for an incomplete command line.
///
/// # Errors
/// Those of standard output.
pub fn help(asked: &clap::Error) -> Result<()> {
    let (rendered, to_stderr) = (asked.render(), asked.use_stderr());
    let is_terminal = if to_stderr {
        std::io::stderr().is_terminal()
    } else {
        stdout::is_terminal()
    };
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let mut text = if is_terminal && !plain {
        rendered.ansi().to_string()
    } else {
        rendered.to_string()
    };
    if !text.ends_with('\n') {
        text.push('\n');
    }
    if to_stderr {
        let reported = std::io::stderr().write_all(text.as_bytes());
        return reported.map_err(|e| Error::io("write to", "standard error", e));
    }
    Stdout::default().print(text.as_bytes())
}

/// Prints clap's error in mq's own form. `command` is the tool's.
pub fn usage(command: &Command, error: &clap::Error, words: &[OsString]) {
    let tool = command.get_name();
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        // Where stderr is gone, the failure cannot be reported.
        let _ = help(error);
        return;
    }
    let stderr = std::io::stderr();
    let reported = if error.kind() == ErrorKind::InvalidUtf8 {
        not_text(tool, words)
    } else {
        error.render().to_string()
    };
    let unknown = unknown_word(error);
    let called = called(command, words);
    let advice = match unknown {
        Some(word) => unknown_advice(tool, called, word),
        None => conflict_advice(tool, error),
    };
    let reported = without_far_tips(&reported, unknown, tool == "mq-groups");
    let text = usage_text(tool, &reported, advice, stderr.is_terminal());
    // Where stderr is gone, the failure cannot be reported.
    let _ = stderr.lock().write_all(text.as_bytes());
}

/// The advice for an option or command that does not exist.
fn unknown_advice(tool: &str, command: Option<&str>, word: &str) -> Option<&'static str> {
    let second_name =
        || foreign_flags::second_name(tool, command).filter(|_| !word.starts_with('-'));
    foreign_flags::advice(tool, command, word).or_else(second_name)
}

/// The advice for options that conflict, or of which one requires another.
pub(super) fn conflict_advice(tool: &str, error: &clap::Error) -> Option<&'static str> {
    let all = |of: ContextKind| match error.get(of) {
        Some(ContextValue::String(one)) => std::slice::from_ref(one),
        Some(ContextValue::Strings(several)) => several.as_slice(),
        _ => &[],
    };
    let given = all(ContextKind::InvalidArg);
    match error.kind() {
        ErrorKind::ArgumentConflict => given.iter().find_map(|one| {
            let mut others = all(ContextKind::PriorArg).iter();
            others.find_map(|other| foreign_flags::unlike(tool, one, other))
        }),
        ErrorKind::MissingRequiredArgument => {
            // The last conflicting option requires those before it.
            given
                .iter()
                .rev()
                .find_map(|one| foreign_flags::missing(tool, one))
        }
        _ => None,
    }
}

/// clap does not say which argument is not text.
fn not_text(tool: &str, words: &[OsString]) -> String {
    let tip = if tool == "mq-groups" || names_group(words) {
        "names of groups and topics are UTF-8"
    } else {
        "file names and the values of -k, -H, --key and --null-marker are bytes as given; in -D, -K \
         and -f write \\xNN"
    };
    let words: Vec<String> = words
        .iter()
        .skip(1)
        .filter(|word| word.to_str().is_none())
        .map(|word| {
            let mut shown = Vec::new();
            tsv_field(word.as_encoded_bytes(), &mut shown);
            format!("'{}'", String::from_utf8_lossy(&shown))
        })
        .collect();
    let what = match words.as_slice() {
        [one] => format!("{one} is not UTF-8"),
        several => format!("one of {} has to be UTF-8 and is not", several.join(", ")),
    };
    format!("{what}\n  tip: {tip}\n")
}

/// Whether the refused word is a group's name: the value of -g or --group.
fn names_group(words: &[OsString]) -> bool {
    let refused = |word: &OsString| word.to_str().is_none();
    let joined = words.iter().filter(|word| refused(word)).any(|word| {
        let bytes = word.as_encoded_bytes();
        bytes.starts_with(b"-g") || bytes.starts_with(b"--group=")
    });
    let apart = words.windows(2).any(|pair| match pair {
        [option, value] => (option == "-g" || option == "--group") && refused(value),
        _ => false,
    });
    joined || apart
}

/// The tool's command that was called, if the tool has commands.
fn called<'a>(command: &Command, words: &'a [OsString]) -> Option<&'a str> {
    let mut words = words.iter().skip(1).filter_map(|word| word.to_str());
    words.find(|word| command.find_subcommand(word).is_some())
}

/// The most letters in which a mistyped word may differ.
const NEAR: usize = 2;

/// Removes misleading tips of clap: names that are not similar enough, and how to pass an option
/// that does not exist as a value.
///
/// `may_be_name`: a name may begin with a dash, and is a positional argument.
fn without_far_tips(reported: &str, unknown: Option<&str>, may_be_name: bool) -> String {
    // Then clap's usage names the other option too.
    let mut misled = false;
    let mut leads_on = |line: &&str| {
        if line.starts_with("Usage: ") {
            return !misled;
        }
        if !is_tip(line) {
            return true;
        }
        if line.contains(" as a value, use '-- ") {
            return may_be_name;
        }
        let mut suggested = line.split('\'').skip(1).step_by(2);
        let is_alike = line.contains(" exists: ") || line.contains(" exist: ");
        let is_near = |word: &str| suggested.any(|s| strsim::osa_distance(word, s) <= NEAR);
        let leads = !is_alike || unknown.is_none_or(is_near);
        misled |= !leads;
        leads
    };
    let mut text = String::new();
    for line in reported.lines().filter(|line| leads_on(line)) {
        let as_name = line.strip_prefix("  tip: to pass '").and_then(|line| {
            let (_, usage) = line.split_once("as a value, use '")?;
            Some(format!(
                "  tip: a name that begins with a dash comes after --: '{usage}"
            ))
        });
        let line = as_name.as_deref().unwrap_or(line);
        // Removing a tip must not leave two empty lines.
        if !(line.is_empty() && text.ends_with("\n\n")) {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

/// The unknown option or command.
fn unknown_word(error: &clap::Error) -> Option<&str> {
    let of = match error.kind() {
        ErrorKind::UnknownArgument => ContextKind::InvalidArg,
        ErrorKind::InvalidSubcommand => ContextKind::InvalidSubcommand,
        _ => return None,
    };
    match error.get(of) {
        Some(ContextValue::String(word)) => Some(word),
        _ => None,
    }
}

/// `advice` replaces clap's tips: the similar name means something else, or begins with a dash and
/// would not help.
fn usage_text(tool: &str, reported: &str, advice: Option<&str>, terminal: bool) -> String {
    let reported = reported.strip_prefix("error: ").unwrap_or(reported);
    let mut text = format!("{tool}: ");
    let advised = advice.map(|advice| format!("  tip: {advice}"));
    let has_tip = reported.lines().any(is_tip);
    // Then clap's usage names the other option too.
    let mut misled = advice.is_some() && reported.contains("  tip: a similar argument exists");
    let mut due = advised.as_deref();
    let mut lines = reported.lines();
    while let Some(line) = lines.next() {
        if misled && line.starts_with("Usage: ") {
            misled = false;
            lines.next();
            continue;
        }
        let line = match &advised {
            Some(_) if is_tip(line) => match due.take() {
                Some(advised) => advised,
                None => continue,
            },
            _ => line,
        };
        if line.is_empty()
            && !has_tip
            && let Some(advised) = due.take()
        {
            text.push_str(&format!("\n{}\n", plain(advised, terminal)));
        }
        text.push_str(&plain(line, terminal));
        text.push('\n');
    }
    if let Some(advised) = due.filter(|_| !has_tip) {
        text.push_str(&format!("\n{}\n", plain(advised, terminal)));
    }
    text
}

fn is_tip(line: &str) -> bool {
    line.starts_with("  tip: ")
}

/// Text without line breaks, and on a terminal without control characters.
pub fn plain(text: &str, terminal: bool) -> String {
    let one_line = text.replace('\n', " ");
    if !terminal {
        return one_line;
    }
    let mut bytes = Vec::new();
    let mut escaper = TerminalEscaper::new();
    escaper.escape(one_line.as_bytes(), &mut bytes);
    escaper.finish(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_and_nothing_to_act_on() {
        assert_eq!(plain("a\nb\u{1b}[2J", true), "a b\\x1b[2J");
        assert_eq!(plain("a\nb\u{1b}", false), "a b\u{1b}");
    }

    #[test]
    fn tips_that_lead_nowhere_are_left_out() {
        let reported = |tip: &str| format!("error: no\n\n  tip: {tip}\n\nUsage: x\n");
        for (word, tip, stays) in [
            ("--retrys", "a similar argument exists: '--retries'", true),
            ("--reverse", "a similar argument exists: '--retries'", false),
            ("rename", "a similar subcommand exists: 'create'", false),
            ("creat", "a similar subcommand exists: 'create'", true),
            ("--x", "to pass '--x' as a value, use '-- --x'", false),
        ] {
            let text = without_far_tips(&reported(tip), Some(word), false);
            let wanted = match (stays, tip.contains("similar")) {
                (true, _) => reported(tip),
                (false, true) => "error: no\n\n".to_owned(),
                (false, false) => "error: no\n\nUsage: x\n".to_owned(),
            };
            assert_eq!(text, wanted, "{word}");
        }
        let text = without_far_tips(
            &reported("to pass '--x' as a value, use '-- --x'"),
            Some("--x"),
            true,
        );
        let tip = "a name that begins with a dash comes after --: '-- --x'";
        assert_eq!(text, reported(tip));
        let words = |line: &str| line.split(' ').map(OsString::from).collect::<Vec<_>>();
        let groups = Command::new("mq-groups").subcommand(Command::new("reset"));
        let line = words("mq-groups --store reset/ reset g");
        assert_eq!(called(&groups, &line), Some("reset"));
        let line = words("mq-consume reset");
        assert_eq!(called(&Command::new("mq-consume"), &line), None);
    }

    #[test]
    fn clap_speaks_with_the_tools_voice() {
        let reported = "error: unexpected argument '--x\u{7}' found\n\nUsage: mq-x\n";
        assert_eq!(
            usage_text("mq-x", reported, None, true),
            "mq-x: unexpected argument '--x\\x07' found\n\nUsage: mq-x\n"
        );
        let reported = "error: no\n\n  tip: to pass '-t' as a value, use '-- -t'\n";
        assert_eq!(
            usage_text("mq-x", reported, Some("name it"), true),
            "mq-x: no\n\n  tip: name it\n"
        );
        let reported = "error: no\n\n  tip: a similar argument exists: '--y'\n  tip: to pass '--x' as a value, use '-- --x'\n\nUsage: mq-x --y\n\n";
        assert_eq!(
            usage_text("mq-x", reported, Some("name it"), true),
            "mq-x: no\n\n  tip: name it\n\n"
        );
        assert_eq!(
            usage_text("mq-x", "error: no\n\nUsage: mq-x\n", Some("name it"), true),
            "mq-x: no\n\n  tip: name it\n\nUsage: mq-x\n"
        );
        assert_eq!(
            usage_text(
                "mq-x",
                "error: no:\n  --y\n\nUsage: mq-x\n",
                Some("name it"),
                true
            ),
            "mq-x: no:\n  --y\n\n  tip: name it\n\nUsage: mq-x\n"
        );
        assert_eq!(
            usage_text("mq-x", "error: no\n", Some("name it"), true),
            "mq-x: no\n\n  tip: name it\n"
        );
    }
}
