#compdef roster
# For ~/.zshrc, after compinit: eval "$(roster completions zsh)"
_roster() {
    local program=roster value description
    local -a items values shown
    whence -p roster >/dev/null || program=@PROGRAM@
    items=("${(@0)$("$program" complete zsh "${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null)}")
    case $items[1] in
    files) _files; return ;;
    directories) _files -/; return ;;
    esac
    for value description in "${(@)items[3,-2]}"; do
        values+=("$value")
        shown+=("${(V)value}${description:+  -- $description}")
    done
    (( $#values )) && compadd -l -d shown -a values
}
if [ "$funcstack[1]" = _roster ]; then _roster "$@"; else compdef _roster roster; fi
