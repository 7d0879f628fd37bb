//! Topics as they are named on the command line: by name, by partition, by glob.

use super::outputs::bash;
use crate::cli::Shell;
use crate::tally::Tally;

fn three_topics() -> Shell {
    let shell = Shell::new();
    let made = bash(
        &shell,
        "mq-topics create -q app-a app-b -p 2 && mq-topics create -q orders -p 3
         for t in app-a app-b orders; do seq 6 | mq-produce -q -p 0 $t; done
         mq-consume -q -e -g g app-a app-b orders > /dev/null",
    );
    assert_eq!(made.status, 0, "{}", made.err);
    shell
}

#[test]
fn a_topic_is_named_by_name_partition_or_glob_wherever_one_is() {
    let _tally = Tally::start();
    let shell = three_topics();
    for (line, wanted) in [
        (
            "mq-topics list 'app-*' orders --format tsv | cut -f 1",
            "app-a app-b orders",
        ),
        (
            "mq-topics list 'x*' 'app-?' --format json | jq -r .topic",
            "app-a app-b",
        ),
        (
            "mq-topics describe orders:2 'app-*:1' --format tsv | cut -f 1,2 --output-delimiter=:",
            "orders:2 app-a:1 app-b:1",
        ),
        (
            "mq-topics offsets 'app-*' orders:0 --format tsv | tr '\\t' :",
            "app-a:0:0:6 app-a:1:0:0 app-b:0:0:6 app-b:1:0:0 orders:0:0:6",
        ),
        (
            "mq-topics offsets orders app-a:0 orders:1 --at -2 --format tsv | tr '\\t' :",
            "orders:0:4 orders:1:0 orders:2:0 app-a:0:4",
        ),
        (
            "mq-topics dump '*:0' --format json | jq -r .topic",
            "app-a app-b orders",
        ),
        (
            "mq-topics verify app-b 'o*:1' --format tsv | cut -f 1,2 --output-delimiter=:",
            "app-b:0 app-b:1 orders:1",
        ),
        (
            "mq-topics alter 'app-*' -c segment.ms=7 --dry-run --format tsv | cut -f 1",
            "app-a app-b",
        ),
        (
            "mq-topics alter 'app-*' -c segment.ms=7 && mq-topics describe --format json | jq -r '.configs.\"segment.ms\".origin'",
            "topic topic default",
        ),
        (
            "mq-groups peek g --topic 'app-*' --topic orders:0 -B 1 -A 0 --format tsv | cut -f 2,4 --output-delimiter=@",
            "app-a@5 app-b@5 orders@5",
        ),
        (
            "mq-groups reset g --export --topic 'app-*:0'",
            "app-a,0,6 app-b,0,6",
        ),
        (
            "mq-groups reset g --to start --topic 'app-*:0' --topic orders:0 --dry-run --format tsv | cut -f 2,3,5 --output-delimiter=:",
            "app-a:0:0 app-b:0:0 orders:0:0",
        ),
        (
            "mq-groups delete-offsets g --topic 'a*:0' --topic app-b:1 --dry-run --format tsv | cut -f 2,3 --output-delimiter=:",
            "app-a:0 app-b:0 app-b:1",
        ),
        (
            "mq-groups delete-offsets g --topic app-a --topic orders --yes; mq-groups describe g --format tsv | cut -f 2 | uniq",
            "app-b",
        ),
        (
            "mq-topics delete 'app-*' orders --yes && mq-topics list --format tsv",
            "",
        ),
    ] {
        Tally::case();
        let done = bash(&shell, line);
        let text = done.text();
        let words: Vec<&str> = text.split_whitespace().collect();
        assert_eq!(words.join(" "), wanted, "{line}: {}", done.err);
    }
}

