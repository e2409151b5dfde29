# Sourced by the tests that are scripts: the repository's folder, one for what they make, and what they report.
# shellcheck shell=bash
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
export B=${B:-build}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

check() { # WHAT COMMAND…
    if "${@:2}" 2>"$work/err"; then
        echo "ok $1"
    else
        echo "FAIL $1: $(tail -n 3 "$work/err")"
        failed=1
    fi
}

finish() { exit $failed; }
