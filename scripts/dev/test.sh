#!/usr/bin/env bash
# Runs the Go tests with the race detector against private servers, then the Python tests.
#
#   test.sh [go test arguments]      default: ./...
#
# The first arguments, up to the first flag, are packages.
#
# A skipped test is listed at the end. With UPKEEP_TEST_NO_SKIP=1, as in CI, it is a failure: there
# everything that a test needs is installed, so a skip hides something.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# What a developer has set for an upkeep of their own is no business of the tests.
for name in $(compgen -e UPKEEP_); do
	case $name in
	UPKEEP_TEST_* | UPKEEP_SOAK) ;;
	*) unset "$name" ;;
	esac
done

events=$(mktemp) again=$(mktemp)
trap 'rm -f "$events" "$again"' EXIT

packages=()
while [[ $# -gt 0 && $1 != -* ]]; do
	packages+=("$1")
	shift
done
[[ ${#packages[@]} -gt 0 ]] || packages=(./...)

# On a machine with one core for each server, a test of real processes can miss its patience. Where
# UPKEEP_TEST_RERUN=1 says so, as in CI, up to three such tests are run once more, and named at the
# end as a defect of theirs; a data race is never run again, and what broke a promise (the tests of
# several nodes say so) is a failure whatever came after it.
rerun=()
if [[ ${UPKEEP_TEST_RERUN:-} == 1 ]]; then
	rerun=(--rerun-fails=1 --rerun-fails-max-failures=3 --rerun-fails-abort-on-data-race --rerun-fails-report "$again")
fi

CGO_ENABLED=1 scripts/dev/servers.sh run -- \
	.bin/gotestsum --format pkgname-and-test-fails --jsonfile "$events" "${rerun[@]}" --packages "${packages[*]}" -- -race -timeout=20m "$@"

# What kill tests killed is part of their outcome, and a passing test's log is not shown otherwise.
sed -n 's/.*"Test":"\([^"]*\)","Output":".*_test\.go:[0-9]*: \(.*kills.*\)\\n".*/test: \1: \2/p' "$events"

if [[ -s $again ]]; then
	printf 'test: these failed at first and passed when they ran again, which is a defect of theirs:\n' >&2
	cat "$again" >&2
	if grep -q 'promise broken: ' "$events"; then
		grep -ho 'promise broken: [^"]*' "$events" | head -5 >&2
		exit 1
	fi
fi

# A package without test files counts as skipped too, but names no test.
skipped=$(grep '"Action":"skip"' "$events" | grep -c '"Test":' || true)
if [[ $skipped -gt 0 && ${UPKEEP_TEST_NO_SKIP:-} == 1 ]]; then
	printf 'test: %s tests were skipped, and UPKEEP_TEST_NO_SKIP=1 forbids that; they are listed above\n' "$skipped" >&2
	exit 1
fi

if [[ -d scripts/tests ]]; then
	PYTHONDONTWRITEBYTECODE=1 python3 -m unittest discover -s scripts/tests
fi