#[test]
fn a_name_or_a_glob_that_means_nothing_is_reported_and_a_change_does_nothing_then() {
    let _tally = Tally::start();
    let shell = three_topics();
    for (line, status, said, out) in [
        ("mq-topics list 'x*'", 0, "no topic matches 'x*'", ""),
        (
            "mq-topics describe 'x*' orders:1 --format tsv | wc -l; exit ${PIPESTATUS[0]}",
            1,
            "no topic matches 'x*'",
            "1\n",
        ),
        (
            "mq-topics offsets orders:9",
            1,
            "orders has no partition 9",
            "",
        ),
        (
            "mq-topics verify orders:9",
            1,
            "it has 3 partitions, 0 to 2",
            "",
        ),
        ("mq-topics dump nope", 1, "nope", ""),
        (
            "mq-topics alter 'app-*' nope -c segment.ms=7",
            1,
            "nope",
            "",
        ),
        (
            "mq-topics alter orders 'x*' -c segment.ms=7",
            1,
            "no topic matches 'x*'",
            "",
        ),
        (
            "mq-topics alter orders:1 -c segment.ms=7",
            2,
            "'orders:1' names a partition",
            "",
        ),
        (
            "mq-topics delete orders:1 --yes",
            2,
            "'orders:1' names a partition",
            "",
        ),
        (
            "mq-topics describe --format json | jq -r '.configs.\"segment.ms\".origin' | uniq",
            0,
            "",
            "default\n",
        ),
        (
            "mq-groups reset g --to start --topic orders --topic 'x*' --yes",
            1,
            "no topic matches 'x*'",
            "",
        ),
        (
            "mq-groups reset g --to start --topic orders:3 --yes",
            1,
            "orders has no partition 3",
            "",
        ),
        (
            "mq-groups delete-offsets g --topic orders --topic nope --yes",
            1,
            "no committed offset of nope",
            "",
        ),
        (
            "mq-groups peek g --topic nope",
            1,
            "no committed offset of nope",
            "",
        ),
        (
            "mq-groups describe g --format tsv | cut -f 4 | sort | uniq -c | tr -s ' '",
            0,
            "",
            " 4 0\n 3 6\n",
        ),
        (
            "mq-broker elect preferred 'x*'",
            1,
            "no topic matches 'x*'",
            "",
        ),
        (
            "mq-broker reassign '*=0' orders:1=0 --dry-run",
            1,
            "orders:1 is named twice",
            "",
        ),
        ("mq-broker reassign 'app-*:1=0' --dry-run", 0, "", ""),
    ] {
        Tally::case();
        let done = bash(&shell, line);
        assert_eq!(done.status, status, "{line}: {}", done.err);
        assert!(done.err.contains(said), "{line}: {}", done.err);
        assert_eq!(done.text(), out, "{line}: {}", done.err);
    }
}

#[test]
fn records_are_filtered_by_key_and_header() {
    let _tally = Tally::start();
    let shell = Shell::new();
    let made = bash(
        &shell,
        "printf 'k1=a\nk2=b\n' | mq-produce -q -K = -H host=web -H host=db -H empty= t
         printf 'other=c\n' | mq-produce -q -K = -H host=web=1 -H null t
         printf 'd\n' | mq-produce -q t",
    );
    assert_eq!(made.status, 0, "{}", made.err);
    for (args, wanted) in [
        (&["--header", "host"][..], "a b c"),
        (&["--header", "host=web"], "a b"),
        (&["--header", "host=db"], "a b"),
        (&["--header", "host=web", "--header", "host=db"], "a b"),
        // The first = ends the name.
        (&["--header", "host=web=1"], "c"),
        (&["--header", "empty="], "a b"),
        // Null is not empty.
        (&["--header", "null"], "c"),
        (&["--header", "null="], ""),
        (&["--header", "ost"], ""),
        (&["--header", "host", "--invert-match"], "d"),
        (
            &["--header", "host=web", "--header", "null", "--invert-match"],
            "a b c d",
        ),
        (&["--key-regex", "^k"], "a b"),
        (&["--key-regex", "", "--invert-match"], "d"),
        (&["--key-regex", "2", "--header", "host=db"], "b"),
        (&["--key", "k1", "--key-regex", "2"], ""),
        (&["--tail", "1", "--header", "host=web"], "b"),
        (&["-c", "1", "--header", "null"], "c"),
        (&["-g", "g", "--header", "null"], "c"),
    ] {
        Tally::case();
        let done = shell.run("mq-consume", &[&["-q", "-e", "t"], args].concat(), b"");
        assert_eq!(done.status, 0, "{args:?}: {}", done.err);
        let printed: Vec<_> = done.text().lines().map(str::to_owned).collect();
        assert_eq!(printed.join(" "), wanted, "{args:?}");
    }
}

