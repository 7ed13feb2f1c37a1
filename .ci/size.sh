#!/usr/bin/env bash
# What the library costs those who build it: its crates, and the seconds of a clean release build, everything downloaded: on the
# clock, and on the processors together. With the default features, without each of them, and without any.
#
# Other work on the machine makes a build slower and never faster: of two the faster one counts.
# shellcheck source=.ci/lib.sh
source "$(dirname "$0")/lib.sh"

limit=25 # seconds for the default features, on two cores
fresh=$target/size

# crates FEATURES: how many are compiled, the library among them.
crates() {
    cargo tree --locked --edges normal,build --prefix none --no-default-features --features "$1" | sed 's/ (.*//' | sort -u | wc -l
}

# seconds FEATURES: of the faster of two clean builds, and what the processors have worked for it.
seconds() {
    local TIMEFORMAT='%R %U %S'
    for _ in 1 2; do
        rm -rf "$fresh"
        { time cargo build --quiet --release --locked --offline --target-dir "$fresh" \
            --no-default-features --features "$1" >&2; } 2>"$logs/size.time" || fail "$(cat "$logs/size.time")"
        tail -1 "$logs/size.time"
    done | sort -n | awk 'NR == 1 { printf "%.1f %.1f\n", $1, $2 + $3 }'
    rm -rf "$fresh"
}

# row NAME FEATURES: a line of the table; leaves its numbers behind.
row() {
    count=$(crates "$2")
    read -r time cpu < <(seconds "$2")
    printf '%-22s %7s %8s %8s\n' "$1" "$count" "$time" "$cpu"
}

# without FEATURE: the other default features, with commas.
without() { grep -vx "$1" <<<"$features" | paste -sd, || true; }

features=$(metadata default)
cargo fetch --locked --quiet
printf '%-22s %7s %8s %8s\n' features crates seconds "of CPU"
row default "$(paste -sd, <<<"$features")"
default=$time
note="$count crates, $time s, $cpu s of CPU"
for feature in $features; do
    row "without $feature" "$(without "$feature")"
done
row none ""
echo "$note" >"$logs/size.note"
((${default%.*} < limit)) || fail "a clean build takes $default s, and $limit s are allowed. What takes how long:" \
    "cargo build --release --timings, in a fresh target folder."
