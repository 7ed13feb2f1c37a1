#!/usr/bin/env bash
# The gate on instructions per event, by callgrind. Unlike time they repeat on a busy machine too, so a
# change that makes the hot path longer fails here.
#
# Each case of benches/instructions.rs runs twice, with few events and with many: the difference is the
# events' own cost, without the start and the end of the process. Only the first thread is counted, the
# one that logs: what a writer's thread does is not on the caller's path.
# shellcheck source=.ci/lib.sh
source "$(dirname "$0")/lib.sh"

limits=.ci/limits.tsv
few=2000
many=12000
out=$target/callgrind
mkdir -p "$out"

command -v valgrind >/dev/null || fail "valgrind is missing: bash .ci/run tools"
bench=$(cargo bench --features multiprocess --no-run --bench instructions --message-format=json-render-diagnostics |
    sed -n 's/.*"name":"instructions".*"executable":"\([^"]*\)".*/\1/p')
[[ -x $bench ]] || fail "cargo built no bench called instructions"

cases=$(grep '^[^#]' "$limits" | cut -f1 | sort -u)
diff <(echo "$cases") <("$bench" list | sort) >"$out/cases.diff" ||
    fail "$limits (<) and the cases of benches/instructions.rs (>) differ:" "$(cat "$out/cases.diff")"

# instructions CASE EVENTS: of the first thread, from start to end.
instructions() {
    local file="$out/$1.$2"
    rm -f "$file"*
    valgrind --tool=callgrind --separate-threads=yes --callgrind-out-file="$file" "$bench" "$1" "$2" \
        >"$file.log" 2>&1 || fail "$1 $2 under valgrind:" "$(cat "$file.log")"
    awk '$1 == "totals:" { print $2 }' "$file-01"
}

declare -A measured
for name in $cases; do
    low=$(instructions "$name" "$few")
    high=$(instructions "$name" "$many")
    measured[$name]=$(((high - low) / (many - few)))
    ((measured[$name] > 0)) || fail "$name: $low instructions for $few events, $high for $many"
done

# allowed LIMIT: the number that it stands for.
allowed() {
    local number other
    read -r number other <<<"$1"
    [[ -n $other ]] || { echo "$number" && return; }
    awk -v part="$number" -v of="${measured[$other]}" 'BEGIN { print int(part * of) }'
}

declare -A over=()
printf '%-14s %9s %9s  %s\n' case measured limit "instructions of the caller for"
while IFS=$'\t' read -r name limit what; do
    [[ $limit != *" "* ]] || what+=" ($limit)"
    limit=$(allowed "$limit")
    printf '%-14s %9s %9s  %s\n' "$name" "${measured[$name]}" "$limit" "$what"
    [[ $limit == - ]] || ((measured[$name] <= limit)) || over[$name]=
done < <(grep '^[^#]' "$limits")

for name in "${!over[@]}"; do
    printf '\n%s is over its limit. Where the instructions go, and the same of the commit before to compare:\n' "$name"
    printf '    callgrind_annotate --inclusive=yes %s | head -60\n' "$out/$name.$many-01"
done
((${#over[@]} == 0)) || fail "over the limit: ${!over[*]}. Make the path shorter, or, if an event now does" \
    "more on purpose, raise the limit in $limits and say in the commit what for."
