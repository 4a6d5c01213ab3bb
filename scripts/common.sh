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

# Sets tmux_is to ancient (before 3.0), old (before 3.2) or new. One that is called by its process
# says another name.
find_age() {
	case $(ask_tmux -V) in
	*" "[012].*) tmux_is=ancient ;;
	*" 3."[01] | *" 3."[01][!0-9]*) tmux_is=old ;;
	*) tmux_is=new ;;
	esac
}

# How long a message stands at least, in milliseconds: by default tmux shows one for 750.
message_time=6000

# A word that sh takes as it is.
quoted() {
	printf "'%s'" "$(printf '%s\n' "$1" | sed "s/'/'\\\\''/g")"
}

# A word of a tmux call, which a ; at its end would end.
argument() {
	case $1 in
	*';') printf '%s\n' "${1%;}\\;" ;;
	*) printf '%s\n' "$1" ;;
	esac
}

# Shows a message to everybody who looks at the server; while nobody does (tmux is loading its
# configuration, say), the first one who comes sees it. The hook is set before the clients are
# asked for, so that none slips through in between. Fails if tmux does not take it.
#
# The hook only starts plugin.tmux again, with the text: a command in a list within a hook sends
# a reply that nobody asked for to each client in control mode, and so does, from tmux 3.7 on, a
# message that is shown by the hook itself. tmux inserts the option without expanding it again.
tell() {
	hook='client-session-changed[4243]'
	text=$(message "$1")
	find_age
	if [ "$tmux_is" = ancient ]; then
		# A hook is one command there, and may be the user's.
		tell_soon </dev/null >/dev/null 2>&1 &
		return
	fi
	ask_tmux set-option -g @roster_tell "$(quoted "$PWD/plugin.tmux") --tell $(quoted "$text")" ';' \
		set-hook -g "$hook" 'run-shell -b "#{@roster_tell} >/dev/null 2>&1 || :"' 2>/dev/null || return
	tell_now
}

# The text of a message: one line.
message() {
	printf 'tmux-roster: %s' "$1" | LC_ALL=C tr '\001-\037\177' '?'
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
	clients=$(ask_tmux list-clients -F \
		'#{client_control_mode} #{display-time} #{session_id} #{pane_id} #{client_name}') || return
	# It is a format, over which strftime runs.
	escaped=$(argument "$(printf '%s\n' "$text" | sed 's/#/##/g; s/%/%%/g')")
	is_unseen=1
	while read -r is_program time session pane client; do
		[ "$is_program" = 0 ] || continue
		# Whoever has messages stay for longer, or until a key is pressed, has it so.
		longer="-d $message_time"
		[ "$time" != 0 ] && [ "$time" -lt "$message_time" ] || longer=
		{ show_client || show_longer || show_pane; } 2>/dev/null && is_unseen=0
	done <<-END
		$clients
	END
	return "$is_unseen"
}

show_client() {
	# shellcheck disable=SC2086 # none, or an option and its value
	ask_tmux display-message $longer -c "$client" "$escaped"
}

# The same before tmux 3.2, where a message stands as long as its session's display-time says: in
# one call, so that two of these do not meet. What was the session's own is that again.
show_longer() {
	find_age
	[ "$tmux_is" != new ] || return
	ask_tmux set-option -t "$session" -F @roster_time '#{display-time}' ';' \
		set-option -t "$session" display-time "$message_time" ';' \
		display-message -c "$client" "$escaped" ';' \
		set-option -u -t "$session" display-time ';' \
		if-shell -t "$session:" -F '#{==:#{display-time},#{@roster_time}}' '' \
		"set-option -t '$session' -F display-time '#{@roster_time}'" ';' \
		set-option -u -t "$session" @roster_time && return
	# The client has gone meanwhile.
	ask_tmux if-shell -t "$session:" -F '#{@roster_time}' \
		"set-option -t '$session' -F display-time '#{@roster_time}' ; set-option -u -t '$session' @roster_time"
	return 1
}

# The same for a client by the pane that it shows: tmux 3.2 takes no client, and may choose one in
# control mode that shows it as well.
show_pane() {
	TMUX_PANE=$pane
	export TMUX_PANE
	# shellcheck disable=SC2086 # none, or an option and its value
	[ "$(ask_tmux display-message -p '#{client_control_mode}')" = 0 ] &&
		ask_tmux display-message $longer "$escaped"
	shown=$?
	unset TMUX_PANE
	return "$shown"
}

# While there is no program to call, our keys say why: what @roster_absent holds. Such a binding is
# known by that; `roster load` replaces it, and scripts/uninstall removes it.

