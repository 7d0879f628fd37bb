#compdef TOOL
# Completion of TOOL in zsh. 'MQ_COMPLETE=zsh TOOL' prints this.
_TOOL() {
    local done=1
    local -a reply offers joined options
    reply=("${(@f)$(MQ_COMPLETE=zsh command TOOL -- "${(@Q)words[1,CURRENT-1]}" "${(Q)PREFIX}" \
        2> /dev/null < /dev/null)}")
    case $reply[1] in
        files) compset -p $reply[2]; _files ;;
        dirs) compset -p $reply[2]; _files -/ ;;
        commands) compset -p $reply[2]; _cmdstring ;;
        groups) compset -p $reply[2]; _groups ;;
        *)
            reply=("${(@)reply[3,-1]}")
            offers=("${(@)${(@M)reply:#+*}#+}")
            joined=("${(@)${(@M)reply:#=*}#=}")
            options=("${(@)${(@M)reply:#-*}#-}")
            (( $#offers )) && _describe -V -t values value offers && done=0
            (( $#joined )) && _describe -V -t values value joined -S '' && done=0
            (( $#options )) && _describe -V -o option options && done=0
            return done
            ;;
    esac
}
if [[ $funcstack[1] == _TOOL ]]; then
    _TOOL "$@"
else
    compdef _TOOL TOOL
fi
