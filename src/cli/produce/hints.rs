//! Notes on command lines of `mq-produce` that are probably mistakes.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use crate::cli::common::usage;
use crate::cli::lang::{literal_braces, shown};
use crate::error::{Error, Result, shell_word};

/// Notes on headers and templates that are taken literally.
pub fn notes(headers: &[OsString], templates: [&Option<String>; 2]) -> Vec<String> {
    let headers = headers.iter().filter_map(|header| {
        let header = header.to_string_lossy();
        let (name, value) = header.split_once(':')?;
        let is_address = value.starts_with("//");
        (!header.contains('=') && !is_address).then(|| {
            format!(
                "header '{}' has no =, so its value is null: say -H {}",
                shown(&header),
                shell_word(&format!("{}={}", shown(name.trim()), shown(value.trim())))
            )
        })
    });
    let templates = templates.into_iter().flatten();
    headers
        .chain(templates.filter_map(|template| literal_braces(template)))
        .collect()
}

/// How compressed files begin, and the command that prints their contents.
const COMPRESSED: [(&[u8], &str); 4] = [
    (b"\x1f\x8b\x08", "gzip -dc"),
    (b"\x28\xb5\x2f\xfd", "zstd -dc"),
    (b"\xfd7zXZ\0", "xz -dc"),
    // Then come the block size and the first block's mark.
    (b"BZh", "bzip2 -dc"),
];
const BZIP2_BLOCK: &[u8] = b"1AY&SY";
/// The bytes up to the end of the longest of these.
const HEAD_LEN: u64 = 10;

/// Refuses a regular file that is compressed: split at newlines it is useless, and stored records
/// cannot be taken back.
///
/// # Errors
/// [`Kind::Usage`](crate::error::Kind::Usage) if the file is compressed,
/// [`Kind::Io`](crate::error::Kind::Io) if it cannot be read.
pub fn refuse_compressed(path: &Path, topic: Option<&str>) -> Result<()> {
    let failed = |op| move |e| Error::io(op, path, e).at("nothing was stored");
    let file = File::open(path).map_err(failed("open"))?;
    let mut head = Vec::new();
    file.take(HEAD_LEN)
        .read_to_end(&mut head)
        .map_err(failed("read"))?;
    let Some(command) = decompressor(&head) else {
        return Ok(());
    };
    let file = path.to_string_lossy();
    let topic = topic.unwrap_or("TOPIC");
    Err(usage(
        format!(
            "{} is compressed, and its lines would be split at random bytes",
            shown(&file)
        ),
        format!(
            "'{command} {} | mq-produce {topic}' stores its lines (add the same options), \
             --whole stores the file as one record",
            shell_word(&file)
        ),
    ))
}

/// The command that prints the contents of a compressed file, by its first bytes.
fn decompressor(head: &[u8]) -> Option<&'static str> {
    let (_, command) = COMPRESSED
        .iter()
        .find(|(magic, _)| head.starts_with(magic))?;
    let is_bzip2 = || head.get(4..).is_some_and(|rest| rest == BZIP2_BLOCK);
    (!head.starts_with(b"BZh") || is_bzip2()).then_some(command)
}

/// The longest text that an error message quotes.
const TEXT_LEN_MAX: usize = 40;

/// Advice for a missing file.
pub fn no_file(path: &Path, topic: Option<&str>) -> String {
    let topic = topic.unwrap_or("TOPIC");
    let text = match path.to_str() {
        Some(text) if text.len() <= TEXT_LEN_MAX => shell_word(text),
        _ => "TEXT".to_owned(),
    };
    format!("name an existing file; to send text: echo {text} | mq-produce {topic}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_compressed_files_begin_with() {
        for (head, command) in [
            (&b"\x1f\x8b\x08\0\0\0\0\0\0\x03"[..], Some("gzip -dc")),
            (b"\x28\xb5\x2f\xfd\x04", Some("zstd -dc")),
            (b"\xfd7zXZ\0\0\x04", Some("xz -dc")),
            (b"BZh91AY&SY", Some("bzip2 -dc")),
            (b"BZh, a line", None),
            (b"BZh9", None),
            (b"\x1f\x8b", None),
            (b"", None),
            (b"a line\n", None),
        ] {
            assert_eq!(decompressor(head), command, "{head:?}");
        }
    }

    #[test]
    fn headers_with_a_colon_are_told() {
        let reported = |header: &str| notes(&[header.into()], [&None, &None]);
        assert_eq!(
            reported("a: b"),
            ["header 'a: b' has no =, so its value is null: say -H 'a=b'"]
        );
        assert_eq!(
            reported("a:it's"),
            ["header 'a:it's' has no =, so its value is null: say -H 'a=it'\\''s'"]
        );
        for header in ["a", "a=b:c", "a:b=c", "=", "http://x"] {
            assert!(reported(header).is_empty(), "{header}");
        }
        assert_eq!(notes(&[], [&None, &Some("%{json}".to_owned())]).len(), 1);
    }

    #[test]
    fn a_file_that_is_not_there_may_be_text() {
        for (path, cure) in [
            ("hello", "echo hello | mq-produce t"),
            ("two words", "echo 'two words' | mq-produce t"),
            (&*"x".repeat(41), "echo TEXT | mq-produce t"),
        ] {
            let reported = no_file(Path::new(path), Some("t"));
            assert!(reported.ends_with(cure), "{reported}");
        }
    }
}
