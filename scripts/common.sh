# shellcheck shell=sh
# What the scripts share; sourced, never run. POSIX sh.

# Says what went wrong and stops.
die() {
	printf '%s: %s\n' "$(basename -- "$0")" "$1" >&2
	exit 1
}

have() {
	command -v "$1" >/dev/null 2>&1
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
	have cargo || [ ! -x "$HOME/.cargo/bin/cargo" ] || PATH="$HOME/.cargo/bin:$PATH"
	have cargo || die "cargo is needed: install Rust 1.85 or newer (rustup, or your package manager)"
	have cc || die "a C compiler is needed: install gcc or clang"
}
