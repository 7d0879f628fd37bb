//! The shells: the script that each has to read once, and how it is told what can stand at the
//! cursor.
//!
//! A reply is lines: what kind it is, how many characters of the word at the cursor stand before what
//! the shell completes itself, and the offers. Offers hold no control characters, so that each is a line.

use std::fmt::Write as _;

use super::line::Native;
use super::words;

/// A shell that asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shell {
    /// bash, from 4 on.
    Bash,
    /// zsh.
    Zsh,
    /// fish, from 3 on.
    Fish,
}

/// What can stand at the cursor.
#[derive(Debug, Default)]
pub struct Reply {
    /// The words, each whole.
    pub offers: Vec<Offer>,
    /// What the shell completes itself, and the part of the word that stands before it.
    pub native: Option<(Native, String)>,
}

/// One word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// The word, without quotes.
    pub value: String,
    /// What it is, in one line.
    pub help: Option<String>,
    /// Whether it is an option.
    pub is_option: bool,
}

impl Offer {
    /// Whether something has to be typed right behind it.
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

    /// What the shell reads once, to ask from then on.
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

    /// The reply for zsh and fish, which quote what they put in themselves.
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

/// The reply for bash, which puts it in as it stands, in the place of `piece`: what it takes for the
/// word at the cursor, for it divides words at `=` and `:`, too. `raw` is all of the word.
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
            // What does not go on as it was typed is not put in.
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
