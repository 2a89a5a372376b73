#!/usr/bin/env bash
# Tests in bash: what the program under test sends, what it makes of the answer, and what it does when nobody is there.
set -euo pipefail
haul=${HAUL:-haul}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { printf 'FAILED: %s\n' "$1" >&2; exit 1; }

# What is under test, `notify HOST PORT TEXT`: hands a line to a server and prints the server's answer.
cat > "$work/notify" <<'SCRIPT'
exec 3<> "/dev/tcp/$1/$2" && printf '%s\r\n' "$3" >&3 && read -r -t 10 answer <&3 && printf '%s\n' "$answer"
SCRIPT
notify() { bash "$work/notify" "$@"; }

# A fake server for one client, on a free port. It keeps what it is sent, and answers.
mkfifo "$work/ready"
"$haul" listen --quiet --accept-timeout 10s --ready-fd 3 127.0.0.1 0 \
    -c "read -r line; echo \"\$line\" > '$work/sent'; echo accepted" 3> "$work/ready" &
server=$!
address=$(< "$work/ready") # ends when haul listens: no sleep, and no port that somebody else may take

[[ $(notify "${address%:*}" "${address##*:}" 'disk is full') == accepted ]] || fail 'the answer is printed'
wait "$server" || fail 'the server is content'
[[ $(< "$work/sent") == $'disk is full\r' ]] || fail 'the line is sent with CR LF'

# The server is gone: that is a failure.
if notify "${address%:*}" "${address##*:}" again 2> /dev/null; then fail 'a server that is down is told'; fi

# The other way round: haul listens, then runs the test, and ends with the test's status.
"$haul" listen --quiet 127.0.0.1 0 --then "bash '$work/notify' {addr} {port} hello" -- \
    sh -c 'read -r line; echo "$line" | tr a-z A-Z' > "$work/printed"
[[ $(< "$work/printed") == $'HELLO\r' ]] || fail 'what the server answers is printed'

status=0
"$haul" listen --quiet 127.0.0.1 0 --then "bash '$work/notify' {addr} {port} hello" -- true || status=$?
((status == 1)) || fail 'a server that hangs up without an answer is told'

echo 'bash: all tests have passed'
