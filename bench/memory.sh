#!/usr/bin/env bash
# Resident memory of `refgate serve --dev`: idle with the world of the examples, and with a large one.
#
#   bench/memory.sh [NAMESPACES] [ENTRIES]     default: 10000 namespaces, 100000 entries of the catalogue
#
# VmRSS is what the process holds; VmHWM is the most that it ever held, the reading of the world file included. Both are
# taken when it is ready and idle, and again after reviews were answered. Above a target it ends with 1.
set -euo pipefail
namespaces=${1:-10000} entries=${2:-100000}
idle_target=15 large_target=60 carried_target=38

cd "$(dirname "$0")/.."
examples=$PWD/examples
target=${CARGO_TARGET_DIR:-target}
cargo build --quiet --release --bin refgate --example echo --example generate
bin=$(realpath "$target/release")
work=$(mktemp -d) pid=''
clean() {
    trap - EXIT INT TERM
    [ -z "$pid" ] || kill "$pid" 2>/dev/null || true
    rm -rf "$work"
}
trap clean EXIT
trap 'exit 130' INT TERM
cd "$work"
"$bin/examples/generate" review 5 >review.json
"$bin/examples/generate" world "$namespaces" "$entries" >large.yaml
"$bin/examples/generate" world 1000 0 >spaces.yaml
"$bin/examples/generate" external-secrets 20000 >carried.yaml
failed=0

mebibytes() { awk -v key="$1:" '$1 == key { printf "%.1f", $2 / 1024 }' "/proc/$pid/status"; }

measure() { # NAME WORLD TARGET
    : >out
    "$bin/refgate" serve --dev --world "$2" --listen 127.0.0.1:0 --health-listen 127.0.0.1:0 >out 2>/dev/null &
    pid=$!
    local at='' health='' ready=''
    for _ in $(seq 600); do
        at=$(sed -n '1s/.*\(https:\/\/[0-9.:]*\).*/\1/p' out)
        health=$(sed -n '1s/.*\(http:\/\/[0-9.:]*\).*/\1/p' out)
        [ -n "$at" ] && curl -sf --max-time 1 "$health/readyz" >/dev/null && { ready=yes; break; }
        sleep 0.1
    done
    [ -n "$ready" ] || { echo "the server did not start" >&2; exit 1; }
    sleep 3
    rss=$(mebibytes VmRSS)
    printf '%-46s %10s %10s %8s\n' "$1, idle" "$rss" "$(mebibytes VmHWM)" "$3"
    # One connection after another, as a cluster in which little happens asks.
    for _ in $(seq 50); do
        curl -sSk --max-time 10 -H 'Content-Type: application/json' --data-binary @review.json "$at/mutate" >answer
        case $2 in
            *large.yaml) grep -q '"patch":"' answer || { echo "an unexpected answer: $(cat answer)" >&2; exit 1; } ;;
        esac
    done
    printf '%-46s %10s %10s\n' "$1, after 50 reviews" "$(mebibytes VmRSS)" "$(mebibytes VmHWM)"
    awk -v rss="$rss" -v target="$3" 'BEGIN { exit rss > target }' || failed=1
    kill "$pid"
    wait "$pid" || true
    pid=''
}

printf '%-46s %10s %10s %8s\n' MiB VmRSS VmHWM target
measure "examples/world.yaml" "$examples/world.yaml" $idle_target
measure "$namespaces namespaces, $entries entries" large.yaml $large_target
# What 20,000 ExternalSecrets of five entries add: the same namespaces, with them and without.
measure "1000 namespaces" spaces.yaml $large_target
before=$rss
measure "1000 namespaces, 20000 ExternalSecrets" carried.yaml $large_target
awk -v more="$rss" -v before="$before" -v target="$carried_target" 'BEGIN {
    printf "20000 ExternalSecrets add %.1f, target %d\n", more - before, target
    exit more - before > target
}' || failed=1
exit $failed
