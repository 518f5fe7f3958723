#!/usr/bin/env bash
# Looks at the unit and at the packages that package.sh built in dist/, without installing or booting
# anything. Needs systemd-analyze and dpkg-deb; the .rpm is looked at when rpm is there.
#
#   test.sh            all of it
#   test.sh unit       the unit and the packaged configuration, with bin/upkeep
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
here=scripts/packaging
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
failed=0

fail() {
	printf 'packaging: %s\n' "$1" >&2
	failed=1
}

# look_deb looks at what is in the .deb and whose it is, and unpacks it.
look_deb() {
	local arch listing mode path line script page warnings
	arch=$(go env GOHOSTARCH)
	deb=$(compgen -G "dist/upkeep_*_$arch.deb" | head -n 1) || true
	[[ -n $deb ]] || {
		printf 'packaging: there is no dist/upkeep_*_%s.deb\nhint: make package\n' "$arch" >&2
		exit 1
	}

	dpkg-deb --extract "$deb" "$tmp/root"
	dpkg-deb --control "$deb" "$tmp/control"
	listing=$(dpkg-deb --contents "$deb")
	while read -r mode path; do
		line=$(awk -v path="./${path#/}" '{ name = $6; sub("/$", "", name) } name == path' <<<"$listing")
		case $line in
		"$mode root/root "*) ;;
		'') fail "$path is not in $deb" ;;
		*) fail "$path should be $mode root/root: $line" ;;
		esac
	done <<'PATHS'
-rwxr-xr-x /usr/bin/upkeep
-rw-r--r-- /usr/lib/systemd/system/upkeep.service
-rw-r--r-- /usr/lib/sysusers.d/upkeep.conf
-rw-r--r-- /usr/lib/tmpfiles.d/upkeep.conf
drwxr-x--- /etc/upkeep
drwxr-x--- /etc/upkeep/conf.d
-rw-r----- /etc/upkeep/upkeep.yaml
-rw-r--r-- /usr/share/man/man1/upkeep.1.gz
-rw-r--r-- /usr/share/man/man1/upkeep-serve.1.gz
-rw-r--r-- /usr/share/bash-completion/completions/upkeep
-rw-r--r-- /usr/share/zsh/vendor-completions/_upkeep
-rw-r--r-- /usr/share/fish/vendor_completions.d/upkeep.fish
-rw-r--r-- /usr/share/doc/upkeep/copyright
-rw-r--r-- /usr/share/doc/upkeep/dropins/read-logs.conf
PATHS
	grep -qx /etc/upkeep/upkeep.yaml "$tmp/control/conffiles" || fail "upkeep.yaml is not a conffile"
	for script in postinst prerm postrm; do
		[[ -x $tmp/control/$script ]] || fail "$deb has no $script"
	done
	"$tmp/root/usr/bin/upkeep" version >/dev/null || fail "the program does not run"
	if file "$tmp/root/usr/bin/upkeep" 2>/dev/null | grep -q 'dynamically linked'; then
		fail "the program is not static"
	fi
	bash -n "$tmp/root/usr/share/bash-completion/completions/upkeep" || fail "the completion for bash is not bash"
	for page in "$tmp"/root/usr/share/man/man1/*.gz; do
		gzip -t "$page" || fail "${page##*/} is broken"
		if command -v groff >/dev/null; then
			warnings=$(gzip -dc "$page" | groff -man -Tutf8 -ww -z 2>&1 || true)
			[[ -z $warnings ]] || fail "${page##*/}: $warnings"
		fi
	done
}

# look_config looks whether the packaged configuration loads. Its state folder is not here, so it is moved.
look_config() {
	sed "s#/var/lib/upkeep#$tmp/state#; s#/etc/upkeep/upkeep.yaml#$tmp/upkeep.yaml#" "$here/upkeep.yaml" >"$tmp/upkeep.yaml"
	mkdir "$tmp/state"
	env -i PATH="$PATH" "$program" -c "$tmp/upkeep.yaml" validate >"$tmp/out" 2>&1 || {
		cat "$tmp/out" >&2
		fail "the packaged configuration does not load"
	}
}

