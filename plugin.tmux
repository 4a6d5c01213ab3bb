#!/bin/sh
# What TPM runs when tmux loads its configuration: no arguments, output discarded, and tmux
# waits for it. Finds the tmux program and the roster program, and lets the latter do the rest;
# where none of this plugin's version is there, one is installed in the background.
# (plugin.tmux --tell TEXT is what the hook of a message runs.)

set -u

# Seconds to say a version for a program that somebody else put there, since tmux's start waits:
# it may be anything that is called roster. Ours is not worth the process that watches it.
stranger_limit=2

# Goes to the folder of this file, links followed (`ln -s` and Nix put it elsewhere).
enter_plugin_dir() {
	file=$0
	while [ -L "$file" ]; do
		link=$(readlink "$file") || break
		case $link in
		/*) file=$link ;;
		*) file=${file%/*}/$link ;;
		esac
	done
	case $file in */*) dir=${file%/*} ;; *) dir=. ;; esac
	CDPATH='' cd -P -- "${dir:-/}" 2>/dev/null && dir=$PWD
}

# Whether a program is of this very version. The first that is only compatible (another patch)
# is remembered, and works until there is one; any other is not called. It has so many seconds to
# answer as a second argument says.
is_exact() {
	[ -f "$1" ] && [ -x "$1" ] || return 1
	case $(${2:+limited "$2"} "$1" --version 2>/dev/null </dev/null) in
	"roster $version") roster=$1 ;;
	"roster $series"*)
		roster=${roster:-$1}
		return 1
		;;
	*) return 1 ;;
	esac
}

# Tells by tmux, or else prints, what who loads us by hand may see.
say() {
	{ [ -z "$is_silent" ] && tell "$1"; } || printf 'tmux-roster: %s\n' "$1"
}

# Sets roster to the program to use; fails if another one is to be installed. Sets is_silent where
# tmux does not answer: nobody waits for it once more; and bad_binary to what is wrong with the
# user's choice.
find_roster() {
	roster='' is_chosen='' is_silent='' bad_binary=''
	chosen=$(limited "$tmux_limit" "$tmux" show-options -gqv @roster-binary)
	case $? in 124 | 137) is_silent=yes ;; esac
	case $chosen in [~]/*) chosen=${HOME:-}/${chosen#??} ;; esac
	if [ -n "$chosen" ]; then
		# What the user chose is never replaced, as long as it can be called.
		is_exact "$chosen" "$stranger_limit" || [ -n "$roster" ] && is_chosen=--chosen && return
		bad_binary="@roster-binary is not a roster program of version ${series}x"
	fi
	is_exact "$dir/target/release/roster" && return
	if [ -n "$data" ]; then
		is_exact "$data/$version/roster" && return
		# Before the others what servers call now: an upgrade does not begin with an older one.
		for program in "$data/roster" "$data/$series"*/roster; do
			is_exact "$program" && return
		done
	fi
	is_exact "$(command -v roster)" "$stranger_limit"
}

main() {
	[ -n "${TMUX:-}" ] || exit 0
	unset TMUX_PANE
	# `tmux -S ./s` tells its jobs `./s`, wherever they run.
	case $TMUX in
	/*) ;;
	*)
		pid=${TMUX%,*}
		! folder=$(readlink "/proc/${pid##*,}/cwd" 2>/dev/null) || TMUX=$folder/$TMUX
		;;
	esac
	# A server that systemd, cron or a desktop started may know none of these.
	PATH=${PATH:+$PATH:}/opt/homebrew/bin:/usr/local/bin:/opt/local/bin:/usr/bin:/bin
	enter_plugin_dir && [ -r scripts/common.sh ] || exit 0
	. scripts/common.sh
	if [ "${1:-}" = --tell ]; then
		text=${2:-}
		tell_now
		return
	fi
	tmux=$(tmux_program) || exit 0
	read_version .
	find_data
	find_roster
	is_missing=$?
	problem=
	if [ -n "$roster" ]; then
		problem=$("$roster" load $is_chosen --tmux "$tmux" 2>&1 >/dev/null) || problem=${problem#roster: }
	elif [ -n "$is_silent" ]; then
		problem="tmux did not answer within $tmux_limit s: it is busy, or the server is of another version"
	fi
	# scripts/install ends by running this file: it tells what comes of it, and does not start again.
	if [ -n "${ROSTER_INSTALLING:-}" ]; then
		printf '%s' "$problem"
	elif [ "$is_missing" != 0 ] && [ -z "$is_silent" ]; then
		start_install
	elif [ -n "$bad_binary$problem" ]; then
		say "${bad_binary:+$bad_binary: fix it in tmux.conf${problem:+; }}$problem"
	fi
}

# Has the program installed in the background, which tells the rest: one message at a time.
start_install() {
	[ -n "$roster" ] || hold_keys "version $version is being installed, please wait"
	# Nobody reloads a server that nobody sees: one that starts does not try again what failed.
	ROSTER_CLIENTS=$(ask_tmux list-clients -F x)
	ROSTER_OLDER=$roster ROSTER_BAD_BINARY=$bad_binary ROSTER_PROBLEM=$problem
	export ROSTER_CLIENTS ROSTER_OLDER ROSTER_BAD_BINARY ROSTER_PROBLEM
	scripts/install --auto </dev/null >/dev/null 2>&1 &
}

main "$@"
exit 0
