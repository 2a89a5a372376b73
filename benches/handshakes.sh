#!/usr/bin/env bash
# Compares how many TLS handshakes a relay of haul that terminates TLS does with haproxy and nginx, and prints a table in
# Markdown.
#
#   benches/handshakes.sh [-s SECONDS] [-r REPETITIONS] [-c CLIENTS]
#
# Each of them has one thread, the same key on P-256 and the same plain backend behind it. CLIENTS (2) processes of
# openssl s_time connect to it for SECONDS (3), without resuming anything; REPETITIONS (5) each, in turns, and the median
# counts. Clients cost more than servers, and where both share the processors they decide how many handshakes there are
# in a second: the time of the processor that the terminator took for each is the better figure. Both are given, and
# haul's as a multiple of the others'. haul is $HAUL, or target/release/haul, which is built where it is missing.
set -euo pipefail
export LC_ALL=C

usage() { sed -n '2,12s/^# \{0,1\}//p' "$0"; }

seconds=3 repetitions=5 clients=2
while getopts 's:r:c:h' option; do
    case $option in
        s) seconds=$OPTARG ;;
        r) repetitions=$OPTARG ;;
        c) clients=$OPTARG ;;
        h) usage; exit 0 ;;
        *) usage >&2; exit 2 ;;
    esac
done
for number in "$seconds" "$repetitions" "$clients"; do
    if ! [[ $number =~ ^[1-9][0-9]{0,3}$ ]]; then usage >&2; exit 2; fi
done
if ! command -v openssl > /dev/null; then echo 'handshakes.sh: openssl is needed' >&2; exit 1; fi
PATH=$PATH:/usr/sbin

root=$(cd "$(dirname "$0")/.." && pwd)
HAUL=${HAUL:-${CARGO_TARGET_DIR:-$root/target}/release/haul}
if [[ ! -x $HAUL ]]; then (cd "$root" && cargo build --locked --release >&2); fi

work=$(mktemp -d "${TMPDIR:-/tmp}/haul-handshakes.XXXXXX")
running=()
leave() {
    local status=$? process
    trap - EXIT
    for process in ${running[@]+"${running[@]}"}; do kill "$process" 2> /dev/null || :; done
    wait || :
    rm -rf "$work"
    exit "$status"
}
trap leave EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout "$work/key" -out "$work/cert" \
    -subj /CN=localhost -days 2 2> /dev/null
cat "$work/cert" "$work/key" > "$work/both"

"$HAUL" listen -k --recv-only --quiet 127.0.0.1:0 > /dev/null &
running+=($!)

# The port that a process, or one that it has started, listens on.
port_of() {
    local attempt port
    for ((attempt = 0; attempt < 200; attempt++)); do
        port=$(ss -Hltnp | awk -v one="pid=$1," -v two="pid=$(pgrep -P "$1" -o || echo none)," \
            'index($0, one) || index($0, two) { sub(/.*:/, "", $4); print $4; exit }')
        if [[ -n $port ]]; then echo "$port"; return; fi
        sleep 0.05
    done
    echo "handshakes.sh: process $1 does not listen" >&2
    return 1
}

backend=127.0.0.1:$(port_of "${running[0]}")

start_haul() {
    exec "$HAUL" relay --quiet --threads 1 --tls --cert "$work/cert" --key "$work/key" 127.0.0.1:0 "$backend"
}

# For those that cannot say which port they took: one that was free a moment ago.
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

start_haproxy() {
    printf '%s\n' 'global' ' nbthread 1' 'defaults' ' mode tcp' ' timeout connect 10s' ' timeout client 10s' \
        ' timeout server 10s' 'listen one' " bind 127.0.0.1:$(free_port) ssl crt $work/both" " server one $backend" \
        > "$work/haproxy.cfg"
    exec haproxy -q -db -f "$work/haproxy.cfg"
}

start_nginx() {
    local module
    module=$(find /usr/lib/nginx/modules -name ngx_stream_module.so 2> /dev/null || :)
    printf '%s\n' "${module:+load_module $module;}" 'daemon off; worker_processes 1; error_log stderr crit;' \
        "pid $work/nginx.pid; events { worker_connections 8192; }" \
        "stream { server { listen 127.0.0.1:$(free_port) ssl backlog=4096; ssl_certificate $work/cert;" \
        "ssl_certificate_key $work/key; ssl_protocols TLSv1.2 TLSv1.3; proxy_pass $backend; } }" > "$work/nginx.conf"
    exec nginx -p "$work" -c "$work/nginx.conf"
}

# Ticks of the processor that a process and those that it has started have taken.
ticks() {
    local process sum=0 fields
    for process in "$1" $(pgrep -P "$1" || :); do
        fields=$(sed 's/.*) //' "/proc/$process/stat")
        sum=$((sum + $(awk '{ print $12 + $13 }' <<< "$fields")))
    done
    echo "$sum"
}

# Handshakes in a second, and microseconds of the processor for each.
measure() {
    local port process each before began count=0
    port=$(port_of "$1")
    before=$(ticks "$1") began=$EPOCHREALTIME
    local made=()
    for ((each = 0; each < clients; each++)); do
        openssl s_time -new -connect "127.0.0.1:$port" -time "$seconds" > "$work/client.$each" 2>&1 &
        made+=($!)
    done
    for process in "${made[@]}"; do wait "$process" || :; done
    local took=$((${EPOCHREALTIME/./} - ${began/./})) used=$(($(ticks "$1") - before))
    for ((each = 0; each < clients; each++)); do
        count=$((count + $(awk '/real seconds/ { print $1 }' "$work/client.$each")))
    done
    if ((count == 0)); then echo 'handshakes.sh: nobody got through' >&2; return 1; fi
    awk -v count="$count" -v took="$took" -v used="$used" -v hertz="$(getconf CLK_TCK)" \
        'BEGIN { printf "%.0f %.1f\n", count * 1e6 / took, used * 1e6 / hertz / count }'
}

median() { sort -n | awk '{ all[NR] = $1 } END { print all[int((NR + 1) / 2)] }'; }

tools=(haul)
for tool in haproxy nginx; do if command -v "$tool" > /dev/null; then tools+=("$tool"); fi; done
declare -A pids
for tool in "${tools[@]}"; do
    "start_$tool" > /dev/null 2> "$work/$tool.log" &
    pids[$tool]=$!
    running+=($!)
done
for ((turn = 0; turn < repetitions; turn++)); do
    for tool in "${tools[@]}"; do measure "${pids[$tool]}" >> "$work/$tool.figures"; done
done

printf 'TLS 1.3, P-256, %s clients for %s s, median of %s; %s processors\n\n' \
    "$clients" "$seconds" "$repetitions" "$(nproc)"
printf '| terminator | handshakes/s | haul has | CPU µs each | haul takes |\n|---|--:|--:|--:|--:|\n'
for tool in "${tools[@]}"; do
    rate=$(cut -d ' ' -f 1 "$work/$tool.figures" | median)
    cost=$(cut -d ' ' -f 2 "$work/$tool.figures" | median)
    if [[ $tool == haul ]]; then own_rate=$rate own_cost=$cost; fi
    awk -v tool="$tool" -v rate="$rate" -v cost="$cost" -v own_rate="$own_rate" -v own_cost="$own_cost" \
        'BEGIN { printf "| %s | %d | %.2f | %.1f | %.2f |\n", tool, rate, own_rate / rate, cost, own_cost / cost }'
done
