#!/bin/sh
# Runs after the files of the package are gone.
#   Debian: postrm remove, purge, upgrade …
#   RPM:    %postun 0 (removal) or 1 (upgrade)
# Only Debian's purge takes state away, and never what stores hold: backups are yours.
set -e

state=/var/lib/upkeep

if [ -d /run/systemd/system ]; then
	systemctl daemon-reload || true
fi
[ "$1" = purge ] || exit 0

rm -f /etc/upkeep/environment
rmdir --ignore-fail-on-non-empty /etc/upkeep/conf.d /etc/upkeep 2>/dev/null || true
if [ -d $state ] && [ ! -L $state ]; then
	rm -f $state/upkeep.db $state/upkeep.db-wal $state/upkeep.db-shm $state/upkeep.db-journal $state/upkeep.db.lock \
		$state/upkeep.sock $state/upkeep.ballast
	rm -rf $state/live $state/work
	rmdir --ignore-fail-on-non-empty $state 2>/dev/null || true
	[ ! -d $state ] || echo "upkeep: kept $state, it holds files that are not the service's own" >&2
fi
