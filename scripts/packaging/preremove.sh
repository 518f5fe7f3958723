#!/bin/sh
# Runs before the files of the package are taken away.
#   Debian: prerm remove, upgrade NEW-VERSION, deconfigure …
#   RPM:    %preun 0 (removal) or 1 (upgrade)
set -e

case "$1" in
remove | 0) ;;
*) exit 0 ;; # the old version goes on until the new one is in place
esac
if [ -d /run/systemd/system ]; then
	# Runs end in good order, within drain_timeout.
	systemctl --no-reload disable --now upkeep.service || true
fi
