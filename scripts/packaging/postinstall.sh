#!/bin/sh
# Runs after the files of the package are in place.
#   Debian: postinst configure [OLD-VERSION], or abort-…
#   RPM:    %post 1 (installation) or 2 (upgrade)
set -e

case "$1" in
configure) if [ -n "$2" ]; then upgrade=yes; else upgrade=; fi ;;
1) upgrade= ;;
[2-9]) upgrade=yes ;;
*) exit 0 ;;
esac

# booted tells whether systemd runs this host.
booted() { [ -d /run/systemd/system ]; }

# inside tells whether a job of upkeep runs this script: an upgrade by upkeep itself.
inside() { [ -n "$UPKEEP_RUN_ID" ] || grep -q '/upkeep\.service\(/\|$\)' /proc/self/cgroup 2>/dev/null; }

make_user() {
	if command -v systemd-sysusers >/dev/null; then
		systemd-sysusers upkeep.conf
	elif ! getent passwd upkeep >/dev/null; then
		useradd --system --user-group --home-dir /var/lib/upkeep --shell /usr/sbin/nologin upkeep
	fi
}

make_folders() {
	# Not so in a chroot without /proc, where images are made.
	systemd-tmpfiles --create upkeep.conf 2>/dev/null ||
		install -d -m 0750 -o upkeep -g upkeep /var/lib/upkeep
	# The configuration may hold secrets. Later what an administrator set stays.
	if [ -z "$upgrade" ]; then
		chown root:upkeep /etc/upkeep /etc/upkeep/conf.d
		[ ! -f /etc/upkeep/upkeep.yaml ] || chown root:upkeep /etc/upkeep/upkeep.yaml
	fi
}

# restart lets runs end before the new version takes over. What takes longer than the bound is interrupted
# and goes on under the new version.
restart() {
	systemctl is-active --quiet upkeep.service || return 0
	most=${UPKEEP_UPGRADE_WAIT:-10m}
	if inside; then
		# Waiting here would be waiting for ourselves, and stopping the service would kill the package
		# manager halfway. A unit of its own does both as soon as nothing runs any more.
		echo "upkeep: the service restarts when its runs have ended"
		systemd-run --quiet --collect --no-block --unit=upkeep-restart-$$ --description="restart upkeep when it is idle" \
			/bin/sh -c 'upkeep -c /etc/upkeep/upkeep.yaml drain --until-idle --max 6h; exec systemctl try-restart upkeep.service'
		return 0
	fi
	upkeep -c /etc/upkeep/upkeep.yaml drain --until-idle --max "$most" ||
		echo "upkeep: not idle after $most; what still runs goes on after the restart" >&2
	systemctl try-restart upkeep.service ||
		echo "upkeep: the service did not come back; see: systemctl status upkeep" >&2
}

make_user
make_folders
if booted; then
	systemctl daemon-reload
	[ -z "$upgrade" ] || restart
fi
if [ -z "$upgrade" ]; then
	cat <<-'TEXT'
		upkeep is installed and not started. Next:
		  edit /etc/upkeep/upkeep.yaml and check it with: upkeep validate
		  systemctl enable --now upkeep
	TEXT
fi
