# For ~/.bashrc: eval "$(roster completions bash)"
_roster() {
    local program=roster kind= value description
    type -P roster >/dev/null 2>&1 || program=@PROGRAM@
    COMPREPLY=()
    while IFS= read -r -d '' value && IFS= read -r -d '' description; do
        if [ -z "$kind" ]; then kind=$value; else COMPREPLY+=("$value"); fi
    done < <("$program" complete bash "${COMP_LINE:0:COMP_POINT}" "$2" 2>/dev/null)
    # Before bash 4 there is no compopt, and no completion of files here.
    case $kind in
    files) compopt -o default 2>/dev/null ;;
    directories) compopt -o dirnames 2>/dev/null ;;
    esac
    return 0
}
complete -F _roster roster
