# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_mq_groups_global_optspecs
    string join \n store= q/quiet color= help-json h/help V/version
end

function __fish_mq_groups_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_mq_groups_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_mq_groups_using_subcommand
    set -l cmd (__fish_mq_groups_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c mq-groups -n "__fish_mq_groups_needs_command" -l store -d 'The store\'s directory [default: $MQ_STORE, else $XDG_DATA_HOME/mq, else ~/.local/share/mq]' -r -F
complete -c mq-groups -n "__fish_mq_groups_needs_command" -l color -d 'Colour in tables' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c mq-groups -n "__fish_mq_groups_needs_command" -s q -l quiet -d 'No notes and no progress on stderr'
complete -c mq-groups -n "__fish_mq_groups_needs_command" -l help-json -d 'Print commands and options as JSON, for programs'
complete -c mq-groups -n "__fish_mq_groups_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mq-groups -n "__fish_mq_groups_needs_command" -s V -l version -d 'Print version'
complete -c mq-groups -n "__fish_mq_groups_needs_command" -f -a "list" -d 'List groups and their states'
complete -c mq-groups -n "__fish_mq_groups_needs_command" -f -a "describe" -d 'Show what groups committed, how far behind they are, and who reads for them'
complete -c mq-groups -n "__fish_mq_groups_needs_command" -f -a "alter" -d 'Change a group\'s configs'
complete -c mq-groups -n "__fish_mq_groups_needs_command" -f -a "reset" -d 'Move a group\'s committed offsets'
complete -c mq-groups -n "__fish_mq_groups_needs_command" -f -a "undo" -d 'Take back the last change of a group\'s offsets'
complete -c mq-groups -n "__fish_mq_groups_needs_command" -f -a "commit" -d 'Commit offsets for a group'
complete -c mq-groups -n "__fish_mq_groups_needs_command" -f -a "skip" -d 'Move a group over one record'
complete -c mq-groups -n "__fish_mq_groups_needs_command" -f -a "clone" -d 'Give one group\'s offsets to another'
complete -c mq-groups -n "__fish_mq_groups_needs_command" -f -a "delete" -d 'Delete groups and what they committed'
complete -c mq-groups -n "__fish_mq_groups_needs_command" -f -a "delete-offsets" -d 'Delete a group\'s offsets of topics'
complete -c mq-groups -n "__fish_mq_groups_needs_command" -f -a "peek" -d 'Show the records around where a group is'
complete -c mq-groups -n "__fish_mq_groups_needs_command" -f -a "history" -d 'Tell what happened to a group\'s offsets'
complete -c mq-groups -n "__fish_mq_groups_needs_command" -f -a "watch" -d 'Watch groups\' progress live'
complete -c mq-groups -n "__fish_mq_groups_needs_command" -f -a "wait" -d 'Wait until a group has caught up'
complete -c mq-groups -n "__fish_mq_groups_needs_command" -f -a "check" -d 'Check lag, with a Nagios plugin\'s output and exit statuses'
complete -c mq-groups -n "__fish_mq_groups_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c mq-groups -n "__fish_mq_groups_using_subcommand list" -l format -d 'How to print [default: table]' -r -f -a "table\t'Aligned columns for people, as many as fit; may change'
json\t'One object a line, for scripts'
tsv\t'Tab-separated, for scripts'"
complete -c mq-groups -n "__fish_mq_groups_using_subcommand list" -l store -d 'The store\'s directory [default: $MQ_STORE, else $XDG_DATA_HOME/mq, else ~/.local/share/mq]' -r -F
complete -c mq-groups -n "__fish_mq_groups_using_subcommand list" -l color -d 'Colour in tables' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c mq-groups -n "__fish_mq_groups_using_subcommand list" -l header -d 'Begin tsv with a line of column names'
complete -c mq-groups -n "__fish_mq_groups_using_subcommand list" -s q -l quiet -d 'No notes and no progress on stderr'
complete -c mq-groups -n "__fish_mq_groups_using_subcommand list" -l help-json -d 'Print commands and options as JSON, for programs'
complete -c mq-groups -n "__fish_mq_groups_using_subcommand list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mq-groups -n "__fish_mq_groups_using_subcommand describe" -l format -d 'How to print [default: table]' -r -f -a "table\t'Aligned columns for people, as many as fit; may change'
json\t'One object a line, for scripts'
tsv\t'Tab-separated, for scripts'"
complete -c mq-groups -n "__fish_mq_groups_using_subcommand describe" -l store -d 'The store\'s directory [default: $MQ_STORE, else $XDG_DATA_HOME/mq, else ~/.local/share/mq]' -r -F
complete -c mq-groups -n "__fish_mq_groups_using_subcommand describe" -l color -d 'Colour in tables' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c mq-groups -n "__fish_mq_groups_using_subcommand describe" -l members -d 'A row (in JSON: an object) for each member'
complete -c mq-groups -n "__fish_mq_groups_using_subcommand describe" -l only-lagging -d 'Only partitions with records still to be read'
complete -c mq-groups -n "__fish_mq_groups_using_subcommand describe" -l header -d 'Begin tsv with a line of column names'
complete -c mq-groups -n "__fish_mq_groups_using_subcommand describe" -s q -l quiet -d 'No notes and no progress on stderr'
complete -c mq-groups -n "__fish_mq_groups_using_subcommand describe" -l help-json -d 'Print commands and options as JSON, for programs'
complete -c mq-groups -n "__fish_mq_groups_using_subcommand describe" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mq-groups -n "__fish_mq_groups_using_subcommand alter" -s c -l config -d 'Set a config (repeatable)' -r
complete -c mq-groups -n "__fish_mq_groups_using_subcommand alter" -l unset -d 'Take a config back to its default (repeatable)' -r
complete -c mq-groups -n "__fish_mq_groups_using_subcommand alter" -l format -d 'How to print [default: table]' -r -f -a "table\t'Aligned columns for people, as many as fit; may change'
json\t'One object a line, for scripts'
tsv\t'Tab-separated, for scripts'"
complete -c mq-groups -n "__fish_mq_groups_using_subcommand alter" -l store -d 'The store\'s directory [default: $MQ_STORE, else $XDG_DATA_HOME/mq, else ~/.local/share/mq]' -r -F
complete -c mq-groups -n "__fish_mq_groups_using_subcommand alter" -l color -d 'Colour in tables' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c mq-groups -n "__fish_mq_groups_using_subcommand alter" -l dry-run -d 'Print the plan, change nothing'
complete -c mq-groups -n "__fish_mq_groups_using_subcommand alter" -l header -d 'Begin tsv with a line of column names'
complete -c mq-groups -n "__fish_mq_groups_using_subcommand alter" -s q -l quiet -d 'No notes and no progress on stderr'
complete -c mq-groups -n "__fish_mq_groups_using_subcommand alter" -l help-json -d 'Print commands and options as JSON, for programs'
complete -c mq-groups -n "__fish_mq_groups_using_subcommand alter" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mq-groups -n "__fish_mq_groups_using_subcommand reset" -l to -d 'To a point of each partition: start, end, N, +N, -N or @TIME' -r
complete -c mq-groups -n "__fish_mq_groups_using_subcommand reset" -l by -d 'By so many offsets: on, or back if negative; at most to the log\'s end or start, with a warning' -r
complete -c mq-groups -n "__fish_mq_groups_using_subcommand reset" -l from-file -d 'To what the file says: rows of TOPIC,PARTITION,OFFSET, with such a header or none; - is standard input' -r -F
complete -c mq-groups -n "__fish_mq_groups_using_subcommand reset" -l to-group -d 'To the offsets of another group' -r
complete -c mq-groups -n "__fish_mq_groups_using_subcommand reset" -l topic -d 'Only this topic, partition, or what a quoted glob matches (repeatable)' -r
complete -c mq-groups -n "__fish_mq_groups_using_subcommand reset" -l format -d 'How to print [default: table]' -r -f -a "table\t'Aligned columns for people, as many as fit; may change'
json\t'One object a line, for scripts'
tsv\t'Tab-separated, for scripts'"
complete -c mq-groups -n "__fish_mq_groups_using_subcommand reset" -l store -d 'The store\'s directory [default: $MQ_STORE, else $XDG_DATA_HOME/mq, else ~/.local/share/mq]' -r -F
complete -c mq-groups -n "__fish_mq_groups_using_subcommand reset" -l color -d 'Colour in tables' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c mq-groups -n "__fish_mq_groups_using_subcommand reset" -l export -d 'Change nothing: print the group\'s offsets for --from-file'
complete -c mq-groups -n "__fish_mq_groups_using_subcommand reset" -l dry-run -d 'Print the plan, change nothing'
complete -c mq-groups -n "__fish_mq_groups_using_subcommand reset" -s y -l yes -d 'Do not ask'
complete -c mq-groups -n "__fish_mq_groups_using_subcommand reset" -l header -d 'Begin tsv with a line of column names'
complete -c mq-groups -n "__fish_mq_groups_using_subcommand reset" -s q -l quiet -d 'No notes and no progress on stderr'
complete -c mq-groups -n "__fish_mq_groups_using_subcommand reset" -l help-json -d 'Print commands and options as JSON, for programs'
complete -c mq-groups -n "__fish_mq_groups_using_subcommand reset" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mq-groups -n "__fish_mq_groups_using_subcommand undo" -l format -d 'How to print [default: table]' -r -f -a "table\t'Aligned columns for people, as many as fit; may change'
json\t'One object a line, for scripts'
tsv\t'Tab-separated, for scripts'"
complete -c mq-groups -n "__fish_mq_groups_using_subcommand undo" -l store -d 'The store\'s directory [default: $MQ_STORE, else $XDG_DATA_HOME/mq, else ~/.local/share/mq]' -r -F
complete -c mq-groups -n "__fish_mq_groups_using_subcommand undo" -l color -d 'Colour in tables' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c mq-groups -n "__fish_mq_groups_using_subcommand undo" -l dry-run -d 'Print the plan, change nothing'
complete -c mq-groups -n "__fish_mq_groups_using_subcommand undo" -s y -l yes -d 'Do not ask'
complete -c mq-groups -n "__fish_mq_groups_using_subcommand undo" -l header -d 'Begin tsv with a line of column names'
complete -c mq-groups -n "__fish_mq_groups_using_subcommand undo" -s q -l quiet -d 'No notes and no progress on stderr'
complete -c mq-groups -n "__fish_mq_groups_using_subcommand undo" -l help-json -d 'Print commands and options as JSON, for programs'
complete -c mq-groups -n "__fish_mq_groups_using_subcommand undo" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mq-groups -n "__fish_mq_groups_using_subcommand commit" -l format -d 'How to print [default: table]' -r -f -a "table\t'Aligned columns for people, as many as fit; may change'
json\t'One object a line, for scripts'
tsv\t'Tab-separated, for scripts'"
complete -c mq-groups -n "__fish_mq_groups_using_subcommand commit" -l store -d 'The store\'s directory [default: $MQ_STORE, else $XDG_DATA_HOME/mq, else ~/.local/share/mq]' -r -F
complete -c mq-groups -n "__fish_mq_groups_using_subcommand commit" -l color -d 'Colour in tables' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c mq-groups -n "__fish_mq_groups_using_subcommand commit" -l dry-run -d 'Print the plan, change nothing'
complete -c mq-groups -n "__fish_mq_groups_using_subcommand commit" -l header -d 'Begin tsv with a line of column names'
complete -c mq-groups -n "__fish_mq_groups_using_subcommand commit" -s q -l quiet -d 'No notes and no progress on stderr'
complete -c mq-groups -n "__fish_mq_groups_using_subcommand commit" -l help-json -d 'Print commands and options as JSON, for programs'
complete -c mq-groups -n "__fish_mq_groups_using_subcommand commit" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mq-groups -n "__fish_mq_groups_using_subcommand skip" -s f -l template -d 'Print records with a template such as \'%k=%v\\n\' (see mq(7)), or one of the names value and json, instead of rows' -r
complete -c mq-groups -n "__fish_mq_groups_using_subcommand skip" -l format -d 'How to print [default: table]' -r -f -a "table\t'Aligned columns for people, as many as fit; may change'
json\t'One object a line, for scripts'
tsv\t'Tab-separated, for scripts'"
complete -c mq-groups -n "__fish_mq_groups_using_subcommand skip" -l store -d 'The store\'s directory [default: $MQ_STORE, else $XDG_DATA_HOME/mq, else ~/.local/share/mq]' -r -F
complete -c mq-groups -n "__fish_mq_groups_using_subcommand skip" -l color -d 'Colour in tables' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c mq-groups -n "__fish_mq_groups_using_subcommand skip" -l dry-run -d 'Print the plan, change nothing'
complete -c mq-groups -n "__fish_mq_groups_using_subcommand skip" -s y -l yes -d 'Do not ask'
complete -c mq-groups -n "__fish_mq_groups_using_subcommand skip" -s J -l json -d 'Print records as a JSON object a line, as mq-consume -J'
complete -c mq-groups -n "__fish_mq_groups_using_subcommand skip" -l header -d 'Begin tsv with a line of column names'
complete -c mq-groups -n "__fish_mq_groups_using_subcommand skip" -s q -l quiet -d 'No notes and no progress on stderr'
complete -c mq-groups -n "__fish_mq_groups_using_subcommand skip" -l help-json -d 'Print commands and options as JSON, for programs'
complete -c mq-groups -n "__fish_mq_groups_using_subcommand skip" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mq-groups -n "__fish_mq_groups_using_subcommand clone" -l format -d 'How to print [default: table]' -r -f -a "table\t'Aligned columns for people, as many as fit; may change'
json\t'One object a line, for scripts'
tsv\t'Tab-separated, for scripts'"
complete -c mq-groups -n "__fish_mq_groups_using_subcommand clone" -l store -d 'The store\'s directory [default: $MQ_STORE, else $XDG_DATA_HOME/mq, else ~/.local/share/mq]' -r -F
complete -c mq-groups -n "__fish_mq_groups_using_subcommand clone" -l color -d 'Colour in tables' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c mq-groups -n "__fish_mq_groups_using_subcommand clone" -l dry-run -d 'Print the plan, change nothing'
complete -c mq-groups -n "__fish_mq_groups_using_subcommand clone" -s y -l yes -d 'Do not ask'
complete -c mq-groups -n "__fish_mq_groups_using_subcommand clone" -l header -d 'Begin tsv with a line of column names'
complete -c mq-groups -n "__fish_mq_groups_using_subcommand clone" -s q -l quiet -d 'No notes and no progress on stderr'
complete -c mq-groups -n "__fish_mq_groups_using_subcommand clone" -l help-json -d 'Print commands and options as JSON, for programs'
complete -c mq-groups -n "__fish_mq_groups_using_subcommand clone" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mq-groups -n "__fish_mq_groups_using_subcommand delete" -l format -d 'How to print [default: table]' -r -f -a "table\t'Aligned columns for people, as many as fit; may change'
json\t'One object a line, for scripts'
tsv\t'Tab-separated, for scripts'"
complete -c mq-groups -n "__fish_mq_groups_using_subcommand delete" -l store -d 'The store\'s directory [default: $MQ_STORE, else $XDG_DATA_HOME/mq, else ~/.local/share/mq]' -r -F
complete -c mq-groups -n "__fish_mq_groups_using_subcommand delete" -l color -d 'Colour in tables' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c mq-groups -n "__fish_mq_groups_using_subcommand delete" -l if-exists -d 'A group that is not there is no failure'
complete -c mq-groups -n "__fish_mq_groups_using_subcommand delete" -l dry-run -d 'Print the plan, change nothing'
complete -c mq-groups -n "__fish_mq_groups_using_subcommand delete" -s y -l yes -d 'Do not ask'
complete -c mq-groups -n "__fish_mq_groups_using_subcommand delete" -l header -d 'Begin tsv with a line of column names'
complete -c mq-groups -n "__fish_mq_groups_using_subcommand delete" -s q -l quiet -d 'No notes and no progress on stderr'
complete -c mq-groups -n "__fish_mq_groups_using_subcommand delete" -l help-json -d 'Print commands and options as JSON, for programs'
complete -c mq-groups -n "__fish_mq_groups_using_subcommand delete" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mq-groups -n "__fish_mq_groups_using_subcommand delete-offsets" -l topic -d 'A topic, a partition, or what a quoted glob matches (repeatable)' -r
complete -c mq-groups -n "__fish_mq_groups_using_subcommand delete-offsets" -l format -d 'How to print [default: table]' -r -f -a "table\t'Aligned columns for people, as many as fit; may change'
json\t'One object a line, for scripts'
tsv\t'Tab-separated, for scripts'"
complete -c mq-groups -n "__fish_mq_groups_using_subcommand delete-offsets" -l store -d 'The store\'s directory [default: $MQ_STORE, else $XDG_DATA_HOME/mq, else ~/.local/share/mq]' -r -F
complete -c mq-groups -n "__fish_mq_groups_using_subcommand delete-offsets" -l color -d 'Colour in tables' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c mq-groups -n "__fish_mq_groups_using_subcommand delete-offsets" -l dry-run -d 'Print the plan, change nothing'
complete -c mq-groups -n "__fish_mq_groups_using_subcommand delete-offsets" -s y -l yes -d 'Do not ask'
complete -c mq-groups -n "__fish_mq_groups_using_subcommand delete-offsets" -l header -d 'Begin tsv with a line of column names'
complete -c mq-groups -n "__fish_mq_groups_using_subcommand delete-offsets" -s q -l quiet -d 'No notes and no progress on stderr'
complete -c mq-groups -n "__fish_mq_groups_using_subcommand delete-offsets" -l help-json -d 'Print commands and options as JSON, for programs'
complete -c mq-groups -n "__fish_mq_groups_using_subcommand delete-offsets" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mq-groups -n "__fish_mq_groups_using_subcommand peek" -s B -l before -d 'So many records before, already read' -r
complete -c mq-groups -n "__fish_mq_groups_using_subcommand peek" -s A -l after -d 'So many records after, the next to be read' -r
complete -c mq-groups -n "__fish_mq_groups_using_subcommand peek" -l topic -d 'Only this topic, partition, or what a quoted glob matches (repeatable)' -r
complete -c mq-groups -n "__fish_mq_groups_using_subcommand peek" -s f -l template -d 'Print records with a template such as \'%k=%v\\n\' (see mq(7)), or one of the names value and json, instead of rows' -r
complete -c mq-groups -n "__fish_mq_groups_using_subcommand peek" -l format -d 'How to print [default: table]' -r -f -a "table\t'Aligned columns for people, as many as fit; may change'
json\t'One object a line, for scripts'
tsv\t'Tab-separated, for scripts'"
complete -c mq-groups -n "__fish_mq_groups_using_subcommand peek" -l store -d 'The store\'s directory [default: $MQ_STORE, else $XDG_DATA_HOME/mq, else ~/.local/share/mq]' -r -F
complete -c mq-groups -n "__fish_mq_groups_using_subcommand peek" -l color -d 'Colour in tables' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c mq-groups -n "__fish_mq_groups_using_subcommand peek" -s J -l json -d 'Print records as a JSON object a line, as mq-consume -J'
complete -c mq-groups -n "__fish_mq_groups_using_subcommand peek" -l header -d 'Begin tsv with a line of column names'
complete -c mq-groups -n "__fish_mq_groups_using_subcommand peek" -s q -l quiet -d 'No notes and no progress on stderr'
complete -c mq-groups -n "__fish_mq_groups_using_subcommand peek" -l help-json -d 'Print commands and options as JSON, for programs'
complete -c mq-groups -n "__fish_mq_groups_using_subcommand peek" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mq-groups -n "__fish_mq_groups_using_subcommand history" -l format -d 'How to print [default: table]' -r -f -a "table\t'Aligned columns for people, as many as fit; may change'
json\t'One object a line, for scripts'
tsv\t'Tab-separated, for scripts'"
complete -c mq-groups -n "__fish_mq_groups_using_subcommand history" -l store -d 'The store\'s directory [default: $MQ_STORE, else $XDG_DATA_HOME/mq, else ~/.local/share/mq]' -r -F
complete -c mq-groups -n "__fish_mq_groups_using_subcommand history" -l color -d 'Colour in tables' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c mq-groups -n "__fish_mq_groups_using_subcommand history" -l header -d 'Begin tsv with a line of column names'
complete -c mq-groups -n "__fish_mq_groups_using_subcommand history" -s q -l quiet -d 'No notes and no progress on stderr'
complete -c mq-groups -n "__fish_mq_groups_using_subcommand history" -l help-json -d 'Print commands and options as JSON, for programs'
complete -c mq-groups -n "__fish_mq_groups_using_subcommand history" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mq-groups -n "__fish_mq_groups_using_subcommand watch" -l format -d 'How to print [default: table]' -r -f -a "table\t'Aligned columns for people, as many as fit; may change'
json\t'One object a line, for scripts'
tsv\t'Tab-separated, for scripts'"
complete -c mq-groups -n "__fish_mq_groups_using_subcommand watch" -l store -d 'The store\'s directory [default: $MQ_STORE, else $XDG_DATA_HOME/mq, else ~/.local/share/mq]' -r -F
complete -c mq-groups -n "__fish_mq_groups_using_subcommand watch" -l color -d 'Colour in tables' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c mq-groups -n "__fish_mq_groups_using_subcommand watch" -l only-lagging -d 'Only partitions with records still to be read'
complete -c mq-groups -n "__fish_mq_groups_using_subcommand watch" -l header -d 'Begin tsv with a line of column names'
complete -c mq-groups -n "__fish_mq_groups_using_subcommand watch" -s q -l quiet -d 'No notes and no progress on stderr'
complete -c mq-groups -n "__fish_mq_groups_using_subcommand watch" -l help-json -d 'Print commands and options as JSON, for programs'
complete -c mq-groups -n "__fish_mq_groups_using_subcommand watch" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mq-groups -n "__fish_mq_groups_using_subcommand wait" -l lag -d 'The lag, in records, that is low enough' -r
complete -c mq-groups -n "__fish_mq_groups_using_subcommand wait" -l topic -d 'Only this topic, partition, or what a quoted glob matches (repeatable)' -r
complete -c mq-groups -n "__fish_mq_groups_using_subcommand wait" -l timeout -d 'How long to wait [default: no limit]' -r
complete -c mq-groups -n "__fish_mq_groups_using_subcommand wait" -l format -d 'How to print [default: table]' -r -f -a "table\t'Aligned columns for people, as many as fit; may change'
json\t'One object a line, for scripts'
tsv\t'Tab-separated, for scripts'"
complete -c mq-groups -n "__fish_mq_groups_using_subcommand wait" -l store -d 'The store\'s directory [default: $MQ_STORE, else $XDG_DATA_HOME/mq, else ~/.local/share/mq]' -r -F
complete -c mq-groups -n "__fish_mq_groups_using_subcommand wait" -l color -d 'Colour in tables' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c mq-groups -n "__fish_mq_groups_using_subcommand wait" -l header -d 'Begin tsv with a line of column names'
complete -c mq-groups -n "__fish_mq_groups_using_subcommand wait" -s q -l quiet -d 'No notes and no progress on stderr'
complete -c mq-groups -n "__fish_mq_groups_using_subcommand wait" -l help-json -d 'Print commands and options as JSON, for programs'
complete -c mq-groups -n "__fish_mq_groups_using_subcommand wait" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mq-groups -n "__fish_mq_groups_using_subcommand check" -l warn -d 'Warn above it' -r
complete -c mq-groups -n "__fish_mq_groups_using_subcommand check" -l critical -d 'Critical above it' -r
complete -c mq-groups -n "__fish_mq_groups_using_subcommand check" -l store -d 'The store\'s directory [default: $MQ_STORE, else $XDG_DATA_HOME/mq, else ~/.local/share/mq]' -r -F
complete -c mq-groups -n "__fish_mq_groups_using_subcommand check" -l color -d 'Colour in tables' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c mq-groups -n "__fish_mq_groups_using_subcommand check" -s q -l quiet -d 'No notes and no progress on stderr'
complete -c mq-groups -n "__fish_mq_groups_using_subcommand check" -l help-json -d 'Print commands and options as JSON, for programs'
complete -c mq-groups -n "__fish_mq_groups_using_subcommand check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mq-groups -n "__fish_mq_groups_using_subcommand help; and not __fish_seen_subcommand_from list describe alter reset undo commit skip clone delete delete-offsets peek history watch wait check help" -f -a "list" -d 'List groups and their states'
complete -c mq-groups -n "__fish_mq_groups_using_subcommand help; and not __fish_seen_subcommand_from list describe alter reset undo commit skip clone delete delete-offsets peek history watch wait check help" -f -a "describe" -d 'Show what groups committed, how far behind they are, and who reads for them'
complete -c mq-groups -n "__fish_mq_groups_using_subcommand help; and not __fish_seen_subcommand_from list describe alter reset undo commit skip clone delete delete-offsets peek history watch wait check help" -f -a "alter" -d 'Change a group\'s configs'
complete -c mq-groups -n "__fish_mq_groups_using_subcommand help; and not __fish_seen_subcommand_from list describe alter reset undo commit skip clone delete delete-offsets peek history watch wait check help" -f -a "reset" -d 'Move a group\'s committed offsets'
complete -c mq-groups -n "__fish_mq_groups_using_subcommand help; and not __fish_seen_subcommand_from list describe alter reset undo commit skip clone delete delete-offsets peek history watch wait check help" -f -a "undo" -d 'Take back the last change of a group\'s offsets'
complete -c mq-groups -n "__fish_mq_groups_using_subcommand help; and not __fish_seen_subcommand_from list describe alter reset undo commit skip clone delete delete-offsets peek history watch wait check help" -f -a "commit" -d 'Commit offsets for a group'
complete -c mq-groups -n "__fish_mq_groups_using_subcommand help; and not __fish_seen_subcommand_from list describe alter reset undo commit skip clone delete delete-offsets peek history watch wait check help" -f -a "skip" -d 'Move a group over one record'
complete -c mq-groups -n "__fish_mq_groups_using_subcommand help; and not __fish_seen_subcommand_from list describe alter reset undo commit skip clone delete delete-offsets peek history watch wait check help" -f -a "clone" -d 'Give one group\'s offsets to another'
complete -c mq-groups -n "__fish_mq_groups_using_subcommand help; and not __fish_seen_subcommand_from list describe alter reset undo commit skip clone delete delete-offsets peek history watch wait check help" -f -a "delete" -d 'Delete groups and what they committed'
complete -c mq-groups -n "__fish_mq_groups_using_subcommand help; and not __fish_seen_subcommand_from list describe alter reset undo commit skip clone delete delete-offsets peek history watch wait check help" -f -a "delete-offsets" -d 'Delete a group\'s offsets of topics'
complete -c mq-groups -n "__fish_mq_groups_using_subcommand help; and not __fish_seen_subcommand_from list describe alter reset undo commit skip clone delete delete-offsets peek history watch wait check help" -f -a "peek" -d 'Show the records around where a group is'
complete -c mq-groups -n "__fish_mq_groups_using_subcommand help; and not __fish_seen_subcommand_from list describe alter reset undo commit skip clone delete delete-offsets peek history watch wait check help" -f -a "history" -d 'Tell what happened to a group\'s offsets'
complete -c mq-groups -n "__fish_mq_groups_using_subcommand help; and not __fish_seen_subcommand_from list describe alter reset undo commit skip clone delete delete-offsets peek history watch wait check help" -f -a "watch" -d 'Watch groups\' progress live'
complete -c mq-groups -n "__fish_mq_groups_using_subcommand help; and not __fish_seen_subcommand_from list describe alter reset undo commit skip clone delete delete-offsets peek history watch wait check help" -f -a "wait" -d 'Wait until a group has caught up'
complete -c mq-groups -n "__fish_mq_groups_using_subcommand help; and not __fish_seen_subcommand_from list describe alter reset undo commit skip clone delete delete-offsets peek history watch wait check help" -f -a "check" -d 'Check lag, with a Nagios plugin\'s output and exit statuses'
complete -c mq-groups -n "__fish_mq_groups_using_subcommand help; and not __fish_seen_subcommand_from list describe alter reset undo commit skip clone delete delete-offsets peek history watch wait check help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
