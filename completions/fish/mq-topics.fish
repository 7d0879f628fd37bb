# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_mq_topics_global_optspecs
    string join \n store= q/quiet color= help-json h/help V/version
end

function __fish_mq_topics_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_mq_topics_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_mq_topics_using_subcommand
    set -l cmd (__fish_mq_topics_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c mq-topics -n "__fish_mq_topics_needs_command" -l store -d 'The store\'s directory [default: $MQ_STORE, else $XDG_DATA_HOME/mq, else ~/.local/share/mq]' -r -F
complete -c mq-topics -n "__fish_mq_topics_needs_command" -l color -d 'Colour in tables' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c mq-topics -n "__fish_mq_topics_needs_command" -s q -l quiet -d 'No notes and no progress on stderr'
complete -c mq-topics -n "__fish_mq_topics_needs_command" -l help-json -d 'Print commands and options as JSON, for programs'
complete -c mq-topics -n "__fish_mq_topics_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mq-topics -n "__fish_mq_topics_needs_command" -s V -l version -d 'Print version'
complete -c mq-topics -n "__fish_mq_topics_needs_command" -f -a "create" -d 'Make topics'
complete -c mq-topics -n "__fish_mq_topics_needs_command" -f -a "list" -d 'List topics'
complete -c mq-topics -n "__fish_mq_topics_needs_command" -f -a "describe" -d 'Show topics: leaders, replicas, offsets, sizes, and the configs that are set'
complete -c mq-topics -n "__fish_mq_topics_needs_command" -f -a "alter" -d 'Change the configs of topics, or give them more partitions'
complete -c mq-topics -n "__fish_mq_topics_needs_command" -f -a "delete" -d 'Delete topics and all their records'
complete -c mq-topics -n "__fish_mq_topics_needs_command" -f -a "offsets" -d 'Show where each partition begins and ends, or where a point lies in it'
complete -c mq-topics -n "__fish_mq_topics_needs_command" -f -a "dump" -d 'Show the batches of a log, or of a segment file wherever it lies'
complete -c mq-topics -n "__fish_mq_topics_needs_command" -f -a "verify" -d 'Check topics for damage, and repair them'
complete -c mq-topics -n "__fish_mq_topics_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c mq-topics -n "__fish_mq_topics_using_subcommand create" -s p -l partitions -d 'How many partitions [default: as --like, else 1]' -r
complete -c mq-topics -n "__fish_mq_topics_using_subcommand create" -s r -l replication-factor -d 'How many replicas of each, placed over the brokers that run [default: as --like, else 1]' -r
complete -c mq-topics -n "__fish_mq_topics_using_subcommand create" -l assign -d 'The brokers of each partition, the preferred leader first: 0:1,1:2 is two partitions' -r
complete -c mq-topics -n "__fish_mq_topics_using_subcommand create" -s c -l config -d 'Set a config (repeatable), such as segment.bytes=104857600' -r
complete -c mq-topics -n "__fish_mq_topics_using_subcommand create" -l like -d 'Take partitions, replicas and configs of this topic, where they are not given' -r
complete -c mq-topics -n "__fish_mq_topics_using_subcommand create" -l format -d 'How to print [default: table]' -r -f -a "table\t'Aligned columns for people, as many as fit; may change'
json\t'One object a line, for scripts'
tsv\t'Tab-separated, for scripts'"
complete -c mq-topics -n "__fish_mq_topics_using_subcommand create" -l store -d 'The store\'s directory [default: $MQ_STORE, else $XDG_DATA_HOME/mq, else ~/.local/share/mq]' -r -F
complete -c mq-topics -n "__fish_mq_topics_using_subcommand create" -l color -d 'Colour in tables' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c mq-topics -n "__fish_mq_topics_using_subcommand create" -l if-not-exists -d 'A topic that is there already is no failure'
complete -c mq-topics -n "__fish_mq_topics_using_subcommand create" -l dry-run -d 'Print the plan, change nothing'
complete -c mq-topics -n "__fish_mq_topics_using_subcommand create" -l header -d 'Begin tsv with a line of column names'
complete -c mq-topics -n "__fish_mq_topics_using_subcommand create" -s q -l quiet -d 'No notes and no progress on stderr'
complete -c mq-topics -n "__fish_mq_topics_using_subcommand create" -l help-json -d 'Print commands and options as JSON, for programs'
complete -c mq-topics -n "__fish_mq_topics_using_subcommand create" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mq-topics -n "__fish_mq_topics_using_subcommand list" -l format -d 'How to print [default: table]' -r -f -a "table\t'Aligned columns for people, as many as fit; may change'
json\t'One object a line, for scripts'
tsv\t'Tab-separated, for scripts'"
complete -c mq-topics -n "__fish_mq_topics_using_subcommand list" -l store -d 'The store\'s directory [default: $MQ_STORE, else $XDG_DATA_HOME/mq, else ~/.local/share/mq]' -r -F
complete -c mq-topics -n "__fish_mq_topics_using_subcommand list" -l color -d 'Colour in tables' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c mq-topics -n "__fish_mq_topics_using_subcommand list" -l sizes -d 'With how many records and bytes they hold'
complete -c mq-topics -n "__fish_mq_topics_using_subcommand list" -l header -d 'Begin tsv with a line of column names'
complete -c mq-topics -n "__fish_mq_topics_using_subcommand list" -s q -l quiet -d 'No notes and no progress on stderr'
complete -c mq-topics -n "__fish_mq_topics_using_subcommand list" -l help-json -d 'Print commands and options as JSON, for programs'
complete -c mq-topics -n "__fish_mq_topics_using_subcommand list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mq-topics -n "__fish_mq_topics_using_subcommand describe" -l format -d 'How to print [default: table]' -r -f -a "table\t'Aligned columns for people, as many as fit; may change'
json\t'One object a line, for scripts'
tsv\t'Tab-separated, for scripts'"
complete -c mq-topics -n "__fish_mq_topics_using_subcommand describe" -l store -d 'The store\'s directory [default: $MQ_STORE, else $XDG_DATA_HOME/mq, else ~/.local/share/mq]' -r -F
complete -c mq-topics -n "__fish_mq_topics_using_subcommand describe" -l color -d 'Colour in tables' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c mq-topics -n "__fish_mq_topics_using_subcommand describe" -l under-replicated -d 'Only partitions with a replica that is not in sync'
complete -c mq-topics -n "__fish_mq_topics_using_subcommand describe" -l offline -d 'Only offline partitions (with --under-replicated: partitions that are one or the other)'
complete -c mq-topics -n "__fish_mq_topics_using_subcommand describe" -l header -d 'Begin tsv with a line of column names'
complete -c mq-topics -n "__fish_mq_topics_using_subcommand describe" -s q -l quiet -d 'No notes and no progress on stderr'
complete -c mq-topics -n "__fish_mq_topics_using_subcommand describe" -l help-json -d 'Print commands and options as JSON, for programs'
complete -c mq-topics -n "__fish_mq_topics_using_subcommand describe" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mq-topics -n "__fish_mq_topics_using_subcommand alter" -s c -l config -d 'Set a config (repeatable)' -r
complete -c mq-topics -n "__fish_mq_topics_using_subcommand alter" -l unset -d 'Take a config back to its default (repeatable)' -r
complete -c mq-topics -n "__fish_mq_topics_using_subcommand alter" -l partitions -d 'The new number of partitions; it can only grow' -r
complete -c mq-topics -n "__fish_mq_topics_using_subcommand alter" -l format -d 'How to print [default: table]' -r -f -a "table\t'Aligned columns for people, as many as fit; may change'
json\t'One object a line, for scripts'
tsv\t'Tab-separated, for scripts'"
complete -c mq-topics -n "__fish_mq_topics_using_subcommand alter" -l store -d 'The store\'s directory [default: $MQ_STORE, else $XDG_DATA_HOME/mq, else ~/.local/share/mq]' -r -F
complete -c mq-topics -n "__fish_mq_topics_using_subcommand alter" -l color -d 'Colour in tables' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c mq-topics -n "__fish_mq_topics_using_subcommand alter" -l dry-run -d 'Print the plan, change nothing'
complete -c mq-topics -n "__fish_mq_topics_using_subcommand alter" -l header -d 'Begin tsv with a line of column names'
complete -c mq-topics -n "__fish_mq_topics_using_subcommand alter" -s q -l quiet -d 'No notes and no progress on stderr'
complete -c mq-topics -n "__fish_mq_topics_using_subcommand alter" -l help-json -d 'Print commands and options as JSON, for programs'
complete -c mq-topics -n "__fish_mq_topics_using_subcommand alter" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mq-topics -n "__fish_mq_topics_using_subcommand delete" -l format -d 'How to print [default: table]' -r -f -a "table\t'Aligned columns for people, as many as fit; may change'
json\t'One object a line, for scripts'
tsv\t'Tab-separated, for scripts'"
complete -c mq-topics -n "__fish_mq_topics_using_subcommand delete" -l store -d 'The store\'s directory [default: $MQ_STORE, else $XDG_DATA_HOME/mq, else ~/.local/share/mq]' -r -F
complete -c mq-topics -n "__fish_mq_topics_using_subcommand delete" -l color -d 'Colour in tables' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c mq-topics -n "__fish_mq_topics_using_subcommand delete" -l if-exists -d 'A topic that is not there is no failure'
complete -c mq-topics -n "__fish_mq_topics_using_subcommand delete" -l dry-run -d 'Print the plan, change nothing'
complete -c mq-topics -n "__fish_mq_topics_using_subcommand delete" -s y -l yes -d 'Do not ask'
complete -c mq-topics -n "__fish_mq_topics_using_subcommand delete" -l header -d 'Begin tsv with a line of column names'
complete -c mq-topics -n "__fish_mq_topics_using_subcommand delete" -s q -l quiet -d 'No notes and no progress on stderr'
complete -c mq-topics -n "__fish_mq_topics_using_subcommand delete" -l help-json -d 'Print commands and options as JSON, for programs'
complete -c mq-topics -n "__fish_mq_topics_using_subcommand delete" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mq-topics -n "__fish_mq_topics_using_subcommand offsets" -l at -d 'A point: start, end, N, +N, -N or @TIME' -r
complete -c mq-topics -n "__fish_mq_topics_using_subcommand offsets" -l format -d 'How to print [default: table]' -r -f -a "table\t'Aligned columns for people, as many as fit; may change'
json\t'One object a line, for scripts'
tsv\t'Tab-separated, for scripts'"
complete -c mq-topics -n "__fish_mq_topics_using_subcommand offsets" -l store -d 'The store\'s directory [default: $MQ_STORE, else $XDG_DATA_HOME/mq, else ~/.local/share/mq]' -r -F
complete -c mq-topics -n "__fish_mq_topics_using_subcommand offsets" -l color -d 'Colour in tables' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c mq-topics -n "__fish_mq_topics_using_subcommand offsets" -l header -d 'Begin tsv with a line of column names'
complete -c mq-topics -n "__fish_mq_topics_using_subcommand offsets" -s q -l quiet -d 'No notes and no progress on stderr'
complete -c mq-topics -n "__fish_mq_topics_using_subcommand offsets" -l help-json -d 'Print commands and options as JSON, for programs'
complete -c mq-topics -n "__fish_mq_topics_using_subcommand offsets" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mq-topics -n "__fish_mq_topics_using_subcommand dump" -l file -d 'A segment (.log) instead' -r -F
complete -c mq-topics -n "__fish_mq_topics_using_subcommand dump" -l format -d 'How to print [default: table]' -r -f -a "table\t'Aligned columns for people, as many as fit; may change'
json\t'One object a line, for scripts'
tsv\t'Tab-separated, for scripts'"
complete -c mq-topics -n "__fish_mq_topics_using_subcommand dump" -l store -d 'The store\'s directory [default: $MQ_STORE, else $XDG_DATA_HOME/mq, else ~/.local/share/mq]' -r -F
complete -c mq-topics -n "__fish_mq_topics_using_subcommand dump" -l color -d 'Colour in tables' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c mq-topics -n "__fish_mq_topics_using_subcommand dump" -l header -d 'Begin tsv with a line of column names'
complete -c mq-topics -n "__fish_mq_topics_using_subcommand dump" -s q -l quiet -d 'No notes and no progress on stderr'
complete -c mq-topics -n "__fish_mq_topics_using_subcommand dump" -l help-json -d 'Print commands and options as JSON, for programs'
complete -c mq-topics -n "__fish_mq_topics_using_subcommand dump" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mq-topics -n "__fish_mq_topics_using_subcommand verify" -l repair -d 'Repair what is damaged: truncate cuts a log before the damage, keeps beside it what it cuts, and lifts the offline mark' -r -f -a "truncate\t'Cut the log before the damage'"
complete -c mq-topics -n "__fish_mq_topics_using_subcommand verify" -l format -d 'How to print [default: table]' -r -f -a "table\t'Aligned columns for people, as many as fit; may change'
json\t'One object a line, for scripts'
tsv\t'Tab-separated, for scripts'"
complete -c mq-topics -n "__fish_mq_topics_using_subcommand verify" -l store -d 'The store\'s directory [default: $MQ_STORE, else $XDG_DATA_HOME/mq, else ~/.local/share/mq]' -r -F
complete -c mq-topics -n "__fish_mq_topics_using_subcommand verify" -l color -d 'Colour in tables' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c mq-topics -n "__fish_mq_topics_using_subcommand verify" -l deep -d 'Read every record and check every checksum'
complete -c mq-topics -n "__fish_mq_topics_using_subcommand verify" -l dry-run -d 'Print what a repair would do, change nothing'
complete -c mq-topics -n "__fish_mq_topics_using_subcommand verify" -s y -l yes -d 'Do not ask'
complete -c mq-topics -n "__fish_mq_topics_using_subcommand verify" -l header -d 'Begin tsv with a line of column names'
complete -c mq-topics -n "__fish_mq_topics_using_subcommand verify" -s q -l quiet -d 'No notes and no progress on stderr'
complete -c mq-topics -n "__fish_mq_topics_using_subcommand verify" -l help-json -d 'Print commands and options as JSON, for programs'
complete -c mq-topics -n "__fish_mq_topics_using_subcommand verify" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mq-topics -n "__fish_mq_topics_using_subcommand help; and not __fish_seen_subcommand_from create list describe alter delete offsets dump verify help" -f -a "create" -d 'Make topics'
complete -c mq-topics -n "__fish_mq_topics_using_subcommand help; and not __fish_seen_subcommand_from create list describe alter delete offsets dump verify help" -f -a "list" -d 'List topics'
complete -c mq-topics -n "__fish_mq_topics_using_subcommand help; and not __fish_seen_subcommand_from create list describe alter delete offsets dump verify help" -f -a "describe" -d 'Show topics: leaders, replicas, offsets, sizes, and the configs that are set'
complete -c mq-topics -n "__fish_mq_topics_using_subcommand help; and not __fish_seen_subcommand_from create list describe alter delete offsets dump verify help" -f -a "alter" -d 'Change the configs of topics, or give them more partitions'
complete -c mq-topics -n "__fish_mq_topics_using_subcommand help; and not __fish_seen_subcommand_from create list describe alter delete offsets dump verify help" -f -a "delete" -d 'Delete topics and all their records'
complete -c mq-topics -n "__fish_mq_topics_using_subcommand help; and not __fish_seen_subcommand_from create list describe alter delete offsets dump verify help" -f -a "offsets" -d 'Show where each partition begins and ends, or where a point lies in it'
complete -c mq-topics -n "__fish_mq_topics_using_subcommand help; and not __fish_seen_subcommand_from create list describe alter delete offsets dump verify help" -f -a "dump" -d 'Show the batches of a log, or of a segment file wherever it lies'
complete -c mq-topics -n "__fish_mq_topics_using_subcommand help; and not __fish_seen_subcommand_from create list describe alter delete offsets dump verify help" -f -a "verify" -d 'Check topics for damage, and repair them'
complete -c mq-topics -n "__fish_mq_topics_using_subcommand help; and not __fish_seen_subcommand_from create list describe alter delete offsets dump verify help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
