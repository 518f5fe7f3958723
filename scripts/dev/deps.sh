#!/usr/bin/env bash
# Installs the Debian packages that building, linting and testing need, and only those whose programs
# are absent. Needs root, or sudo without a password; otherwise it names what is missing and fails.
#
#   deps.sh            everything
#   deps.sh lint       what `make lint` needs
#   deps.sh test       what `make test` needs
#
# On a machine with systemd, Debian starts the services it installs. The tests do not use
# those: they start their own servers (servers.sh).
set -euo pipefail

die() {
	printf 'deps: %s\n' "$1" >&2
	[[ $# -lt 2 ]] || printf 'hint: %s\n' "$2" >&2
	exit 1
}

has_libc_headers() {
	printf '#include <stdlib.h>\n' | gcc -E -x c - >/dev/null 2>&1
}

has_postgres_server() {
	compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || command -v initdb >/dev/null
}

missing=()

need() {
	local package=$1
	shift
	"$@" >/dev/null 2>&1 || missing+=("$package")
}

need_lint() {
	need shellcheck command -v shellcheck
}

need_test() {
	need git command -v git
	need gcc command -v gcc # the race detector is linked with cgo
	need libc6-dev has_libc_headers
	need postgresql has_postgres_server
	need postgresql-client command -v psql
	need redis-server command -v redis-server
	need postfix command -v postfix
	need dovecot-core command -v dovecot
	need openssl command -v openssl
	need certbot command -v certbot
	need sqlite3 command -v sqlite3
	need python3 command -v python3
	need zstd command -v zstd
	need prometheus command -v promtool
	need prometheus-alertmanager command -v prometheus-alertmanager
	need chromium command -v chromium
	need fonts-dejavu-core test -d /usr/share/fonts/truetype/dejavu
	need npm command -v npm
	need util-linux command -v setpriv
	need procps command -v ps
	need iproute2 command -v ip
	need dbus-daemon command -v dbus-daemon
	need apt command -v apt-get
}

install_missing() {
	local as_root=()
	if [[ $(id -u) -ne 0 ]]; then
		if ! command -v sudo >/dev/null || ! sudo -n true 2>/dev/null; then
			die "these packages are missing: ${missing[*]}" "as root: apt-get install ${missing[*]}"
		fi
		as_root=(sudo -n)
	fi
	command -v apt-get >/dev/null ||
		die "these Debian packages are missing and there is no apt-get here: ${missing[*]}" \
			"install their equivalents with this system's package manager"
	printf 'deps: installing %s\n' "${missing[*]}" >&2
	local apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300)
	"${apt[@]}" update >&2 </dev/null 9>&- || die "apt-get update failed"
	"${apt[@]}" install -y --no-install-recommends "${missing[@]}" >&2 </dev/null 9>&- ||
		die "apt-get install ${missing[*]} failed"
}

# Two makes at once must not both drive apt; the script file itself is the lock.
exec 9<"${BASH_SOURCE[0]}"
flock 9

[[ $# -gt 0 ]] || set -- lint test
for set in "$@"; do
	case $set in
	lint) need_lint ;;
	test) need_test ;;
	*) die "no set of packages is called '$set'" "lint or test" ;;
	esac
done
if [[ ${#missing[@]} -gt 0 ]]; then
	install_missing
	missing=()
	for set in "$@"; do "need_$set"; done
	[[ ${#missing[@]} -eq 0 ]] || die "still missing after the installation: ${missing[*]}"
fi
