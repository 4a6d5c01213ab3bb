#!/bin/sh
# What TPM runs when tmux loads its configuration: no arguments, output discarded, and tmux
# waits for it. Finds the tmux program and the roster program, and lets the latter do the rest.

set -u

# The folder of this file, links followed (`ln -s` and Nix put it elsewhere).
plugin_dir() {
	file=$0
	while [ -L "$file" ]; do
		link=$(readlink "$file") || break
		case $link in
		/*) file=$link ;;
		*) file=$(dirname "$file")/$link ;;
		esac
	done
	CDPATH='' cd -- "$(dirname -- "$file")" && pwd -P
}

# The program that the server runs, since another version's client may hang for ever.
tmux_program() {
	pid=${TMUX%,*}
	pid=${pid##*,}
	if program=$(readlink "/proc/$pid/exe" 2>/dev/null) && [ -x "$program" ]; then
		printf '%s\n' "$program"
		return
	fi
	program=$(ps -o comm= -p "$pid" 2>/dev/null)
	case $program in
	/*) [ -x "$program" ] && printf '%s\n' "$program" && return ;;
	esac
	PATH="$PATH:/opt/homebrew/bin:/usr/local/bin:/opt/local/bin:/usr/bin" command -v tmux
}

roster_program() {
	chosen=$("$tmux" show-options -gqv @roster-binary)
	for program in "$chosen" "$dir/target/release/roster" "$(command -v roster)"; do
		if [ -n "$program" ] && [ -f "$program" ] && [ -x "$program" ]; then
			printf '%s\n' "$program"
			return
		fi
	done
	return 1
}

# No client is there yet to see a message: the first one that comes sees it, once.
tell_how_to_build() {
	"$tmux" set-hook -g 'client-session-changed[4243]' \
		"set-hook -gu 'client-session-changed[4243]' ; display-message 'tmux-roster: the program is not built yet: run scripts/build in the plugin folder, then reload tmux.conf'"
}

main() {
	[ -n "${TMUX:-}" ] || exit 0
	unset TMUX_PANE
	dir=$(plugin_dir) || exit 0
	tmux=$(tmux_program) || exit 0
	if roster=$(roster_program); then
		"$roster" load --tmux "$tmux"
	else
		tell_how_to_build
	fi
}

main
exit 0
