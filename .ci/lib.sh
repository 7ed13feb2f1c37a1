# What `.ci/run` and `.ci/deep` share: sourced by them, not run.
# shellcheck shell=bash

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export PATH="$PATH:/usr/sbin:/sbin" # logrotate lives there, and not every PATH names it
export DEBIAN_FRONTEND=noninteractive
export CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-never}
export CARGO_INCREMENTAL=0 # everything is built once
target=${CARGO_TARGET_DIR:-target}
logs=$target/ci
step= # the step that runs now
mkdir -p "$logs"

fail() {
    printf 'FAILED: %s\n' "$*" >&2
    exit 1
}

# One line that the closing table shows beside the step.
note() { printf '%s\n' "$*" >"$logs/$step.note"; }

# One fact of Cargo.toml, a line each: features | default | examples | rust-version.
metadata() { cargo metadata --no-deps --format-version 1 | python3 .ci/metadata.py "$1"; }

# How many tests a log of `cargo test` says have passed.
passed() { awk '/^test result: ok\./ { n += $4 } END { print n + 0 }' "$1"; }

# Runs a test command and notes what passed. A run of no test is a failure: it would look green.
tests() {
    "$@" | tee "$logs/$step.log"
    local n
    n=$(passed "$logs/$step.log")
    ((n > 0)) || fail "no test ran: $*"
    note "$n tests passed"
}

# Installs Debian packages, and asks for the lists again only if they do not know them.
install() {
    ((EUID == 0)) || fail "not root, so cannot install: $*. Install them yourself, or run this step as root."
    local apt=(apt-get -qq -o Dpkg::Use-Pty=0)
    echo "-- installing $*"
    "${apt[@]}" install -y --no-install-recommends "$@" && return
    "${apt[@]}" update
    "${apt[@]}" install -y --no-install-recommends "$@"
}

step_gate() { bash .ci/gate.sh && note "$(grep -vcE $'^#|\t-\t' .ci/limits.tsv) limits of .ci/limits.tsv kept"; }

# run_steps NAME...: runs the function step_NAME of each, the failed ones too, and prints the table.
run_steps() {
    local failed=0 begun=$SECONDS start status result table=
    for step in "$@"; do
        declare -F "step_$step" >/dev/null || fail "no step is called $step"
    done
    for step in "$@"; do
        printf '\n== %s\n' "$step"
        : >"$logs/$step.note"
        start=$SECONDS
        # A plain subshell, as bash ignores `set -e` in whatever stands in a condition.
        set +e
        (
            set -e
            "step_$step"
        ) </dev/null
        status=$?
        set -e
        result=ok
        ((status == 0)) || result=FAILED failed=$((failed + 1))
        printf '== %s: %s in %s s\n' "$step" "$result" "$((SECONDS - start))"
        table+=$(printf '%-9s %-6s %5s s  %s' "$step" "$result" "$((SECONDS - start))" "$(cat "$logs/$step.note")")$'\n'
    done
    printf '\n%s%-9s %12s s\n\n%s passed, %s failed\n' "$table" total "$((SECONDS - begun))" "$(($# - failed))" "$failed"
    ((failed == 0))
}
