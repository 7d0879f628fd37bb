use clap::ArgAction;

use super::*;
use crate::cli::docs;

fn command() -> Command {
    let flag = |long, short| {
        let arg = Arg::new(long).long(long).short(short);
        arg.action(ArgAction::SetTrue)
    };
    let option = |long, short| Arg::new(long).long(long).short(short);
    let new = Command::new("new").visible_alias("make").args([
        Arg::new("NAME").num_args(1..),
        option("parts", 'p').allow_hyphen_values(true),
        option("like", 'é').visible_alias("as"),
        option("fix", 'f').num_args(0..=1),
        option("pair", 'P').num_args(2).help_heading("Rare"),
        flag("dry", 'n').display_order(0),
    ]);
    let run = Command::new("run").args([
        Arg::new("ID").allow_negative_numbers(true),
        Arg::new("CMD").num_args(1..).trailing_var_arg(true),
    ]);
    let mut command = Command::new("t")
        .disable_help_flag(true)
        .disable_help_subcommand(true)
        .args([
            flag("quiet", 'q').global(true),
            option("store", 's').global(true),
        ])
        .subcommands([run, new]);
    command.build();
    command
}

fn words(line: &str) -> (Vec<String>, String) {
    let mut words: Vec<String> = line.split(' ').map(str::to_owned).collect();
    let current = words.pop().expect("a word");
    (words, current)
}

#[test]
fn the_cursor_is_in_a_value() {
    let command = command();
    for (line, wanted) in [
        ("", ""),
        ("new ", "NAME"),
        ("make ", "NAME"),
        ("new a b ", "NAME"),
        ("new a -q b ", "NAME"),
        ("-q new ", "NAME"),
        // The value of an option is no subcommand, and no argument.
        ("--store new ", ""),
        ("--store new run ", "ID"),
        ("--store=new run ", "ID"),
        ("-snew run ", "ID"),
        ("-qs new run ", "ID"),
        ("new --parts ", "parts"),
        ("new --parts=", "parts@8"),
        ("new --parts=a=", "parts@8"),
        ("new --parts 2 ", "NAME"),
        ("new --parts -q ", "NAME"),
        ("new --parts -- ", "NAME"),
        ("new --parts -", "parts"),
        ("new --as ", "like"),
        ("new --as=x", "like@5"),
        ("new -p ", "parts"),
        ("new -p", "parts@2"),
        ("new -p2", "parts@2"),
        ("new -p=2", "parts@3"),
        ("new -qp=", "parts@4"),
        ("new -nqp ", "parts"),
        ("new -qé", "like@4"),
        ("new -éé", "like@3"),
        ("new -p2 ", "NAME"),
        ("new -p= ", "NAME"),
        // An option that takes no dash leaves the option behind it to be one.
        ("new --like --parts ", "parts"),
        ("new --like - ", "NAME"),
        // A value that may be missing, and two of them.
        ("new --fix ", "fix NAME"),
        ("new --fix x ", "NAME"),
        ("new --pair ", "pair"),
        ("new --pair a ", "pair"),
        ("new --pair a b ", "NAME"),
        // A flag has no value, and an unknown option none that is known.
        ("new --dry=", ""),
        ("new -n=", ""),
        ("new --no-such=", ""),
        ("new --no-such ", "NAME"),
        ("new -x", ""),
        ("new -xp", ""),
        ("new -", ""),
        ("new --", ""),
        ("new -1", ""),
        // Behind -- everything is a value.
        ("new -- -", "NAME"),
        ("new -- --parts ", "NAME"),
        ("-- new ", ""),
        ("run -- run ", "CMD"),
        // A number may be negative; a command has options of its own.
        ("run -1", "ID"),
        ("run -1 ", "CMD"),
        ("run -x ", "ID"),
        ("run 1 sh -q ", "CMD"),
        ("run 1 sh --store", "CMD"),
        ("run new ", "CMD"),
    ] {
        let (words, current) = words(line);
        let cursor = CursorWord::of(&command, &words, &current);
        let shown = |value: &CursorValue| match value.begin {
            0 => value.arg.get_id().to_string(),
            begin => format!("{}@{begin}", value.arg.get_id()),
        };
        let values: Vec<String> = cursor.values.iter().map(shown).collect();
        assert_eq!(values.join(" "), wanted, "{line}");
    }
}

#[test]
fn names_are_those_that_are_due() {
    let command = command();
    for (line, wanted) in [
        ("", "run new --quiet --store"),
        ("r", "run"),
        ("m", "make"),
        ("x", ""),
        // By heading, then as the help has them; each once.
        ("new ", "--parts --dry --quiet --like --store --fix --pair"),
        ("new -", "-p -n -q -é -s -f -P"),
        (
            "new --",
            "--parts --dry --quiet --like --store --fix --pair",
        ),
        ("new --p", "--parts --pair"),
        ("new --a", "--as"),
        ("new --parts", "--parts"),
        ("new -q", "-qp -qn -qq -qé -qs -qf -qP"),
        ("new -p", ""),
        ("new -qx", ""),
        ("new -q=", ""),
        ("new a --dr", "--dry"),
        // A required value stands before any name, a missing one does not.
        ("new --parts -", ""),
        ("new --parts ", ""),
        ("new --pair a ", ""),
        ("new --fix --dr", "--dry"),
        ("-- ", ""),
        ("new -- -", ""),
        ("run 1 sh -", ""),
    ] {
        let (words, current) = words(line);
        let names = CursorWord::of(&command, &words, &current).names(&current);
        let names: Vec<String> = names.into_iter().map(|name| name.value).collect();
        assert_eq!(names.join(" "), wanted, "{line}");
    }
}

#[test]
fn only_a_place_for_options_makes_a_dash_special() {
    let command = command();
    for (line, wanted) in [
        ("new ", true),
        ("new --like ", true),
        ("new --parts ", false),
        ("new --like=", false),
        ("new -- ", false),
    ] {
        let (words, current) = words(line);
        let cursor = CursorWord::of(&command, &words, &current);
        assert_eq!(cursor.values[0].is_dash_special, wanted, "{line}");
    }
}

/// What would silently be completed in the wrong way.
#[test]
fn no_tool_uses_what_is_not_read_here() {
    fn observe(command: &Command) {
        let name = command.get_name();
        assert!(!command.is_allow_external_subcommands_set(), "{name}");
        assert!(!command.is_multicall_set(), "{name}");
        let is_parent = command.has_subcommands();
        for arg in command.get_arguments() {
            let place = format!("{name} {}: see src/cli/complete/walk.rs", arg.get_id());
            assert!(!arg.is_last_set(), "{place}");
            assert!(!arg.is_require_equals_set(), "{place}");
            assert!(arg.get_value_delimiter().is_none(), "{place}");
            assert!(arg.get_value_terminator().is_none(), "{place}");
            assert!(!(is_parent && arg.is_positional()), "{place}");
        }
        command.get_subcommands().for_each(observe);
    }
    for mut command in docs::commands() {
        command.build();
        observe(&command);
    }
}
