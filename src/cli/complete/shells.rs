//! The shells: the script that each reads once, and the form of the replies.
//!
//! A reply consists of lines: its kind, the number of characters of the cursor's word before the
//! part that the shell completes itself, and the offers. Offers contain no control characters, so
//! each is one line.

use std::fmt::Write as _;

use super::line::Native;
use super::words;

/// The shell that asks for completion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shell {
    /// bash, version 4 or later.
    Bash,
    /// zsh.
    Zsh,
    /// fish, version 3 or later.
    Fish,
}

/// The candidates for the cursor.
#[derive(Debug, Default)]
pub struct Reply {
    /// The words, each complete.
    pub offers: Vec<Offer>,
    /// What the shell completes itself, and the part of the word before that.
    pub native: Option<(Native, String)>,
}

/// One word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// The word, without quotes.
    pub value: String,
    /// Its description, in one line.
    pub help: Option<String>,
    /// Whether it is an option.
    pub is_option: bool,
}

impl Offer {
    /// A word that is no option, with the first line of its description.
    pub fn new(value: String, help: Option<String>) -> Self {
        let first_line = |help: String| help.lines().next().map(str::to_owned);
        Offer {
            value,
            help: help.and_then(first_line).filter(|help| !help.is_empty()),
            is_option: false,
        }
    }

    /// Whether the next text has to be typed directly after it.
    fn is_joined(&self) -> bool {
        self.value.ends_with(['=', ':'])
    }
}

impl Shell {
    /// The shell of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "bash" => Shell::Bash,
            "zsh" => Shell::Zsh,
            "fish" => Shell::Fish,
            _ => return None,
        })
    }

    /// The script that the shell reads once.
    pub fn script(self, tool: &str) -> String {
        let script = match self {
            Shell::Bash => include_str!("bash.sh"),
            Shell::Zsh => include_str!("zsh.sh"),
            Shell::Fish => include_str!("fish.fish"),
        };
        script
            .replace("TOOL", tool)
            .replace("NAME", &tool.replace('-', "_"))
    }

    /// The reply for zsh and fish, which quote what they insert.
    pub fn render(self, reply: &Reply) -> String {
        let mut text = head(reply, false);
        for offer in &reply.offers {
            let help = offer.help.as_deref();
            let _ = match self {
                Shell::Zsh => {
                    let kind = match offer {
                        offer if offer.is_option => '-',
                        offer if offer.is_joined() => '=',
                        _ => '+',
                    };
                    let value = offer.value.replace('\\', "\\\\").replace(':', "\\:");
                    let help = help.map(|help| format!(":{help}"));
                    writeln!(text, "{kind}{value}{}", help.unwrap_or_default())
                }
                _ => {
                    let help = help.map(|help| format!("\t{help}"));
                    writeln!(text, "{}{}", offer.value, help.unwrap_or_default())
                }
            };
        }
        text
    }
}

/// The reply for bash, which inserts it literally in place of `piece`: bash's notion of the
/// cursor's word, which it also divides at `=` and `:`. `raw` is the whole word.
pub fn render_bash(reply: &Reply, raw: &str, piece: &str) -> String {
    let before = raw.strip_suffix(piece).unwrap_or_default();
    let (before, quote) = words::unquoted(before);
    let put_in = |offer: &Offer| {
        let rest = offer.value.strip_prefix(&before)?;
        words::quoted(rest, quote)
    };
    let is_joined = reply.offers.iter().all(Offer::is_joined) && !reply.offers.is_empty();
    let mut text = head(reply, is_joined);
    for line in reply.offers.iter().filter_map(put_in) {
        text.push_str(&line);
        text.push('\n');
    }
    text
}

fn head(reply: &Reply, is_joined: bool) -> String {
    let (kind, before) = match &reply.native {
        Some((Native::File, before)) => ("files", before.as_str()),
        Some((Native::Dir, before)) => ("dirs", before.as_str()),
        Some((Native::Command, before)) => ("commands", before.as_str()),
        Some((Native::UnixGroup, before)) => ("groups", before.as_str()),
        None if is_joined => ("joined", ""),
        None => ("words", ""),
    };
    format!("{kind}\n{}\n", before.chars().count())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(values: &[&str]) -> Reply {
        let offer = |value: &&str| Offer {
            value: (*value).to_owned(),
            help: None,
            is_option: false,
        };
        Reply {
            offers: values.iter().map(offer).collect(),
            native: None,
        }
    }

    #[test]
    fn bash_gets_what_belongs_in_the_place_of_its_piece() {
        for (values, raw, piece, reported) in [
            (&["orders"][..], "or", "or", "words\n0\norders\n"),
            (&["a=b", "a=c"], "a=", "", "words\n0\nb\nc\n"),
            (&["a=b"], "a=", "a=", "words\n0\na=b\n"),
            (&["a="], "", "", "joined\n0\na=\n"),
            (&["it's $x"], "'it", "it", "words\n0\nit'\\''s $x\n"),
            (&["a b"], "\"a ", "a ", "words\n0\na b\n"),
            (&["a b"], "a", "a", "words\n0\na\\ b\n"),
            (&["a!b"], "\"a", "a", "words\n0\n"),
            // An offer that does not continue the typed text is left out.
            (&["xa"], "'a=b", "b", "words\n0\n"),
        ] {
            assert_eq!(render_bash(&reply(values), raw, piece), reported, "{raw}");
        }
    }

    #[test]
    fn zsh_and_fish_get_words() {
        let mut reply = reply(&["a:b\\", "n="]);
        reply.offers[0].help = Some("what: it is".to_owned());
        reply.offers.push(Offer {
            value: "--x".to_owned(),
            help: None,
            is_option: true,
        });
        let zsh = "words\n0\n+a\\:b\\\\:what: it is\n=n=\n---x\n";
        assert_eq!(Shell::Zsh.render(&reply), zsh);
        let fish = "words\n0\na:b\\\twhat: it is\nn=\n--x\n";
        assert_eq!(Shell::Fish.render(&reply), fish);
        reply.native = Some((Native::Dir, "--store=".to_owned()));
        assert!(Shell::Zsh.render(&reply).starts_with("dirs\n8\n"));
    }
}
