#!/usr/bin/env bash
# Installs the .deb of this machine's architecture into a fresh Debian, boots it with a real systemd in a
# container, and tries what only a booted system shows: the start, the user, the watchdog, reload, crash,
# upgrade, an upgrade by upkeep itself, the kinds service and packages, stop and purge. Opt-in: it needs
# root, systemd-nspawn, debootstrap and, the first time, a Debian mirror (the one of this machine; MIRROR=
# names another).
#
#   make package && scripts/packaging/nspawn.sh
#
# KEEP=1 leaves the folder of the container where it is.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
suite=${SUITE:-bookworm}
cache=$PWD/.bin/.state/nspawn-$suite.tar

die() {
	printf 'nspawn: %s\n' "$1" >&2
	[[ $# -lt 2 ]] || printf 'hint: %s\n' "$2" >&2
	exit 1
}

[[ $(id -u) -eq 0 ]] || die "only root can boot a container"
for program in systemd-nspawn debootstrap nsenter; do
	command -v "$program" >/dev/null || die "$program is not installed" "apt-get install systemd-container debootstrap util-linux"
done
deb=$(compgen -G "dist/upkeep_*_$(go env GOHOSTARCH).deb" | head -n 1) || true
[[ -n $deb ]] || die "there is no package in dist/" "make package"

tmp=$(mktemp -d /var/tmp/upkeep-nspawn.XXXXXX)
root=$tmp/root
container=
init=

finish() {
	local code=$?
	trap - EXIT
	if [[ -n $container ]] && kill -0 "$container" 2>/dev/null; then
		[[ $code -eq 0 ]] || inside journalctl -u upkeep --no-pager -n 60 >&2 || true
		kill -TERM "$container" 2>/dev/null || true
		for _ in {1..50}; do
			kill -0 "$container" 2>/dev/null || break
			sleep 0.1
		done
		kill -KILL "$container" 2>/dev/null || true
	fi
	[[ -n ${KEEP:-} ]] || rm -rf "$tmp"
	exit "$code"
}
trap finish EXIT

# base makes a small Debian with systemd once, and keeps it.
base() {
	[[ ! -f $cache ]] || return 0
	local mirror=${MIRROR:-}
	[[ -n $mirror ]] || mirror=$(awk '/^URIs:/ { print $2; exit }' /etc/apt/sources.list.d/*.sources 2>/dev/null || true)
	[[ -n $mirror ]] || mirror=$(awk '$1 == "deb" { print $2; exit }' /etc/apt/sources.list 2>/dev/null || true)
	printf 'nspawn: making a %s\n' "$suite"
	mkdir -p "${cache%/*}"
	debootstrap --variant=minbase --include=systemd,systemd-sysv,dbus,procps "$suite" "$tmp/base" "$mirror" >"$tmp/debootstrap.log" 2>&1 || {
		tail -n 20 "$tmp/debootstrap.log" >&2
		die "debootstrap failed"
	}
	tar -C "$tmp/base" -cf "$cache.new" .
	mv "$cache.new" "$cache"
	rm -rf "$tmp/base"
}

# inside runs a command in the booted container.
inside() { nsenter -t "$init" -a -- env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 "$@"; }

# until_true waits until a command succeeds.
until_true() {
	local what=$1 seconds=$2
	shift 2
	for ((i = 0; i < seconds * 5; i++)); do
		! "$@" >/dev/null 2>&1 || return 0
		sleep 0.2
	done
	die "waited $seconds s in vain: $what"
}

show() { inside systemctl show upkeep --value -p "$1"; }
is() { [[ $(show "$1") == "$2" ]]; }
step() { printf 'nspawn: %4d s  %s\n' "$SECONDS" "$1"; }

# runs prints how many runs of a workflow are in a state.
runs() { inside upkeep history --workflow "$1" --state "$2" -n 1000 -o json 2>/dev/null | grep -c '"id"' || true; }
at_least() { [[ $(runs "$1" "$2") -ge $3 ]]; }

boot() {
	timeout 900 systemd-nspawn --register=no --keep-unit --private-network --quiet --boot --directory="$root" \
		</dev/null >"$tmp/console" 2>&1 &
	container=$!
	find_init() {
		init=$(ps -eo pid=,ppid=,comm= | awk -v top="$container" '
			{ parent[$1] = $2; name[$1] = $3 }
			END { for (p in name) if (name[p] == "systemd") { q = p; while (q in parent && q != top) q = parent[q]; if (q == top) print p } }' | sort -n | head -n 1)
		[[ -n $init ]]
	}
	until_true "the container's init" 30 find_init
	find_init
	until_true "the container is up" 60 is_up
}

is_up() { [[ $(inside systemctl is-system-running 2>/dev/null) =~ ^(running|degraded)$ ]]; }

configuration() {
	cat <<-'YAML'
		project: nspawn
		root: /var/lib/upkeep
		ledger: sqlite:upkeep.db
		stores:
		  local: {kind: local, path: backups}
		workflows:
		  often:
		    schedule: {every: 2s}
		    jobs:
		      nothing: {kind: script, with: {run: ["true"]}}
		  leave:
		    jobs:
		      behind: {kind: script, with: {run: "setsid sleep 98765 & echo done"}}
		  slow:
		    jobs:
		      wait: {kind: script, with: {run: [sleep, "8"]}}
		  keep:
		    jobs:
		      config: {kind: archive, with: {paths: [/etc/upkeep/upkeep.yaml], store: local}}
		  upgrade:
		    jobs:
		      self: {kind: script, timeout: 2m, with: {run: "dpkg -i --force-confold /root/upkeep.deb && sleep 1"}}
	YAML
}

install_it() {
	step "install"
	cp "$deb" "$root/root/upkeep.deb"
	chroot "$root" dpkg -i /root/upkeep.deb >"$tmp/install" 2>&1 || {
		cat "$tmp/install" >&2
		die "the installation failed"
	}
	grep -q 'systemctl enable --now upkeep' "$tmp/install" || die "the installation does not say what to do next"
	[[ ! -e $root/etc/systemd/system/multi-user.target.wants/upkeep.service ]] || die "the installation enabled the service"
	[[ $(chroot "$root" stat -c '%U:%G %a' /etc/upkeep/upkeep.yaml) == "root:upkeep 640" ]] || die "upkeep.yaml has the wrong owner or mode"
	[[ $(chroot "$root" stat -c '%U:%G %a' /var/lib/upkeep) == "upkeep:upkeep 750" ]] || die "/var/lib/upkeep has the wrong owner or mode"
	chroot "$root" upkeep validate >/dev/null || die "the packaged configuration does not load"
	configuration >"$root/etc/upkeep/upkeep.yaml"
	mkdir -p "$root/etc/systemd/system/upkeep.service.d"
	printf '[Service]\nWatchdogSec=6s\nTimeoutAbortSec=2s\nRestartSec=200ms\n' >"$root/etc/systemd/system/upkeep.service.d/test.conf"
	chroot "$root" systemctl enable upkeep >/dev/null 2>&1
}

try_start() {
	step "boot"
	boot
	until_true "the service is active" 20 is ActiveState active
	[[ $(show Type)$(show NRestarts) == notify0 ]] || die "type and restarts: $(show Type) $(show NRestarts)"
	[[ -n $(show StatusText) ]] || die "the service tells no status"
	step "active: $(show StatusText)"
	[[ $(inside ps -o user= -p "$(show MainPID)") == upkeep ]] || die "the service does not run as upkeep"
	until_true "scheduled runs" 30 at_least often succeeded 3
	inside upkeep run keep >/dev/null || die "upkeep run keep through the service: $?"
	[[ -n $(inside find /var/lib/upkeep/backups -type f) ]] || die "the archive is not in the store"
	inside upkeep run leave >"$tmp/leave" 2>&1 || [[ $? -eq 5 ]] || die "upkeep run leave: $(cat "$tmp/leave")"
	! inside pgrep -x sleep || die "what a job left behind still runs"
	[[ -z $(inside journalctl -u upkeep -p err -q --no-pager) ]] || die "errors in the journal"
}

try_reload() {
	step "reload"
	inside systemctl reload upkeep
	echo 'workflows: {broken' >>"$root/etc/upkeep/upkeep.yaml"
	inside systemctl reload upkeep || true
	sleep 1
	is ActiveState active || die "a bad reload ended the service"
	local before
	before=$(runs often succeeded)
	until_true "runs go on after a bad reload" 30 at_least often succeeded $((before + 2))
	degraded() { [[ $(show StatusText) == *degraded* ]]; }
	until_true "the status says that it is degraded" 60 degraded
	step "after a bad reload: $(show StatusText)"
	configuration >"$root/etc/upkeep/upkeep.yaml"
	inside systemctl reload upkeep
	well() { ! degraded; }
	until_true "the status says that all is well again" 60 well
}

try_crashes() {
	step "kill -9"
	inside kill -KILL "$(show MainPID)"
	until_true "the service is back after kill -9" 30 is NRestarts 1
	until_true "the service is active after kill -9" 30 is ActiveState active
	step "a main process that stands still"
	inside kill -STOP "$(show MainPID)"
	until_true "the watchdog restarts the service" 60 is NRestarts 2
	until_true "the service is active after the watchdog" 30 is ActiveState active
	local before
	before=$(runs often succeeded)
	until_true "runs go on" 30 at_least often succeeded $((before + 2))
}

try_upgrade() {
	step "upgrade while a run is under way"
	local invocation
	invocation=$(show InvocationID)
	inside upkeep run slow --detach >/dev/null
	sleep 1
	inside dpkg -i --force-confold /root/upkeep.deb >"$tmp/upgrade" 2>&1 || {
		cat "$tmp/upgrade" >&2
		die "the upgrade failed"
	}
	[[ $(show InvocationID) != "$invocation" ]] || die "the upgrade did not restart the service"
	until_true "the run that was under way ended well" 30 at_least slow succeeded 1
	[[ $(inside upkeep history --workflow slow -n 1 -o json | grep -c '"attempt": 2') -eq 0 ]] || die "the upgrade interrupted the run"

	step "upgrade by a job of upkeep"
	cat scripts/packaging/dropins/package-updates.conf >"$root/etc/systemd/system/upkeep.service.d/package-updates.conf"
	inside systemctl daemon-reload
	inside systemctl restart upkeep
	until_true "the service is active as root" 30 is ActiveState active
	[[ $(inside ps -o user= -p "$(show MainPID)") == root ]] || die "the drop-in does not make the service root"
	invocation=$(show InvocationID)
	inside upkeep run upgrade >"$tmp/self" 2>&1 || {
		cat "$tmp/self" >&2
		inside upkeep logs upgrade >&2 || true
		die "the run that upgrades upkeep failed"
	}
	changed() { [[ $(show InvocationID) != "$invocation" ]] && is ActiveState active; }
	until_true "the service restarts after its own upgrade" 60 changed
}

# kinds_configuration adds workflows that work on this very host.
kinds_configuration() {
	configuration
	cat <<-'YAML'
		  well:
		    jobs:
		      it: {kind: service, with: {restart: [demo, demo2], verify: {within: 20s, stable: 2s}}}
		  flap:
		    jobs:
		      it: {kind: service, with: {restart: flap, verify: {within: 6s, stable: 3s}}}
		  limit:
		    jobs:
		      it: {kind: service, with: {restart: limit, verify: {within: 6s, stable: 3s}}}
		  byctl:
		    jobs:
		      it: {kind: service, with: {restart: demo, systemctl: [systemctl], verify: {within: 20s, stable: 2s}}}
		  self:
		    jobs:
		      it: {kind: service, with: {restart: [upkeep, demo], verify: {within: 30s, stable: 2s}}}
		  tiny:
		    jobs:
		      it: {kind: packages, with: {policy: all, min_free: 1MiB}}
	YAML
}

# unit writes a service of the container.
unit() {
	printf '[Unit]\n%s\n[Service]\nExecStart=/bin/sh -c "%s"\nRestart=%s\nRestartSec=100ms\n' "$4" "$2" "$3" >"$root/etc/systemd/system/$1.service"
}

# tiny_package makes a package in the container and, with a third word, its repository.
tiny_package() {
	local dir=$root/root/tiny/$1
	rm -rf "$dir"
	mkdir -p "$dir/DEBIAN" "$dir/usr/share/$1"
	printf '%s\n' "$2" >"$dir/usr/share/$1/version"
	printf 'Package: %s\nVersion: %s\nArchitecture: all\nMaintainer: T <t@example.com>\nDescription: tiny\n' "$1" "$2" >"$dir/DEBIAN/control"
	printf '#!/bin/sh\nsystemctl restart upkeep\n' >"$dir/DEBIAN/postinst"
	chmod 755 "$dir/DEBIAN/postinst"
	inside dpkg-deb -b "/root/tiny/$1" "/root/tiny/$1_$2.deb" >/dev/null
}

repository() {
	local deb=$root/root/tiny/$1
	{
		inside dpkg-deb -f "/root/tiny/$1"
		printf 'Filename: ./%s\nSize: %s\nSHA256: %s\n\n' "$1" "$(stat -c %s "$deb")" "$(sha256sum <"$deb" | cut -d' ' -f1)"
	} >"$root/root/tiny/Packages"
	rm -f "$root"/etc/apt/sources.list.d/*
	printf 'deb [trusted=yes] copy:/root/tiny ./\n' >"$root/etc/apt/sources.list"
}

try_kinds() {
	step "kinds: service"
	unit demo 'sleep infinity' no ''
	unit demo2 'sleep infinity' no ''
	unit flap 'sleep 1; exit 1' always 'StartLimitIntervalSec=0'
	unit limit 'exit 1' always 'StartLimitBurst=2'
	kinds_configuration >"$root/etc/upkeep/upkeep.yaml"
	inside systemctl daemon-reload
	inside systemctl restart upkeep
	until_true "the service is active" 30 is ActiveState active
	ran well 0 'demo.service, demo2.service restarted and verified'
	inside upkeep logs well | grep 'by D-Bus' >/dev/null || die "systemd was not spoken with by D-Bus"
	ran flap 1 'was not well within 6s'
	ran limit 1 'limit.service'
	ran byctl 0 'demo.service restarted and verified'
	inside systemctl stop flap limit || true

	step "kinds: service, upkeep itself"
	local invocation
	invocation=$(show InvocationID)
	inside upkeep run self --detach >/dev/null
	until_true "the run that restarts upkeep ended well" 60 at_least self succeeded 1
	[[ $(show InvocationID) != "$invocation" ]] || die "upkeep was not restarted"

	step "kinds: packages, one of which restarts upkeep while it is installed"
	tiny_package tiny 1
	inside dpkg -i /root/tiny/tiny_1.deb >/dev/null
	tiny_package tiny 2
	repository tiny_2.deb
	until_true "the service is active" 30 is ActiveState active
	invocation=$(show InvocationID)
	inside upkeep run tiny --detach >/dev/null
	until_true "the run that upgrades packages ended well" 60 at_least tiny succeeded 1
	[[ $(show InvocationID) != "$invocation" ]] || die "upkeep was not restarted"
	inside upkeep logs tiny | grep 'Setting up tiny (2)' >/dev/null || die "the output of the installation is lost"
	inside dpkg-query -W tiny | grep -P '^tiny\t2$' >/dev/null || die "the package: $(inside dpkg-query -W tiny)"
	[[ -z $(inside dpkg --audit) ]] || die "dpkg is not sound: $(inside dpkg --audit)"
	inside systemctl stop demo demo2
}

# ran runs a workflow and compares its exit code and a part of what it says.
ran() {
	local code=0
	inside upkeep run "$1" >"$tmp/ran" 2>&1 || code=$?
	if [[ $code -ne $2 ]] || ! grep -qF "$3" "$tmp/ran"; then
		cat "$tmp/ran" >&2
		inside upkeep logs "$1" >&2 || true
		die "upkeep run $1: $code, want $2 and '$3'"
	fi
}

try_end() {
	step "stop while a run is under way"
	inside upkeep run slow --detach >/dev/null
	sleep 1
	inside systemctl stop upkeep
	[[ $(show Result) == success ]] || die "the stop ended with $(show Result)"
	! inside pgrep -x sleep || die "processes are left after the stop"
	step "purge"
	inside dpkg --purge upkeep >"$tmp/purge" 2>&1 || {
		cat "$tmp/purge" >&2
		die "the purge failed"
	}
	[[ -z $(find "$root/var/lib/upkeep" -name 'upkeep.*') ]] || die "the purge left the ledger"
	[[ -n $(find "$root/var/lib/upkeep/backups" -type f) ]] || die "the purge took backups away"
	[[ ! -e $root/usr/bin/upkeep ]] || die "the purge left the program"
	inside systemctl poweroff || true
	wait "$container" || true
	container=
}

base
mkdir "$root"
tar -C "$root" -xf "$cache"
install_it
try_start
try_reload
try_crashes
try_upgrade
try_kinds
try_end
step "all is well"
