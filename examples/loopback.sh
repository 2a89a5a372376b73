#!/bin/sh
# Sends a file through a loopback connection, haul at both ends, and compares the digests: examples/loopback.sh [MIB]
set -eu

mebibytes=${1:-256}
haul=${HAUL:-$(command -v haul || echo "${CARGO_HOME:-$HOME/.cargo}/bin/haul")}
directory=$(mktemp -d)
listener=
leave() {
    status=$?
    if [ -n "$listener" ]; then kill "$listener" 2>/dev/null || :; fi
    rm -rf "$directory"
    exit "$status"
}
trap leave EXIT
trap 'exit 130' INT TERM

cd "$directory"
head -c "$((mebibytes * 1048576))" /dev/urandom > sent

# The listener takes a free port and says which through a FIFO, so nothing here waits by the clock.
mkfifo ready
"$haul" listen --quiet --ready-fd 3 127.0.0.1 0 > arrived 3> ready &
listener=$!
address=$(cat ready)
"$haul" connect --stats "$address" < sent
wait "$listener"
listener=

digest() { if command -v sha256sum > /dev/null; then sha256sum; else shasum -a 256; fi < "$1" | cut -d ' ' -f 1; }
if [ "$(digest sent)" = "$(digest arrived)" ]; then
    echo "$mebibytes MiB sent to $address, and the digest matched: sha256 $(digest arrived)"
else
    echo "$mebibytes MiB sent to $address, and the digest differs" >&2
    exit 1
fi
