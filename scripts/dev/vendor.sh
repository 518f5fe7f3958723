#!/usr/bin/env bash
# Keeps the files of other projects that the web page brings along, and those that only its tests use,
# at the versions and checksums of vendor.pins.
#
#   vendor.sh verify    compare the committed files with their checksums; needs no network
#   vendor.sh tools     fetch what the tests use into .bin/, where it is missing
#   vendor.sh fetch     fetch everything anew; stops at a file whose checksum differs
#
# Packages come by `npm pack`, from the registry that npm is set up for; none of their code is run.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
pins=$here/vendor.pins
state=$root/.bin/.state
tmp=
trap '[[ -z $tmp ]] || rm -rf "$tmp"' EXIT

die() {
	printf 'vendor: %s\n' "$1" >&2
	[[ $# -lt 2 ]] || printf 'hint: %s\n' "$2" >&2
	exit 1
}

# rows prints the pins, of all files or of those whose place begins with $1.
rows() {
	awk -v place="${1:-}" '!/^#/ && NF { if (NF != 5) exit 1; if (index($4, place) == 1) print }' "$pins" ||
		die "a line of $pins has not five words"
}

sum_of() {
	sha256sum <"$1" | cut -d ' ' -f 1
}

matches() {
	[[ -f $1 && $(sum_of "$1") == "$2" ]]
}

# unpack PACKAGE VERSION prints the folder of a package, which it fetches once.
unpack() {
	local folder=$tmp/$1@$2
	if [[ ! -d $folder ]]; then
		command -v npm >/dev/null || die "npm is not installed" "scripts/dev/deps.sh test"
		mkdir -p "$folder"
		(cd "$tmp" && npm pack --silent --ignore-scripts --pack-destination "$folder" "$1@$2" </dev/null >/dev/null) ||
			die "cannot fetch $1@$2" "npm must reach a registry: npm config get registry"
		tar -xzf "$folder"/*.tgz -C "$folder" --strip-components=1 --no-same-owner
	fi
	printf '%s' "$folder"
}

# install_file PACKAGE VERSION FILE PLACE SUM puts one file where it belongs, if it is what the pin says.
install_file() {
	local folder
	folder=$(unpack "$1" "$2")
	[[ -f $folder/$3 ]] || die "$1@$2 has no $3"
	matches "$folder/$3" "$5" || die "$3 of $1@$2 has the checksum $(sum_of "$folder/$3"), not $5" \
		"look at what changed before you put it into ${pins#"$root"/}"
	mkdir -p "$(dirname "$root/$4")"
	install -m 0644 "$folder/$3" "$root/$4.new"
	mv -f "$root/$4.new" "$root/$4"
}

verify() {
	local wrong=0 package version place sum
	while read -r package version _ place sum; do
		matches "$root/$place" "$sum" || {
			printf 'vendor: %s is not the file of %s@%s\n' "$place" "$package" "$version" >&2
			wrong=1
		}
	done < <(rows web/static/)
	[[ $wrong -eq 0 ]] || die "files of other projects are missing or changed" "scripts/dev/vendor.sh fetch"
}

# fetch [PLACE]: several callers may run at once.
fetch() {
	local list row
	mkdir -p "$state"
	exec 9>"$state/vendor.lock"
	flock 9
	list=$(rows "${1:-}")
	if [[ ${2:-} == missing ]] && all_there "$list"; then
		return
	fi
	tmp=$(mktemp -d "$state/vendor.XXXXXX")
	while read -r -a row; do
		install_file "${row[@]}"
	done <<<"$list"
	[[ $list != *web/static/vendor/* ]] || (cd "$root/web/static/vendor" && sha256sum -- *.LICENSE *.css *.js >SHA256SUMS)
}

all_there() {
	local place sum
	while read -r _ _ _ place sum; do
		matches "$root/$place" "$sum" || return 1
	done <<<"$1"
}

case ${1:-} in
verify) verify ;;
tools) fetch .bin/ missing ;;
fetch) fetch ;;
*) die "say verify, tools or fetch" ;;
esac
