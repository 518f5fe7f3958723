#!/usr/bin/env bash
# Fails when the generated files are not what `make generate` writes. Compares the tree before and
# after, so it needs neither a list of generated files nor a clean checkout.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."

# sums prints a checksum for each file that git tracks or would track. Who runs this tree's makefile
# trusts it, whoever owns its files.
sums() {
	git -c safe.directory="$PWD" ls-files -z --cached --others --exclude-standard | sort -zu | while IFS= read -r -d '' file; do
		[[ ! -f $file ]] || printf '%s\0' "$file"
	done | xargs -0 -r sha256sum
}

before=$(sums)
make --no-print-directory generate
after=$(sums)

if [[ $before != "$after" ]]; then
	printf 'generated: these files were out of date and are written anew:\n' >&2
	diff <(printf '%s\n' "$before") <(printf '%s\n' "$after") | sed -n 's/^[<>] [0-9a-f]*  /  /p' | sort -u >&2 || true
	printf 'hint: commit them; they are written by make generate\n' >&2
	exit 1
fi
