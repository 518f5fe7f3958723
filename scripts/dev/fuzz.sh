#!/usr/bin/env bash
# Runs every Go fuzz target of the module, one after the other.
#
#   fuzz.sh [TIME]      for each target, default 30s
#
# A crasher is written by go test into the package's testdata/fuzz; commit it as a seed once it is fixed.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
time=${1:-30s}

targets=0
failed=0
while IFS=: read -r file _ line; do
	target=${line#func }
	target=${target%%(*}
	printf 'fuzz: %s %s for %s\n' "./$(dirname "$file")" "$target" "$time"
	go test "./$(dirname "$file")" -run '^$' -fuzz "^$target\$" -fuzztime "$time" </dev/null || failed=$((failed + 1))
	targets=$((targets + 1))
done < <(git -c safe.directory="$PWD" ls-files -z --cached --others --exclude-standard '*_test.go' | xargs -0 grep -n '^func Fuzz[A-Za-z0-9_]*(' /dev/null)

printf 'fuzz: %d targets, %d failed\n' "$targets" "$failed"
[[ $failed -eq 0 ]]
