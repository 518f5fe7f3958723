#!/usr/bin/env bash
# Installs the .deb of this machine's architecture into a fresh Debian, boots it with a real systemd in a
# container, and tries what only a booted system shows: the start, the user, the watchdog, reload, crash,
# upgrade, an upgrade by upkeep itself, stop and purge. Opt-in: it needs root, systemd-nspawn, debootstrap
# and, the first time, a Debian mirror (the one of this machine; MIRROR= names another).
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
try_end
step "all is well"