#[test]
fn readers_and_producers_take_partitions_too() {
    let _tally = Tally::start();
    let shell = three_topics();
    for (line, wanted) in [
        ("mq-consume -e orders:0 -f '%t:%p:%o\\n' -c 1", "orders:0:0"),
        ("mq-consume -e orders:1", ""),
        (
            "mq-consume -e 'app-*:0' orders:1 -f '%t\\n' | sort | uniq -c | tr -s ' '",
            " 6 app-a  6 app-b",
        ),
        (
            "mq-consume -e --tail 1 orders:0 app-a:1 -f '%t:%p\\n'",
            "orders:0",
        ),
        (
            "echo x | mq-produce -o '%t:%p\\n' app-a:1 && mq-consume -e app-a:1",
            "app-a:1 x",
        ),
        (
            "echo y | mq-produce new-one:0 -o '%t:%p\\n' -q",
            "new-one:0",
        ),
    ] {
        Tally::case();
        let done = bash(&shell, line);
        assert_eq!(done.status, 0, "{line}: {}", done.err);
        let printed: Vec<_> = done.text().lines().map(str::to_owned).collect();
        assert_eq!(printed.join(" "), wanted, "{line}");
    }
    for (line, status, reported) in [
        ("mq-consume -e orders:3", 1, "has no partition 3"),
        ("mq-consume -e 'app*:7'", 1, "has no partition 7"),
        ("mq-consume -e -p 0 orders:1", 2, "both name partitions"),
        ("mq-consume -e -o 0=1: orders:1", 2, "both name partitions"),
        ("mq-consume -e -g g orders:1", 2, "without -g"),
        ("mq-consume -e orders:x", 2, "partitions are whole numbers"),
        ("mq-consume -e nope:0", 1, "no topic 'nope'"),
        (
            "echo | mq-produce -p 0 orders:1",
            2,
            "name it in one of the two",
        ),
        (
            "echo | mq-produce -J --keep-partition orders:1",
            2,
            "name it in one of the two",
        ),
        ("echo | mq-produce orders:7", 1, "has no partition 7"),
        ("echo | mq-produce fresh:7", 1, "not with partition 7"),
    ] {
        Tally::case();
        let done = bash(&shell, line);
        assert_eq!(done.status, status, "{line}: {}", done.err);
        assert!(done.err.contains(reported), "{line}: {}", done.err);
    }
}

#[test]
fn a_name_that_no_topic_has_is_an_error_and_a_glob_is_a_note() {
    let _tally = Tally::start();
    let shell = three_topics();
    for (line, status, printed, reported) in [
        (
            "mq-topics list nope orders --format tsv | cut -f 1",
            1,
            "orders",
            "no topic 'nope'",
        ),
        (
            "mq-topics list 'nope*' --format tsv",
            0,
            "",
            "no topic matches 'nope*'",
        ),
        (
            "timeout -s INT 1 mq-consume 'nope*' 'orders*' -o end",
            124,
            "",
            "no topic matches 'nope*' yet; waiting for one, and reading",
        ),
        (
            "mq-broker drain 1 --undo --timeout 1s",
            2,
            "",
            "cannot be used with",
        ),
    ] {
        Tally::case();
        let done = bash(&shell, &format!("set -o pipefail; {line}"));
        assert_eq!(done.status, status, "{line}: {}", done.err);
        assert_eq!(done.text().trim_end(), printed, "{line}");
        assert!(done.err.contains(reported), "{line}: {}", done.err);
    }
}