# Prints the keys of ours that hold such a binding (`held`), or that nobody else has (`free`).
our_keys() {
	listed=$(ask_tmux list-keys -T prefix) || return
	{
		while read -r name default; do
			key=$(ask_tmux show-options -gqv "$name")
			printf 'wanted %s\n' "${key:-$default}"
		done <<-END
			@roster-pick-key G
			@roster-menu-key A
			@roster-reopen-key B
		END
		printf '%s\n' "$listed"
	} | awk -v which="$1" '
		# A key as tmux calls it, whether a person or list-keys wrote it.
		function plain(key) {
			if (key ~ /^".+"$/ || key ~ /^\047.+\047$/) key = substr(key, 2, length(key) - 2)
			if (length(key) > 1) sub(/^\\/, "", key)
			if (key ~ /^\^.$/) key = "C-" tolower(substr(key, 2))
			if (key ~ /^C-.$/) key = "C-" tolower(substr(key, 3))
			return key
		}
		$1 == "wanted" { wanted[++count] = plain($2); next }
		{
			for (i = 1; i < NF; i++) if ($i == "-T") break
			key = plain($(i + 2))
			if (/ display-message .*"#\{@roster_absent\}"/) {
				if (which == "held") print key
			} else if (!/ run-shell -b "#\{@roster_program\} .* --from \047#\{E:@roster_from\}\047 /)
				taken[key] = 1
		}
		END {
			for (i = 1; which == "free" && i <= count; i++)
				# tmux takes a ; for the end of a command.
				if (wanted[i] != "none" && wanted[i] !~ /;$/ && !(wanted[i] in taken)) print wanted[i]
		}'
}

# Has the keys that nobody else has say what is going on.
hold_keys() {
	find_age
	[ "$tmux_is" != ancient ] || return 0
	keys=$(our_keys free) || return
	[ -n "$keys" ] || return 0
	ask_tmux set-option -g @roster_absent "$(argument "$(message "$1")")" ';' \
		set-option -g @roster_waiting "$(argument "$PWD")"
	bind_keys
}

# Has the keys that are held say something else.
update_keys() {
	[ -z "${TMUX:-}" ] || [ -z "$(ask_tmux show-options -gqv @roster_absent)" ] ||
		ask_tmux set-option -g @roster_absent "$(argument "$(message "$1")")"
}

# The same when nothing more will come: each says it once, and is free again.
release_keys() {
	[ -n "${TMUX:-}" ] || return 0
	find_age
	keys=$(our_keys held) || return
	[ -n "$keys" ] || return 0
	update_keys "$1"
	bind_keys once
}

# Binds $keys to what says it: no shell, so that they speak when our files are gone as well. With
# an argument each is unbound by that. A name that is no key is no matter.
bind_keys() {
	once=${1:-}
	while read -r key; do
		if [ "$tmux_is" = new ]; then
			set -- display-message -d "$message_time" '#{@roster_absent}'
		else
			set -- set-option -F @roster_time '#{display-time}' '\;' \
				set-option display-time "$message_time" '\;' display-message '#{@roster_absent}' '\;' \
				set-option -u display-time '\;' \
				if-shell -F '#{==:#{display-time},#{@roster_time}}' 'set-option -u @roster_time' \
				"set-option -F display-time '#{@roster_time}' ; set-option -u @roster_time"
		fi
		[ -z "$once" ] || set -- "$@" '\;' unbind-key -T prefix "$key"
		ask_tmux bind-key -T prefix "$key" "$@" 2>/dev/null
	done <<-END
		$keys
	END
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

# Sets rust to the oldest Rust that will do (Cargo.toml's rust-version), and old_cargo to the version
# of a cargo that is older; it is empty where that is not so, or cannot be told.
find_old_cargo() {
	rust=
	while read -r key _ value; do
		case $key in rust-version)
			rust=${value#\"}
			rust=${rust%\"}
			;;
		esac
	done <Cargo.toml
	old_cargo=$(limited 10 cargo --version 2>/dev/null | awk -v wanted="$rust" '
		$1 == "cargo" && $2 ~ /^[0-9]+\.[0-9]+/ {
			split($2, is, ".")
			split(wanted, min, ".")
			if (is[1] + 0 < min[1] + 0 || (is[1] + 0 == min[1] + 0 && is[2] + 0 < min[2] + 0)) print $2
			exit
		}')
}

need_cargo() {
	have cargo || [ ! -x "${HOME:-}/.cargo/bin/cargo" ] || PATH="$HOME/.cargo/bin:$PATH"
	have cargo || die "cargo is needed: install Rust 1.85 or newer (rustup, or your package manager)"
	have cc || die "a C compiler is needed: install gcc or clang"
}
