#!/usr/bin/env bash
# Runs the Go tests with the race detector against private servers, then the Python tests.
#
#   test.sh [go test arguments]      default: ./...
#
# A skipped test is listed at the end. With UPKEEP_TEST_NO_SKIP=1, as in CI, it is a failure: there
# everything that a test needs is installed, so a skip hides something.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
[[ $# -gt 0 ]] || set -- ./...

# What a developer has set for an upkeep of their own is no business of the tests.
for name in $(compgen -e UPKEEP_); do
	case $name in
	UPKEEP_TEST_* | UPKEEP_SOAK) ;;
	*) unset "$name" ;;
	esac
done

events=$(mktemp)
trap 'rm -f "$events"' EXIT

CGO_ENABLED=1 scripts/dev/servers.sh run -- \
	.bin/gotestsum --format pkgname-and-test-fails --jsonfile "$events" -- -race -timeout=20m "$@"

# A package without test files counts as skipped too, but names no test.
skipped=$(grep '"Action":"skip"' "$events" | grep -c '"Test":' || true)
if [[ $skipped -gt 0 && ${UPKEEP_TEST_NO_SKIP:-} == 1 ]]; then
	printf 'test: %s tests were skipped, and UPKEEP_TEST_NO_SKIP=1 forbids that; they are listed above\n' "$skipped" >&2
	exit 1
fi

if [[ -d scripts/tests ]]; then
	PYTHONDONTWRITEBYTECODE=1 python3 -m unittest discover -s scripts/tests
fi
