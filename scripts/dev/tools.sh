#!/usr/bin/env bash
# Installs the pinned development tools into .bin/ (git-ignored).
#
#   tools.sh            all of tools.pins that are not marked on-demand
#   tools.sh NAME...    only these
#
# A tool is built once per pin and Go version; a stamp beside it remembers both. Several callers may
# run at once: each tool has a lock, and a binary becomes visible only when it is complete.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
pins=$here/tools.pins
bin=$root/.bin
state=$bin/.state
tmp=
trap '[[ -z $tmp ]] || rm -rf "$tmp"' EXIT

die() {
	printf 'tools: %s\n' "$1" >&2
	[[ $# -lt 2 ]] || printf 'hint: %s\n' "$2" >&2
	exit 1
}

pin_of() {
	awk -v name="$1" '$1 == name { print $2 }' "$pins"
}

install_tool() {
	local name=$1 pin stamp began
	pin=$(pin_of "$name")
	[[ -n $pin ]] || die "no pin for $name in $pins"
	stamp="$pin $goversion"

	exec 9>"$state/$name.lock"
	flock 9
	if [[ -x $bin/$name && "$(cat "$state/$name.stamp" 2>/dev/null || true)" == "$stamp" ]]; then
		exec 9>&-
		return
	fi
	printf 'tools: building %s\n' "$pin" >&2
	began=$SECONDS
	tmp=$(mktemp -d "$state/$name.XXXXXX")
	# Go's own children must not inherit the lock: a build daemon that outlives us would keep it.
	if ! GOBIN=$tmp GOFLAGS=-trimpath CGO_ENABLED=0 go install -ldflags='-s -w' "$pin" 9>&-; then
		die "cannot build $pin" "the module proxy must be reachable: go env GOPROXY"
	fi
	rm -f "$state/$name.stamp"
	mv -f "$tmp/$name" "$bin/$name"
	rmdir "$tmp"
	tmp=
	printf '%s\n' "$stamp" >"$state/$name.stamp"
	exec 9>&-
	printf 'tools: %s ready after %d s\n' "$name" $((SECONDS - began)) >&2
}

command -v go >/dev/null || die "go is not installed" "the Go version upkeep needs stands in go.mod"
goversion=$(go env GOVERSION)
mkdir -p "$state"
if [[ $# -eq 0 ]]; then
	mapfile -t names < <(awk '!/^#/ && NF && $3 != "on-demand" { print $1 }' "$pins")
	set -- "${names[@]}"
fi
for name in "$@"; do
	install_tool "$name"
done
