#!/usr/bin/env bash
# Builds dist/*.deb and dist/*.rpm with nfpm, bit for bit the same from the same source.
#
#   package.sh [ARCH...]     amd64 and arm64, or the named ones; this machine's alone with ARCH=host
#
# Variables: VERSION (default: git describe), MAINTAINER. SOURCE_DATE_EPOCH is the time of every file;
# its default is that of the commit.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
dist=$PWD/dist
stage=$dist/stage

die() {
	printf 'package: %s\n' "$1" >&2
	[[ $# -lt 2 ]] || printf 'hint: %s\n' "$2" >&2
	exit 1
}

git_() { git -c safe.directory="$PWD" "$@" 2>/dev/null; }

# package_version turns what git describes into a version that both formats order rightly: a build after
# v1.2.3 is 1.2.3+12.gabc, one before any tag 0.0.0~20261123.gabc.
package_version() {
	local described=$1 day
	case $described in
	v[0-9]*.* | [0-9]*.[0-9]*)
		described=${described#v}
		printf '%s\n' "${described/-/+}" | tr - .
		;;
	*)
		day=$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y%m%d)
		printf '0.0.0~%s.%s\n' "$day" "$(tr -c 'a-zA-Z0-9\n' . <<<"$described")"
		;;
	esac
}

VERSION=${VERSION:-$(git_ describe --tags --always --dirty || echo dev)}
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git_ log -1 --format=%ct || true)}
[[ -n $SOURCE_DATE_EPOCH ]] || die "there is no commit to take the time from" "set SOURCE_DATE_EPOCH"
MAINTAINER=${MAINTAINER:-ghosteam <ghosteam@users.noreply.github.com>}
PACKAGE_VERSION=$(package_version "$VERSION")
LICENSE=Apache-2.0
export SOURCE_DATE_EPOCH MAINTAINER PACKAGE_VERSION LICENSE

commit=$(git_ rev-parse HEAD || true)
date=$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y-%m-%dT%H:%M:%SZ)
host=$(go env GOHOSTARCH)

build() {
	GOOS=linux GOARCH=$1 CGO_ENABLED=0 go build -trimpath -buildvcs=false \
		-ldflags "-s -w -X main.version=$VERSION -X main.commit=$commit -X main.date=$date" -o "$2" ./cmd/upkeep
}

# Manual pages and completions come from the program itself. Its environment is empty, so that nothing of
# this machine gets into them.
generate() {
	mkdir -p "$stage/man" "$stage/completion"
	local program=$stage/upkeep.$host
	build "$host" "$program"
	env -i "$program" man "$stage/man"
	gzip -n -9 "$stage"/man/*.1
	env -i "$program" completion bash >"$stage/completion/upkeep.bash"
	env -i "$program" completion zsh >"$stage/completion/_upkeep"
	env -i "$program" completion fish >"$stage/completion/upkeep.fish"
}

if [[ $# -eq 0 ]]; then
	set -- amd64 arm64
elif [[ $* == host ]]; then
	set -- "$host"
fi
scripts/dev/tools.sh nfpm
rm -rf "$stage"
mkdir -p "$stage"
rm -f "$dist"/*.deb "$dist"/*.rpm "$dist"/SHA256SUMS
umask 022
generate
# nfpm takes permissions from its file and owners are root; times are what is left of this machine.
for arch in "$@"; do
	build "$arch" "$stage/upkeep"
	find "$stage" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
	for packager in deb rpm; do
		ARCH=$arch .bin/nfpm package --config scripts/packaging/nfpm.yaml --packager "$packager" --target "$dist" >/dev/null
	done
done
(cd "$dist" && sha256sum -- *.deb *.rpm >SHA256SUMS && cat SHA256SUMS)
