# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_mq_broker_global_optspecs
    string join \n store= q/quiet color= help-json h/help V/version
end

function __fish_mq_broker_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_mq_broker_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_mq_broker_using_subcommand
    set -l cmd (__fish_mq_broker_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c mq-broker -n "__fish_mq_broker_needs_command" -l store -d 'The store\'s directory [default: $MQ_STORE, else $XDG_DATA_HOME/mq, else ~/.local/share/mq]' -r -F
complete -c mq-broker -n "__fish_mq_broker_needs_command" -l color -d 'Colour in tables' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c mq-broker -n "__fish_mq_broker_needs_command" -s q -l quiet -d 'No notes and no progress on stderr'
complete -c mq-broker -n "__fish_mq_broker_needs_command" -l help-json -d 'Print commands and options as JSON, for programs'
complete -c mq-broker -n "__fish_mq_broker_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mq-broker -n "__fish_mq_broker_needs_command" -s V -l version -d 'Print version'
complete -c mq-broker -n "__fish_mq_broker_needs_command" -f -a "start" -d 'Run a broker in the foreground'
complete -c mq-broker -n "__fish_mq_broker_needs_command" -f -a "init" -d 'Make a store, or give one to a Unix group'
complete -c mq-broker -n "__fish_mq_broker_needs_command" -f -a "status" -d 'Show brokers: registered, running, where; exit status 1 if none runs'
complete -c mq-broker -n "__fish_mq_broker_needs_command" -f -a "list" -d 'List the brokers: state, place, and how much of the topics each has'
complete -c mq-broker -n "__fish_mq_broker_needs_command" -f -a "stop" -d 'Stop a running broker, and wait until it has ended'
complete -c mq-broker -n "__fish_mq_broker_needs_command" -f -a "drain" -d 'Move all leaders off a running broker, until it is restarted'
complete -c mq-broker -n "__fish_mq_broker_needs_command" -f -a "health" -d 'Say whether all is as it should be: exit status 1 if not, and why'
complete -c mq-broker -n "__fish_mq_broker_needs_command" -f -a "elect" -d 'Have partitions led by others'
complete -c mq-broker -n "__fish_mq_broker_needs_command" -f -a "reassign" -d 'Give partitions other replicas, or list what is under way'
complete -c mq-broker -n "__fish_mq_broker_needs_command" -f -a "locks" -d 'Show who holds which lock of the store'
complete -c mq-broker -n "__fish_mq_broker_needs_command" -f -a "unregister" -d 'Take a stopped broker that has no replicas out of the store'
complete -c mq-broker -n "__fish_mq_broker_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c mq-broker -n "__fish_mq_broker_using_subcommand start" -l id -d 'The broker\'s id, from 0; one that is not there yet is made' -r
complete -c mq-broker -n "__fish_mq_broker_using_subcommand start" -l log-dir -d 'Keep the replicas in this directory, which may be on another disk, and is registered: it need not be said again' -r -F
complete -c mq-broker -n "__fish_mq_broker_using_subcommand start" -l rack -d 'Where the broker stands, for the placement of replicas; registered too. \'\' takes it back' -r
complete -c mq-broker -n "__fish_mq_broker_using_subcommand start" -l store -d 'The store\'s directory [default: $MQ_STORE, else $XDG_DATA_HOME/mq, else ~/.local/share/mq]' -r -F
complete -c mq-broker -n "__fish_mq_broker_using_subcommand start" -l color -d 'Colour in tables' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c mq-broker -n "__fish_mq_broker_using_subcommand start" -s q -l quiet -d 'No notes and no progress on stderr'
complete -c mq-broker -n "__fish_mq_broker_using_subcommand start" -l help-json -d 'Print commands and options as JSON, for programs'
complete -c mq-broker -n "__fish_mq_broker_using_subcommand start" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mq-broker -n "__fish_mq_broker_using_subcommand init" -l group -d 'The Unix group, by name or number' -r
complete -c mq-broker -n "__fish_mq_broker_using_subcommand init" -l store -d 'The store\'s directory [default: $MQ_STORE, else $XDG_DATA_HOME/mq, else ~/.local/share/mq]' -r -F
complete -c mq-broker -n "__fish_mq_broker_using_subcommand init" -l color -d 'Colour in tables' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c mq-broker -n "__fish_mq_broker_using_subcommand init" -s q -l quiet -d 'No notes and no progress on stderr'
complete -c mq-broker -n "__fish_mq_broker_using_subcommand init" -l help-json -d 'Print commands and options as JSON, for programs'
complete -c mq-broker -n "__fish_mq_broker_using_subcommand init" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mq-broker -n "__fish_mq_broker_using_subcommand status" -l format -d 'How to print [default: table]' -r -f -a "table\t'Aligned columns for people, as many as fit; may change'
json\t'One object a line, for scripts'
tsv\t'Tab-separated, for scripts'"
complete -c mq-broker -n "__fish_mq_broker_using_subcommand status" -l store -d 'The store\'s directory [default: $MQ_STORE, else $XDG_DATA_HOME/mq, else ~/.local/share/mq]' -r -F
complete -c mq-broker -n "__fish_mq_broker_using_subcommand status" -l color -d 'Colour in tables' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c mq-broker -n "__fish_mq_broker_using_subcommand status" -l header -d 'Begin tsv with a line of column names'
complete -c mq-broker -n "__fish_mq_broker_using_subcommand status" -s q -l quiet -d 'No notes and no progress on stderr'
complete -c mq-broker -n "__fish_mq_broker_using_subcommand status" -l help-json -d 'Print commands and options as JSON, for programs'
complete -c mq-broker -n "__fish_mq_broker_using_subcommand status" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mq-broker -n "__fish_mq_broker_using_subcommand list" -l format -d 'How to print [default: table]' -r -f -a "table\t'Aligned columns for people, as many as fit; may change'
json\t'One object a line, for scripts'
tsv\t'Tab-separated, for scripts'"
complete -c mq-broker -n "__fish_mq_broker_using_subcommand list" -l store -d 'The store\'s directory [default: $MQ_STORE, else $XDG_DATA_HOME/mq, else ~/.local/share/mq]' -r -F
complete -c mq-broker -n "__fish_mq_broker_using_subcommand list" -l color -d 'Colour in tables' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c mq-broker -n "__fish_mq_broker_using_subcommand list" -l header -d 'Begin tsv with a line of column names'
complete -c mq-broker -n "__fish_mq_broker_using_subcommand list" -s q -l quiet -d 'No notes and no progress on stderr'
complete -c mq-broker -n "__fish_mq_broker_using_subcommand list" -l help-json -d 'Print commands and options as JSON, for programs'
complete -c mq-broker -n "__fish_mq_broker_using_subcommand list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mq-broker -n "__fish_mq_broker_using_subcommand stop" -l timeout -d 'How long to wait without progress' -r
complete -c mq-broker -n "__fish_mq_broker_using_subcommand stop" -l store -d 'The store\'s directory [default: $MQ_STORE, else $XDG_DATA_HOME/mq, else ~/.local/share/mq]' -r -F
complete -c mq-broker -n "__fish_mq_broker_using_subcommand stop" -l color -d 'Colour in tables' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c mq-broker -n "__fish_mq_broker_using_subcommand stop" -s q -l quiet -d 'No notes and no progress on stderr'
complete -c mq-broker -n "__fish_mq_broker_using_subcommand stop" -l help-json -d 'Print commands and options as JSON, for programs'
complete -c mq-broker -n "__fish_mq_broker_using_subcommand stop" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mq-broker -n "__fish_mq_broker_using_subcommand drain" -l timeout -d 'How long to wait until it leads nothing' -r
complete -c mq-broker -n "__fish_mq_broker_using_subcommand drain" -l store -d 'The store\'s directory [default: $MQ_STORE, else $XDG_DATA_HOME/mq, else ~/.local/share/mq]' -r -F
complete -c mq-broker -n "__fish_mq_broker_using_subcommand drain" -l color -d 'Colour in tables' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c mq-broker -n "__fish_mq_broker_using_subcommand drain" -l undo -d 'Let it lead again'
complete -c mq-broker -n "__fish_mq_broker_using_subcommand drain" -s q -l quiet -d 'No notes and no progress on stderr'
complete -c mq-broker -n "__fish_mq_broker_using_subcommand drain" -l help-json -d 'Print commands and options as JSON, for programs'
complete -c mq-broker -n "__fish_mq_broker_using_subcommand drain" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mq-broker -n "__fish_mq_broker_using_subcommand health" -l timeout -d 'How long to wait [default: 60s]' -r
complete -c mq-broker -n "__fish_mq_broker_using_subcommand health" -l format -d 'How to print [default: table]' -r -f -a "table\t'Aligned columns for people, as many as fit; may change'
json\t'One object a line, for scripts'
tsv\t'Tab-separated, for scripts'"
complete -c mq-broker -n "__fish_mq_broker_using_subcommand health" -l store -d 'The store\'s directory [default: $MQ_STORE, else $XDG_DATA_HOME/mq, else ~/.local/share/mq]' -r -F
complete -c mq-broker -n "__fish_mq_broker_using_subcommand health" -l color -d 'Colour in tables' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c mq-broker -n "__fish_mq_broker_using_subcommand health" -l wait -d 'Wait until all is as it should be'
complete -c mq-broker -n "__fish_mq_broker_using_subcommand health" -l header -d 'Begin tsv with a line of column names'
complete -c mq-broker -n "__fish_mq_broker_using_subcommand health" -s q -l quiet -d 'No notes and no progress on stderr'
complete -c mq-broker -n "__fish_mq_broker_using_subcommand health" -l help-json -d 'Print commands and options as JSON, for programs'
complete -c mq-broker -n "__fish_mq_broker_using_subcommand health" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mq-broker -n "__fish_mq_broker_using_subcommand elect" -l to -d 'Elect this broker\'s replica (unclean) [default: that with most of the log]' -r
complete -c mq-broker -n "__fish_mq_broker_using_subcommand elect" -l format -d 'How to print [default: table]' -r -f -a "table\t'Aligned columns for people, as many as fit; may change'
json\t'One object a line, for scripts'
tsv\t'Tab-separated, for scripts'"
complete -c mq-broker -n "__fish_mq_broker_using_subcommand elect" -l store -d 'The store\'s directory [default: $MQ_STORE, else $XDG_DATA_HOME/mq, else ~/.local/share/mq]' -r -F
complete -c mq-broker -n "__fish_mq_broker_using_subcommand elect" -l color -d 'Colour in tables' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c mq-broker -n "__fish_mq_broker_using_subcommand elect" -l dry-run -d 'Print the plan, change nothing'
complete -c mq-broker -n "__fish_mq_broker_using_subcommand elect" -s y -l yes -d 'Do not ask'
complete -c mq-broker -n "__fish_mq_broker_using_subcommand elect" -l header -d 'Begin tsv with a line of column names'
complete -c mq-broker -n "__fish_mq_broker_using_subcommand elect" -s q -l quiet -d 'No notes and no progress on stderr'
complete -c mq-broker -n "__fish_mq_broker_using_subcommand elect" -l help-json -d 'Print commands and options as JSON, for programs'
complete -c mq-broker -n "__fish_mq_broker_using_subcommand elect" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mq-broker -n "__fish_mq_broker_using_subcommand reassign" -l throttle -d 'Most bytes a second that each new replica copies, such as 10MB: on average, for batches are copied whole [default: no limit]' -r
complete -c mq-broker -n "__fish_mq_broker_using_subcommand reassign" -l timeout -d 'How long to wait [default: 60s]' -r
complete -c mq-broker -n "__fish_mq_broker_using_subcommand reassign" -l format -d 'How to print [default: table]' -r -f -a "table\t'Aligned columns for people, as many as fit; may change'
json\t'One object a line, for scripts'
tsv\t'Tab-separated, for scripts'"
complete -c mq-broker -n "__fish_mq_broker_using_subcommand reassign" -l store -d 'The store\'s directory [default: $MQ_STORE, else $XDG_DATA_HOME/mq, else ~/.local/share/mq]' -r -F
complete -c mq-broker -n "__fish_mq_broker_using_subcommand reassign" -l color -d 'Colour in tables' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c mq-broker -n "__fish_mq_broker_using_subcommand reassign" -l cancel -d 'Cancel the reassignment of these partitions or topics, and keep the old replicas'
complete -c mq-broker -n "__fish_mq_broker_using_subcommand reassign" -l wait -d 'Wait until it is done; without partitions, until nothing is under way'
complete -c mq-broker -n "__fish_mq_broker_using_subcommand reassign" -l dry-run -d 'Print the plan, change nothing'
complete -c mq-broker -n "__fish_mq_broker_using_subcommand reassign" -l header -d 'Begin tsv with a line of column names'
complete -c mq-broker -n "__fish_mq_broker_using_subcommand reassign" -s q -l quiet -d 'No notes and no progress on stderr'
complete -c mq-broker -n "__fish_mq_broker_using_subcommand reassign" -l help-json -d 'Print commands and options as JSON, for programs'
complete -c mq-broker -n "__fish_mq_broker_using_subcommand reassign" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mq-broker -n "__fish_mq_broker_using_subcommand locks" -l format -d 'How to print [default: table]' -r -f -a "table\t'Aligned columns for people, as many as fit; may change'
json\t'One object a line, for scripts'
tsv\t'Tab-separated, for scripts'"
complete -c mq-broker -n "__fish_mq_broker_using_subcommand locks" -l store -d 'The store\'s directory [default: $MQ_STORE, else $XDG_DATA_HOME/mq, else ~/.local/share/mq]' -r -F
complete -c mq-broker -n "__fish_mq_broker_using_subcommand locks" -l color -d 'Colour in tables' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c mq-broker -n "__fish_mq_broker_using_subcommand locks" -l header -d 'Begin tsv with a line of column names'
complete -c mq-broker -n "__fish_mq_broker_using_subcommand locks" -s q -l quiet -d 'No notes and no progress on stderr'
complete -c mq-broker -n "__fish_mq_broker_using_subcommand locks" -l help-json -d 'Print commands and options as JSON, for programs'
complete -c mq-broker -n "__fish_mq_broker_using_subcommand locks" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mq-broker -n "__fish_mq_broker_using_subcommand unregister" -l store -d 'The store\'s directory [default: $MQ_STORE, else $XDG_DATA_HOME/mq, else ~/.local/share/mq]' -r -F
complete -c mq-broker -n "__fish_mq_broker_using_subcommand unregister" -l color -d 'Colour in tables' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c mq-broker -n "__fish_mq_broker_using_subcommand unregister" -s q -l quiet -d 'No notes and no progress on stderr'
complete -c mq-broker -n "__fish_mq_broker_using_subcommand unregister" -l help-json -d 'Print commands and options as JSON, for programs'
complete -c mq-broker -n "__fish_mq_broker_using_subcommand unregister" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mq-broker -n "__fish_mq_broker_using_subcommand help; and not __fish_seen_subcommand_from start init status list stop drain health elect reassign locks unregister help" -f -a "start" -d 'Run a broker in the foreground'
complete -c mq-broker -n "__fish_mq_broker_using_subcommand help; and not __fish_seen_subcommand_from start init status list stop drain health elect reassign locks unregister help" -f -a "init" -d 'Make a store, or give one to a Unix group'
complete -c mq-broker -n "__fish_mq_broker_using_subcommand help; and not __fish_seen_subcommand_from start init status list stop drain health elect reassign locks unregister help" -f -a "status" -d 'Show brokers: registered, running, where; exit status 1 if none runs'
complete -c mq-broker -n "__fish_mq_broker_using_subcommand help; and not __fish_seen_subcommand_from start init status list stop drain health elect reassign locks unregister help" -f -a "list" -d 'List the brokers: state, place, and how much of the topics each has'
complete -c mq-broker -n "__fish_mq_broker_using_subcommand help; and not __fish_seen_subcommand_from start init status list stop drain health elect reassign locks unregister help" -f -a "stop" -d 'Stop a running broker, and wait until it has ended'
complete -c mq-broker -n "__fish_mq_broker_using_subcommand help; and not __fish_seen_subcommand_from start init status list stop drain health elect reassign locks unregister help" -f -a "drain" -d 'Move all leaders off a running broker, until it is restarted'
complete -c mq-broker -n "__fish_mq_broker_using_subcommand help; and not __fish_seen_subcommand_from start init status list stop drain health elect reassign locks unregister help" -f -a "health" -d 'Say whether all is as it should be: exit status 1 if not, and why'
complete -c mq-broker -n "__fish_mq_broker_using_subcommand help; and not __fish_seen_subcommand_from start init status list stop drain health elect reassign locks unregister help" -f -a "elect" -d 'Have partitions led by others'
complete -c mq-broker -n "__fish_mq_broker_using_subcommand help; and not __fish_seen_subcommand_from start init status list stop drain health elect reassign locks unregister help" -f -a "reassign" -d 'Give partitions other replicas, or list what is under way'
complete -c mq-broker -n "__fish_mq_broker_using_subcommand help; and not __fish_seen_subcommand_from start init status list stop drain health elect reassign locks unregister help" -f -a "locks" -d 'Show who holds which lock of the store'
complete -c mq-broker -n "__fish_mq_broker_using_subcommand help; and not __fish_seen_subcommand_from start init status list stop drain health elect reassign locks unregister help" -f -a "unregister" -d 'Take a stopped broker that has no replicas out of the store'
complete -c mq-broker -n "__fish_mq_broker_using_subcommand help; and not __fish_seen_subcommand_from start init status list stop drain health elect reassign locks unregister help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
