//! Offsets in the format that Kafka's `kafka-consumer-groups` exports: rows of
//! `topic,partition,offset`. A header row with these words, as spreadsheets and databases write it,
//! is skipped.

use std::io::{BufRead, Read};
use std::path::Path;

use crate::cli::lang::parse_partition;
use crate::client::groups::CommitEntry;
use crate::error::{Error, Kind, Result};
use crate::types::{Offset, TopicName, TopicPartition};

/// The longest row in bytes: far more than the longest name needs.
const ROW_BYTES_MAX: u64 = 4096;

/// Reads a file, or standard input for `-`.
///
/// # Errors
/// [`Kind::InvalidRecord`], naming the line; [`Kind::Io`].
pub fn read(path: &Path) -> Result<Vec<CommitEntry>> {
    if path == Path::new("-") {
        return parse(&mut std::io::stdin().lock(), &place(path));
    }
    let file = std::fs::File::open(path).map_err(|e| Error::io("open", path, e))?;
    parse(&mut std::io::BufReader::new(file), &place(path))
}

/// The name of the input, for messages.
pub fn place(path: &Path) -> String {
    if path == Path::new("-") {
        "standard input".to_owned()
    } else {
        path.display().to_string()
    }
}

fn parse(input: &mut dyn BufRead, place: &str) -> Result<Vec<CommitEntry>> {
    let mut rows: Vec<CommitEntry> = Vec::new();
    let mut seen = std::collections::BTreeMap::new();
    for number in 1_u64.. {
        let mut line = Vec::new();
        let read = Read::take(&mut *input, ROW_BYTES_MAX)
            .read_until(b'\n', &mut line)
            .map_err(|e| Error::io("read", place, e))?;
        if read == 0 {
            break;
        }
        let refuse = |why: &str| {
            Error::new(
                Kind::InvalidRecord,
                format!("{place}, line {number}: {why}"),
            )
            .cure("a row is TOPIC,PARTITION,OFFSET, as in orders,0,42")
        };
        let line = line.strip_suffix(b"\n").unwrap_or(&line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let line = std::str::from_utf8(line).map_err(|_| refuse("it is not text"))?;
        if line.trim().is_empty() {
            continue;
        }
        if rows.is_empty() && is_header(line) {
            continue;
        }
        let row = row(line).map_err(|why| refuse(&why))?;
        if let Some(first) = seen.insert(row.tp.clone(), number) {
            return Err(refuse(&format!("{} is in line {first} already", row.tp)));
        }
        rows.push(row);
    }
    if rows.is_empty() {
        return Err(
            Error::new(Kind::InvalidRecord, format!("{place} has no offsets"))
                .cure("a row is TOPIC,PARTITION,OFFSET, as in orders,0,42"),
        );
    }
    Ok(rows)
}

/// The words of a header row.
const HEADER: [&str; 3] = ["topic", "partition", "offset"];

fn is_header(line: &str) -> bool {
    fields(line).map(str::to_ascii_lowercase).eq(HEADER)
}

fn fields(line: &str) -> impl Iterator<Item = &str> {
    line.split(',').map(unquoted)
}

fn row(line: &str) -> Result<CommitEntry, String> {
    let fields: Vec<&str> = fields(line).collect();
    let named = |field: &&str| field.chars().all(|c| c.is_alphabetic() || c == '_');
    if fields.iter().all(named)
        && fields
            .iter()
            .any(|field| HEADER.contains(&field.to_ascii_lowercase().as_str()))
    {
        return Err("a header has the words topic,partition,offset, and comes first".to_owned());
    }
    let [topic, partition, offset] = fields[..] else {
        let tabs = if line.contains('\t') {
            ": fields are divided by commas, not by tabs"
        } else {
            ""
        };
        return Err(format!("expected 3 fields, not {}{tabs}", fields.len()));
    };
    let topic = TopicName::new(topic).map_err(|e| e.to_string())?;
    let partition = parse_partition(partition).map_err(|e| e.to_string())?;
    let offset = offset
        .parse::<Offset>()
        .ok()
        .filter(|offset| *offset >= 0)
        .ok_or_else(|| format!("'{}' is not an offset", offset.escape_debug()))?;
    let tp = TopicPartition::new(topic, partition);
    Ok(CommitEntry { tp, offset })
}

/// A field without surrounding spaces and quotes; no field contains any.
fn unquoted(field: &str) -> &str {
    let field = field.trim();
    field
        .strip_prefix('"')
        .and_then(|field| field.strip_suffix('"'))
        .unwrap_or(field)
}

/// Writes a row.
pub fn write(topic: &TopicName, partition: i32, offset: Offset, out: &mut Vec<u8>) {
    out.extend(format!("{topic},{partition},{offset}\n").into_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_back() {
        let mut out = Vec::new();
        let topic = TopicName::new("a.b-c").expect("topic");
        write(&topic, 3, 42, &mut out);
        write(&topic, 4, 0, &mut out);
        let rows = parse(&mut &out[..], "x").expect("rows");
        let tps: Vec<_> = rows.iter().map(|r| (r.tp.to_string(), r.offset)).collect();
        assert_eq!(tps, [("a.b-c:3".to_owned(), 42), ("a.b-c:4".to_owned(), 0)]);
    }

    #[test]
    fn what_others_write_is_read_too() {
        let text = "\"orders\",0,5\r\n\n orders , 1 ,\"6\"\norders,2,7";
        let rows = parse(&mut text.as_bytes(), "x").expect("rows");
        let offsets: Vec<_> = rows.iter().map(|r| (r.tp.partition, r.offset)).collect();
        assert_eq!(offsets, [(0, 5), (1, 6), (2, 7)]);
    }

    #[test]
    fn a_header_is_passed_over() {
        for header in [
            "topic,partition,offset",
            "TOPIC,PARTITION,OFFSET",
            "\n\"topic\", \"partition\" ,offset\r",
        ] {
            let text = format!("{header}\norders,0,5\n");
            let rows = parse(&mut text.as_bytes(), "x").expect("rows");
            assert_eq!(rows.len(), 1);
        }
    }

    #[test]
    fn a_bad_row_is_named() {
        let long = format!("t,0,{}", "1".repeat(5000));
        for (text, says) in [
            ("t,0,1\nt,1", "x, line 2: expected 3 fields, not 2"),
            ("g,t,0,1", "line 1: expected 3 fields, not 4"),
            ("topic,partition,offset", "x has no offsets"),
            ("t,0,1\ntopic,partition,offset", "line 2: a header"),
            (
                "partition,topic,offset\n0,t,1",
                "line 1: a header has the words",
            ),
            (
                "group,topic,partition,offset",
                "line 1: a header has the words",
            ),
            (
                "t\t0\t1",
                "expected 3 fields, not 1: fields are divided by commas",
            ),
            ("t,0,-1", "line 1: '-1' is not an offset"),
            ("t,0,1.5", "'1.5' is not an offset"),
            ("t,-1,1", "'-1' is not a partition"),
            ("a/b,0,1", "line 1: "),
            ("t,0,1\n\nt,0,2", "line 3: t:0 is in line 1 already"),
            ("", "x has no offsets"),
            ("\n\n", "x has no offsets"),
            (long.as_str(), "line 1: "),
        ] {
            let e = parse(&mut text.as_bytes(), "x").expect_err(text);
            assert_eq!(e.kind(), Kind::InvalidRecord, "{text}");
            assert!(e.to_string().contains(says), "{text}: {e}");
        }
        let e = parse(&mut &b"t,0,\xff"[..], "x").expect_err("bytes");
        assert!(e.to_string().contains("line 1: it is not text"), "{e}");
    }
}