# verify asks systemd-analyze, which exits 0 on unknown keys: its stderr must be empty too. It insists on the
# program and on manual pages in place, so the copy that it looks at names ours, without its pages.
verify() {
	local unit=$1 said
	said=$(systemd-analyze verify --man=no --recursive-errors=no "$unit" 2>&1) || fail "systemd-analyze verify fails"
	[[ -z $said ]] || fail "systemd-analyze says: $said"
}

# look_unit looks at the unit alone, with each drop-in, and at what makes its user.
look_unit() {
	local dropin
	mkdir "$tmp/units"
	sed "s#/usr/bin/upkeep#$program#" "$here/upkeep.service" >"$tmp/units/upkeep.service"
	verify "$tmp/units/upkeep.service"
	for dropin in "$here"/dropins/*.conf; do
		mkdir -p "$tmp/units/upkeep.service.d"
		cp "$dropin" "$tmp/units/upkeep.service.d/"
		verify "$tmp/units/upkeep.service"
		rm -r "$tmp/units/upkeep.service.d"
	done
	# That the check can fail is part of the check.
	sed 's/^WatchdogSec=/WatchdogSecs=/' "$tmp/units/upkeep.service" >"$tmp/units/broken.service"
	[[ -n $(systemd-analyze verify --man=no --recursive-errors=no "$tmp/units/broken.service" 2>&1) ]] ||
		fail "systemd-analyze does not see an unknown key"
	exposure=$(systemd-analyze security --offline=true --no-pager "$tmp/units/upkeep.service" | sed -n 's/.*Overall exposure level.*: \([0-9.]*\) .*/\1/p')
	awk -v exposure="${exposure:-10}" 'BEGIN { exit !(exposure <= 3.0) }' || fail "the unit is exposed: $exposure of 10"

	# The user is understood; nspawn.sh tries the rest.
	mkdir "$tmp/empty"
	systemd-sysusers --root="$tmp/empty" --dry-run - <"$here/upkeep.sysusers" >"$tmp/out" 2>&1 || {
		cat "$tmp/out" >&2
		fail "sysusers.d is not understood"
	}
}

# look_rpm looks whether the .rpm holds the same files.
look_rpm() {
	local rpm path
	if command -v rpm >/dev/null; then
		rpm=$(compgen -G 'dist/upkeep-*.rpm' | head -n 1)
		rpm -qp --nosignature --qf '[%{FILEMODES:perms} %{FILEUSERNAME} %{FILENAMES}\n]' "$rpm" >"$tmp/rpm"
		for path in /usr/bin/upkeep /usr/lib/systemd/system/upkeep.service /etc/upkeep/upkeep.yaml /usr/share/man/man1/upkeep.1.gz; do
			grep -q " root $path\$" "$tmp/rpm" || fail "$path is not in $rpm"
		done
		rpm -qpc --nosignature "$rpm" | grep -qx /etc/upkeep/upkeep.yaml || fail "upkeep.yaml is no configuration file of $rpm"
	else
		printf 'packaging: rpm is not installed: the .rpm was not looked at\n' >&2
	fi
}

case ${1:-all} in
all)
	look_deb
	program=$tmp/root/usr/bin/upkeep
	;;
unit)
	program=$PWD/bin/upkeep
	[[ -x $program ]] || {
		printf 'packaging: there is no bin/upkeep\nhint: make build\n' >&2
		exit 1
	}
	;;
*)
	printf 'packaging: what is %s?\nhint: test.sh [unit]\n' "$1" >&2
	exit 2
	;;
esac
look_config
look_unit
[[ $program == "$PWD/bin/upkeep" ]] || look_rpm
[[ $failed -eq 0 ]] || exit 1
printf 'packaging: %s in order; exposure of the unit %s of 10\n' "${deb:-the unit} is" "$exposure"
