//! `-K=`: the delimiter `=`, as getopt reads it. clap takes the `=` for syntax, and returns an
//! empty value.

use std::ffi::OsString;

/// The short options for which `=` is a likely value, and an empty value is not allowed.
const DELIMITERS: [char; 2] = ['K', 'D'];

/// The words of a command line, with a second `=` after a `-K=` or `-D=` that has no more text.
pub fn kept(command: &clap::Command, mut words: Vec<OsString>) -> Vec<OsString> {
    let takes_value = |is_meant: &dyn Fn(&clap::Arg) -> bool| {
        let arg = command.get_arguments().find(|arg| is_meant(arg));
        arg.is_some_and(|arg| arg.get_action().takes_values())
    };
    let mut is_value = false;
    for word in words.iter_mut().skip(1) {
        if std::mem::take(&mut is_value) {
            continue;
        }
        let Some(text) = word.to_str() else { continue };
        if text == "--" {
            break;
        }
        if let Some(long) = text.strip_prefix("--") {
            is_value = takes_value(&|arg| arg.get_long() == Some(long));
            continue;
        }
        let Some(cluster) = text.strip_prefix('-') else {
            continue;
        };
        let mut letters = cluster.chars();
        let valued = letters.find(|letter| takes_value(&|arg| arg.get_short() == Some(*letter)));
        let rest = letters.as_str();
        is_value = valued.is_some() && rest.is_empty();
        if rest == "=" && valued.is_some_and(|letter| DELIMITERS.contains(&letter)) {
            word.push("=");
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn only_a_delimiter_that_says_no_more_gets_one() {
        let command = crate::cli::consume::Args::command();
        for (line, same) in [
            ("t -K=", "t -K=="),
            ("-eK= t", "-eK== t"),
            ("t -D=", "t -D=="),
            ("t -K =", "t -K ="),
            ("t -K=:", "t -K=:"),
            ("t -K==", "t -K=="),
            ("t -c=", "t -c="),
            ("t -f -K=", "t -f -K="),
            ("t -fK=", "t -fK="),
            ("t --key -K=", "t --key -K="),
            ("t --key=x -K=", "t --key=x -K=="),
            ("t -e -K=", "t -e -K=="),
            ("-- -K=", "-- -K="),
        ] {
            let words = |line: &str| -> Vec<OsString> {
                let words = std::iter::once("mq-consume").chain(line.split(' '));
                words.map(OsString::from).collect()
            };
            assert_eq!(kept(&command, words(line)), words(same), "{line}");
        }
    }
}
