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

# The program that the server runs, since another version's client may hang for ever.
tmux_program() {
	pid=${TMUX:-}
	pid=${pid%,*}
	pid=${pid##*,}
	if program=$(readlink "/proc/$pid/exe" 2>/dev/null) && [ -x "$program" ]; then
		printf '%s\n' "$program"
		return
	fi
	program=$(ps -o comm= -p "$pid" 2>/dev/null)
	case $program in
	/*) [ -x "$program" ] && printf '%s\n' "$program" && return ;;
	esac
	command -v tmux
}

# Shows a message to every client of the server; while there is none (tmux is loading its
# configuration, say), the first one that comes sees it, once. The hook is set before the
# clients are asked for, so that none slips through in between.
tell() {
	hook='client-session-changed[4243]'
	text="tmux-roster: $(printf '%s' "$1" | LC_ALL=C tr -c 'A-Za-z0-9 ._:/,()@+=-' '?')"
	case $("$tmux" -V) in "tmux "[012].*)
		# A hook is one command there, and may be the user's.
		tell_soon </dev/null >/dev/null 2>&1 &
		return
		;;
	esac
	"$tmux" set-hook -g "$hook" "set-hook -gu '$hook' ; display-message '$text'" 2>/dev/null
	show_clients && "$tmux" set-hook -gu "$hook" 2>/dev/null
	:
}

# Waits a minute for a client to show the text to.
tell_soon() {
	waited=0
	until show_clients || [ "$waited" = 60 ]; do
		waited=$((waited + 1))
		sleep 1
	done
}

# Shows the text to every client; fails if there is none.
show_clients() {
	clients=$("$tmux" list-clients -F '#{client_name}')
	[ -n "$clients" ] || return
	printf '%s\n' "$clients" | while read -r client; do
		"$tmux" display-message -c "$client" "$text" </dev/null
	done
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
