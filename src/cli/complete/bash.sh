# Completion of TOOL in bash. 'MQ_COMPLETE=bash TOOL' prints this.
_NAME() {
    local tool reply
    tool=$(type -P TOOL) || tool=$(type -P -- "$1") || return
    mapfile -t reply < <(MQ_COMPLETE=bash "$tool" -- "${COMP_LINE:0:COMP_POINT}" "$2" \
        2> /dev/null < /dev/null)
    COMPREPLY=("${reply[@]:2}")
    case ${reply[0]-} in
        joined) compopt -o nospace ;;
        files) compopt -o default ;;
        dirs) compopt -o dirnames ;;
        # One that is in several directories of PATH, or built in too, is listed once for each.
        commands) mapfile -t COMPREPLY < <(compgen -c -- "$2" | sort -u) ;;
        groups) mapfile -t COMPREPLY < <(compgen -g -- "$2" | sort -u) ;;
    esac
}
complete -o nosort -F _NAME TOOL 2> /dev/null || complete -F _NAME TOOL
