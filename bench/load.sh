#!/usr/bin/env bash
# RefGate under load, beside an echo server that shares everything with it but the work (bench/echo.rs).
#
#   bench/load.sh [ROUNDS] [REQUESTS]      default: 5 rounds of 20000 requests
#
# Both servers run side by side on free ports of loopback; in each round each of them is asked in turn, so that a
# machine that is slow for a while is slow for both. No request is tried twice, and one that fails ends the run with 1.
#
# HTTP/1.1, as API servers speak it to a Service, and to every URL that is not loopback.
set -euo pipefail
rounds=${1:-5} requests=${2:-20000}
concurrency=16

command -v h2load >/dev/null || { echo "h2load is missing: apt-get install -y nghttp2-client" >&2; exit 2; }
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
cargo build --quiet --release --bin refgate --example echo --example generate
bin=$(realpath "$target/release")
work=$(mktemp -d) refgate_pid='' echo_pid=''
clean() {
    trap - EXIT INT TERM
    [ -z "$refgate_pid" ] || kill "$refgate_pid" 2>/dev/null || true
    [ -z "$echo_pid" ] || kill "$echo_pid" 2>/dev/null || true
    rm -rf "$work"
}
trap clean EXIT
trap 'exit 130' INT TERM
cd "$work"

"$bin/examples/generate" review 0 >plain.json
"$bin/examples/generate" review 5 >references.json
"$bin/examples/generate" world 100 2000 >world.yaml

: >refgate.out
: >echo.out
# Logs are written, and thrown away. Where it listens, each server says in the first line of its standard output.
"$bin/refgate" serve --dev --world world.yaml --listen 127.0.0.1:0 --health-listen 127.0.0.1:0 >refgate.out 2>/dev/null &
refgate_pid=$!
"$bin/examples/echo" --listen 127.0.0.1:0 >echo.out 2>/dev/null &
echo_pid=$!
address() {
    for _ in $(seq 100); do
        local found
        found=$(sed -n '1s/.*https:\/\/\([0-9.:]*\).*/\1/p' "$1.out")
        [ -z "$found" ] || { echo "$found"; return; }
        sleep 0.1
    done
    echo "the $1 server did not start" >&2
    exit 1
}
refgate_at=$(address refgate)
echo_at=$(address echo)

# A benchmark of the wrong thing is worth nothing: allowed, and patched where there are references.
ask() { curl -sSk --max-time 10 -H 'Content-Type: application/json' --data-binary "@$2.json" "https://$1/mutate?timeout=10s"; }
expect() { grep -q "$2" <<<"$1" || { echo "an unexpected answer: $1" >&2; exit 1; }; }
expect "$(ask "$refgate_at" plain)" '"allowed":true'
expect "$(ask "$refgate_at" references)" '"patch":"'
expect "$(ask "$echo_at" plain)" '"allowed":true'

ticks=$(getconf CLK_TCK)
# User and system time of a process so far, in clock ticks.
spent() { sed 's/.*) //' "/proc/$1/stat" | awk '{print $12 + $13}'; }

# One round of one server: requests per second, p50 and p99 in microseconds, CPU of the server per request.
one() { # SERVER ADDRESS PID REVIEW
    local before after rate
    before=$(spent "$3")
    rm -f times
    timeout 120 h2load --h1 -c "$concurrency" -n "$requests" -d "$4.json" -H 'Content-Type: application/json' \
        --log-file=times "https://$2/mutate?timeout=10s" >h2load.out
    after=$(spent "$3")
    if ! grep -q "^status codes: $requests 2xx, 0 3xx, 0 4xx, 0 5xx" h2load.out; then
        echo "some of $requests requests to $1 failed:" >&2
        grep -E '^(requests|status codes):' h2load.out >&2
        exit 1
    fi
    rate=$(sed -n 's/^finished in .*, \([0-9.]*\) req\/s.*/\1/p' h2load.out)
    cut -f3 times | sort -n | awk -v rate="$rate" -v cpu="$((after - before))" -v ticks="$ticks" '
        { all[NR] = $1 }
        END { print rate, all[int((NR + 1) / 2)], all[int(NR * 0.99)], cpu * 1e6 / ticks / NR }' >>"$1.rounds"
}

# The medians of a server's rounds.
row() { # SERVER
    local -a median=()
    for column in 1 2 3 4; do
        median+=("$(cut -d' ' -f$column "$1.rounds" | sort -n | awk '{ all[NR] = $1 } END { print all[int((NR + 1) / 2)] }')")
    done
    printf '  %-8s %12.0f %10.0f %10.0f %14.1f\n' "$1" "${median[@]}"
}

echo "RefGate and echo in turn over HTTP/1.1 keep-alive, $concurrency connections, $rounds rounds of $requests requests each,"
echo "$(nproc) cores for servers and load together"
for review in plain references; do
    case $review in
        plain) name="9 KB, no reference" ;;
        references) name="9 KB, five references" ;;
    esac
    rm -f refgate.rounds echo.rounds warm.rounds
    # The first round warms up and does not count.
    one warm "$refgate_at" "$refgate_pid" $review
    one warm "$echo_at" "$echo_pid" $review
    for _ in $(seq "$rounds"); do
        one refgate "$refgate_at" "$refgate_pid" $review
        one echo "$echo_at" "$echo_pid" $review
    done
    printf '\n%s\n  %-8s %12s %10s %10s %14s\n' "$name" '' requests/s 'p50 us' 'p99 us' 'CPU us/request'
    row refgate
    row echo
    # The ratio is taken round by round, so that a slow moment counts for both.
    paste -d' ' refgate.rounds echo.rounds | awk '{ print $1 / $5, $8 / $4 }' >ratios
    cut -d' ' -f1 ratios | sort -n | awk '{ all[NR] = $1 }
        END { printf "  ratio    %.2f of the requests per second (%.2f to %.2f)\n", all[int((NR + 1) / 2)], all[1], all[NR] }'
    cut -d' ' -f2 ratios | sort -n | awk '{ all[NR] = $1 }
        END { printf "           %.2f by the CPU time of the server alone\n", all[int((NR + 1) / 2)] }'
done
