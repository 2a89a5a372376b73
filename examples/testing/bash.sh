#!/usr/bin/env bash
# A test in bash: what the program under test sends, what it gets back, and what it does when nobody is there.
# The program under test is `notify HOST PORT TEXT`, which hands a line to a server and prints the server's answer.
set -euo pipefail
haul=${HAUL:-haul}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

notify() { printf '%s\r\n' "$3" | timeout 10 "$haul" connect "$1" "$2"; }
fail() { printf 'FAILED: %s\n' "$1" >&2; exit 1; }

# The fake server: one connection, on a free port. It keeps what it was sent and answers.
"$haul" listen --quiet --accept-timeout 10s --port-file "$work/port" 127.0.0.1 0 \
    -c "cat > '$work/sent'; echo accepted" &
server=$!
# no sleep: this ends as soon as the port file is there, and after ten seconds at the latest
timeout 10 bash -c "until [[ -s '$work/port' ]]; do read -rt 0.02 <> <(:) || :; done"
port=$(< "$work/port")

[[ $(notify 127.0.0.1 "$port" 'disk is full') == accepted ]] || fail 'the answer is printed'
wait "$server" || fail 'the server was content'
[[ $(< "$work/sent") == $'disk is full\r' ]] || fail 'the line is sent with CR LF'

# The server is gone: the program under test must say so.
if notify 127.0.0.1 "$port" 'again' 2> "$work/complaint"; then fail 'a refused connection is a failure'; fi
grep -q 'connection refused' "$work/complaint" || fail 'the cause is told'

# The other way round: haul starts its listener, then the test, and ends with the status of the test.
export -f notify
export haul
"$haul" listen 127.0.0.1 0 --then "bash -c 'notify {addr} {port} hello'" -- tr a-z A-Z > "$work/echoed"
[[ $(< "$work/echoed") == $'HELLO\r' ]] || fail 'the program behind the port answers'

echo 'bash: all tests have passed'
