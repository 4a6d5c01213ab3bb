# For ~/.config/fish/config.fish: roster completions fish | source
function __roster_complete
    set -l program roster
    command -q roster; or set program @PROGRAM@
    set -l words (commandline -opc)
    set -l items ($program complete fish $words[2..-1] (commandline -ct) 2>/dev/null | string split0)
    switch "$items[1]"
        case files
            __fish_complete_path (commandline -ct) | string split \n | string join0
        case directories
            __fish_complete_directories (commandline -ct) '' | string split \n | string join0
        case '*'
            set -q items[3]; and string join0 -- $items[3..-1]
    end
end
complete -c roster -f -a '(__roster_complete | string split0)'
