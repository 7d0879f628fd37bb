# Completion of mq-produce in fish. 'MQ_COMPLETE=fish mq-produce' prints this.
function __mq_produce_complete
    set -l words (commandline -xpc 2> /dev/null; or commandline -opc)
    set -l current (commandline -ct)
    set -l reply (env MQ_COMPLETE=fish mq-produce -- $words "$current" 2> /dev/null < /dev/null)
    set -l head (string sub -l "$reply[2]" -- "$current")
    set -l rest (string sub -s (math "$reply[2]" + 1) -- "$current")
    switch "$reply[1]"
        case files
            printf '%s\n' $head(__fish_complete_path "$rest")
        case dirs
            printf '%s\n' $head(__fish_complete_directories "$rest" '')
        case commands
            printf '%s\n' $head(complete -C "$rest")
        case groups
            printf '%s\n' $head(__fish_complete_groups)
        case '*'
            printf '%s\n' $reply[3..]
    end
end
complete -c mq-produce -f -k -a '(__mq_produce_complete)'
