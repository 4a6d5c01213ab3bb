# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154 # set here for those who source this, or by them
# What plugin.tmux and the scripts share; sourced, never run. POSIX sh, as dash and bash 3.2
# have it, with the tools of GNU and of BSD.

# Says what went wrong and stops.
die() {
	printf '%s: %s\n' "$(basename -- "$0")" "$1" >&2
	exit 1
}

have() {
	command -v "$1" >/dev/null 2>&1
}

# Sets version to the plugin's (Cargo.toml's) and series to what a compatible program's begins
# with. No process: tmux's start waits for this.
read_version() {
	version=
	[ ! -r "$1/Cargo.toml" ] || while read -r key _ value; do
		case $key in version)
			value=${value#\"}
			version=${value%\"}
			break
			;;
		esac
	done <"$1/Cargo.toml"
	series=${version:+${version%.*}.}
}

# Sets data to the folder of installed programs; empty where there is no home.
find_data() {
	data=
	case ${XDG_DATA_HOME:-} in
	/*) data=$XDG_DATA_HOME/tmux-roster ;;
	*) [ -z "${HOME:-}" ] || data=$HOME/.local/share/tmux-roster ;;
	esac
}

# Seconds for tmux to answer: a client of another version than the server's may wait for ever.
tmux_limit=3

# The program that the server runs, since another version's client may hang for ever. One that was
# replaced on the disk since, as an upgrade does, is named by its process: only for the next call,
# as process ids are used again.
tmux_program() {
	pid=${TMUX:-}
	pid=${pid%,*}
	pid=${pid##*,}
	if [ -n "${server_birth:-}" ]; then
		is_alive || return
	fi
	if program=$(readlink "/proc/$pid/exe" 2>/dev/null); then
		case $program in
		*' (deleted)') ;;
		*) [ -x "$program" ] && printf '%s\n' "$program" && return ;;
		esac
		[ -x "/proc/$pid/exe" ] && is_our_proc && printf '%s\n' "/proc/$pid/exe" && return
	fi
	program=$(ps -o comm= -p "$pid" 2>/dev/null)
	case $program in
	/*) [ -x "$program" ] && printf '%s\n' "$program" && return ;;
	esac
	command -v tmux && return
	[ -x "${ROSTER_TMUX:-}" ] && printf '%s\n' "$ROSTER_TMUX"
}

# Whether /proc knows processes by the ids that we know: it may be another container's.
is_our_proc() {
	ids=$(sh -c 'printf "%s " "$$"; exec readlink /proc/self')
	[ "$ids" = "${ids%% *} ${ids%% *}" ]
}

# Sets birth to when a process began, where /proc tells: with its id, that is it and no other.
find_birth() {
	birth=
	{ read -r birth <"/proc/$1/stat"; } 2>/dev/null || return
	# Its name stands before this, and may hold anything.
	# shellcheck disable=SC2086 # fields
	set -- ${birth##*) }
	birth=${20:-}
}

# For who works for long: from now on tmux_program knows no other process by the server's id.
remember_server() {
	pid=${TMUX:-}
	pid=${pid%,*}
	find_birth "${pid##*,}"
	server_birth=$birth
}

is_alive() {
	find_birth "$pid"
	[ "$birth" = "$server_birth" ]
}

# Calls tmux for the server that we are in.
ask_tmux() {
	tmux=$(tmux_program) && limited "$tmux_limit" "$tmux" "$@"
}

# Shows a message to everybody who looks at the server; while nobody does (tmux is loading its
# configuration, say), the first one who comes sees it. The hook is set before the clients are
# asked for, so that none slips through in between. Fails if tmux does not take it.
#
# The hook only starts plugin.tmux again, with the text: a command in a list within a hook sends
# a reply that nobody asked for to each client in control mode, and so does, from tmux 3.7 on, a
# message that is shown by the hook itself.
tell() {
	hook='client-session-changed[4243]'
	text="tmux-roster: $(printf '%s' "$1" | LC_ALL=C tr -c 'A-Za-z0-9 ._:/,()@+=-' '?')"
	# One that is called by its process says another name.
	case $(ask_tmux -V) in *" "[012].*)
		# A hook is one command there, and may be the user's.
		tell_soon </dev/null >/dev/null 2>&1 &
		return
		;;
	esac
	quoted=$(printf '%s\n' "$PWD/plugin.tmux" | sed "s/'/'\\\\''/g")
	ask_tmux set-option -g @roster_tell "'$quoted' --tell" ';' set-hook -g "$hook" \
		"run-shell -b \"#{@roster_tell} '$text' >/dev/null 2>&1 || :\"" 2>/dev/null || return
	tell_now
}

# Shows the text to who is there; it has been seen then.
tell_now() {
	! show_clients || ask_tmux set-hook -gu 'client-session-changed[4243]' ';' \
		set-option -gqu @roster_tell 2>/dev/null
}

# Waits a minute for a client to show the text to.
tell_soon() {
	remember_server
	waited=0
	until show_clients || [ "$waited" = 60 ]; do
		waited=$((waited + 1))
		sleep 1
	done
}

# Shows the text to every client but those in control mode, which are programs; fails if there is
# none.
show_clients() {
	clients=$(ask_tmux list-clients -F '#{client_control_mode} #{pane_id} #{client_name}') || return
	is_unseen=1
	while read -r is_program pane client; do
		[ "$is_program" = 0 ] || continue
		{ ask_tmux display-message -c "$client" "$text" || show_pane; } 2>/dev/null && is_unseen=0
	done <<-END
		$clients
	END
	return "$is_unseen"
}

# The same for a client by the pane that it shows: tmux 3.2 takes no client, and may choose one in
# control mode that shows it as well.
show_pane() {
	TMUX_PANE=$pane
	export TMUX_PANE
	[ "$(ask_tmux display-message -p '#{client_control_mode}')" = 0 ] &&
		ask_tmux display-message "$text"
	shown=$?
	unset TMUX_PANE
	return "$shown"
}

# Runs a command for so many seconds at most, with nothing to read, and ends what it started with
# it: whoever reads what it prints waits for all who could still write. macOS has no timeout(1),
# but perl. (A watchdog of sh alone loses signals, or leaves its sleep.)
limited() {
	seconds=$1
	shift
	if have timeout; then
		timeout -k 1 "$seconds" "$@"
	elif have perl; then
		perl -e '
			my $limit = shift;
			defined(my $pid = fork) or exit 126;
			if (!$pid) { setpgrp; exec { $ARGV[0] } @ARGV; exit 127 }
			$SIG{$_} = sub { kill KILL => -$pid; exit 124 } for qw(ALRM HUP INT TERM);
			alarm $limit;
			waitpid $pid, 0;
			exit($? & 127 ? 128 + ($? & 127) : $? >> 8)
		' "$seconds" "$@"
	else
		"$@"
	fi </dev/null
}

# Makes sure of a program: installs its package where that can be done, after a question on a
# terminal and without one where CI=true; else says in one line what to install.
need() {
	program=$1 package=${2:-$1}
	have "$program" && return 0
	if have apt-get && [ "$(id -u)" = 0 ]; then
		install="apt-get install -y $package"
	elif have apt-get && have sudo; then
		install="sudo apt-get install -y $package"
	elif have brew; then
		install="brew install $package"
	else
		die "$program is needed: install the package $package"
	fi
	if [ "${CI:-}" != true ]; then
		[ -t 0 ] || die "$program is needed: run $install"
		printf '%s is needed. Run "%s"? [y/N] ' "$program" "$install"
		read -r answer
		case $answer in y | Y | yes) ;; *) die "$program is needed: run $install" ;; esac
	fi
	case $install in *apt-get*) ${install%%apt-get*} apt-get update -qq >/dev/null 2>&1 || : ;; esac
	DEBIAN_FRONTEND=noninteractive $install >/dev/null || die "could not install $package"
}

need_cargo() {
	have cargo || [ ! -x "${HOME:-}/.cargo/bin/cargo" ] || PATH="$HOME/.cargo/bin:$PATH"
	have cargo || die "cargo is needed: install Rust 1.85 or newer (rustup, or your package manager)"
	have cc || die "a C compiler is needed: install gcc or clang"
}
