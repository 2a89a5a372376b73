#!/usr/bin/env bash
# Compares haul with the tools of its kind that are installed, on this machine, and prints tables in Markdown.
#
#   benches/compare.sh [-s MIB] [-r REPETITIONS] [-d DIRECTORY]
#
# A file of MIB (1024) goes through a loopback connection, a tool at both ends; REPETITIONS (5) each, the tools taking
# turns, and the median counts. The second table is of haul pipe and what else stands between two programs, the third
# of --verify and the same without it. The files live in DIRECTORY (/dev/shm where that is, and has the room). Needs no root.
# haul is $HAUL, or target/release/haul, which is built where it is missing. A transfer that takes over 30 s is given up.
# The congestion control decides what loopback can do; the first line of the output names it.
set -euo pipefail
export LC_ALL=C

usage() { sed -n '2,10s/^# \{0,1\}//p' "$0"; }

mebibytes=1024 repetitions=5 place=
while getopts 's:r:d:h' option; do
    case $option in
        s) mebibytes=$OPTARG ;;
        r) repetitions=$OPTARG ;;
        d) place=$OPTARG ;;
        h) usage; exit 0 ;;
        *) usage >&2; exit 2 ;;
    esac
done
for number in "$mebibytes" "$repetitions"; do
    if ! [[ $number =~ ^[1-9][0-9]{0,5}$ ]]; then usage >&2; exit 2; fi
done
if [[ -z ${EPOCHREALTIME:-} ]]; then echo 'compare.sh: bash 5 or newer is needed' >&2; exit 1; fi

root=$(cd "$(dirname "$0")/.." && pwd)
HAUL=${HAUL:-${CARGO_TARGET_DIR:-$root/target}/release/haul}
if [[ ! -x $HAUL ]]; then (cd "$root" && cargo build --locked --release >&2); fi
export HAUL

if [[ -z $place ]]; then
    place=${TMPDIR:-/tmp}
    # two files of that size, and some room
    if [[ -w /dev/shm ]]; then
        free=$(df -Pm /dev/shm | awk 'NR == 2 { print $4 }')
        if ((free > 2 * mebibytes + 64)); then place=/dev/shm; fi
    fi
fi
work=$(mktemp -d "$place/haul-compare.XXXXXX")
running=()
leave() {
    local status=$? process
    trap - EXIT
    for process in ${running[@]+"${running[@]}"}; do kill "$process" 2> /dev/null || :; done
    rm -rf "$work"
    exit "$status"
}
trap leave EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# --- the tools -------------------------------------------------------------------------------------------------------

tools=(haul)
if command -v nc > /dev/null && nc -h 2>&1 | grep -q OpenBSD; then tools+=(nc); fi
if command -v ncat > /dev/null; then tools+=(ncat); fi
if command -v socat > /dev/null; then tools+=(socat 'socat -b1M'); fi

# What stands in a pipeline, and says how far it is; cat, which only copies, is the bare minimum through user space.
pipes=(haul 'haul --hash' cat)
if command -v pv > /dev/null; then pipes+=(pv); fi
if command -v mbuffer > /dev/null; then pipes+=(mbuffer); fi

proofs=(haul 'haul --verify')

# Puts the command line of a tool in a role, for the port or the path $where, into the array `line`.
command_of() {
    local socat=(socat)
    if [[ $1 == 'socat -b1M' ]]; then socat+=(-b 1048576); fi
    case $1/$2 in
        haul/send) line=("$HAUL" connect 127.0.0.1 "$where") ;;
        haul/receive) line=("$HAUL" listen 127.0.0.1 "$where") ;;
        haul/send-unix) line=("$HAUL" connect -U "$where") ;;
        haul/receive-unix) line=("$HAUL" listen -U "$where") ;;
        'haul --verify/send') line=("$HAUL" connect --verify 127.0.0.1 "$where") ;;
        'haul --verify/receive') line=("$HAUL" listen --verify 127.0.0.1 "$where") ;;
        'haul --verify/send-unix') line=("$HAUL" connect --verify -U "$where") ;;
        'haul --verify/receive-unix') line=("$HAUL" listen --verify -U "$where") ;;
        haul/pass) line=("$HAUL" pipe --progress=bar) ;;
        'haul --hash/pass') line=("$HAUL" pipe --progress=bar --hash blake3) ;;
        cat/pass) line=(cat) ;;
        pv/pass) line=(pv -f) ;;
        mbuffer/pass) line=(mbuffer) ;;
        haul/leave) line=("$HAUL" --version) ;;
        nc/send) line=(nc -N 127.0.0.1 "$where") ;;
        nc/receive) line=(nc -l 127.0.0.1 "$where") ;;
        nc/send-unix) line=(nc -N -U "$where") ;;
        nc/receive-unix) line=(nc -l -U "$where") ;;
        nc/leave) line=(nc -h) ;;
        ncat/send) line=(ncat --send-only 127.0.0.1 "$where") ;;
        ncat/receive) line=(ncat -l --recv-only 127.0.0.1 "$where") ;;
        ncat/send-unix) line=(ncat --send-only -U "$where") ;;
        ncat/receive-unix) line=(ncat -l --recv-only -U "$where") ;;
        ncat/leave) line=(ncat --version) ;;
        socat*/send) line=("${socat[@]}" -u STDIN "TCP:127.0.0.1:$where") ;;
        socat*/receive) line=("${socat[@]}" -u "TCP-LISTEN:$where,bind=127.0.0.1,reuseaddr" STDOUT) ;;
        socat*/send-unix) line=("${socat[@]}" -u STDIN "UNIX-CONNECT:$where") ;;
        socat*/receive-unix) line=("${socat[@]}" -u "UNIX-LISTEN:$where" STDOUT) ;;
        socat/leave) line=(socat -V) ;;
        *) return 1 ;;
    esac
}

# --- one measurement -------------------------------------------------------------------------------------------------

# Whether something listens at $where; without /proc (not Linux) it is only given the time to.
listens() {
    local row table=/proc/net/tcp wanted
    if [[ ! -r $table ]]; then sleep 0.3; return 0; fi
    if [[ $where == /* ]]; then
        table=/proc/net/unix wanted="* 00010000 * $where"
    else
        printf -v wanted '*: *:%04X *:0000 0A *' "$where"
    fi
    while read -r row; do
        # shellcheck disable=SC2053 # a pattern
        if [[ $row == $wanted ]]; then return 0; fi
    done < "$table"
    return 1
}

# A port that nothing has, out of those that the kernel does not give away by itself.
free_port() {
    local attempt hex
    for ((attempt = 0; attempt < 100; attempt++)); do
        where=$((20000 + RANDOM % 12000))
        printf -v hex ':%04X ' "$where"
        if [[ ! -r /proc/net/tcp ]] || ! grep -q "$hex" /proc/net/tcp; then return 0; fi
    done
    return 1
}

# Becomes `line`, with a limit of time; to be started in the background, where $! is then what to wait for and to end.
limited() {
    if command -v timeout > /dev/null; then exec timeout 30 "${line[@]}"; else exec "${line[@]}"; fi
}

# transfer TOOL KIND SOURCE DESTINATION: leaves the seconds in $took, or fails.
transfer() {
    local tool=$1 kind=$2 source=$3 destination=$4 attempt receiver sender begin ok=1
    if [[ $kind == -unix ]]; then where=$work/socket; rm -f "$where"; else free_port || return 1; fi
    command_of "$tool" "receive$kind"
    limited < /dev/null > "$destination" 2> "$work/errors" &
    receiver=$!
    running=("$receiver")
    for ((attempt = 0; ; attempt++)); do
        if listens; then break; fi
        if ((attempt > 300)) || ! kill -0 "$receiver" 2> /dev/null; then stop "$receiver"; return 1; fi
        sleep 0.01
    done
    command_of "$tool" "send$kind"
    begin=$EPOCHREALTIME
    if [[ $source == pipe ]]; then
        # the process that is waited for is the sender, and the feeder ends with it
        limited < <(exec cat "$work/data") 2>> "$work/errors" > /dev/null &
    else
        limited < "$work/data" 2>> "$work/errors" > /dev/null &
    fi
    sender=$!
    running+=("$sender")
    wait "$sender" || ok=
    wait "$receiver" || ok=
    took=$(awk -v a="$begin" -v b="$EPOCHREALTIME" 'BEGIN { print b - a }')
    running=()
    [[ -n $ok ]] || return 1
    if [[ -f $destination ]]; then cmp -s "$work/data" "$destination"; fi
}

# passes TOOL SINK DESTINATION: cat, the tool, and the destination, with another cat before it where SINK says so; leaves
# the seconds in $took, or fails.
passes() {
    local tool=$1 sink=$2 destination=$3 begin ok=1
    command_of "$tool" pass
    begin=$EPOCHREALTIME
    case $sink in
        itself) (limited) < <(exec cat "$work/data") > "$destination" 2> "$work/errors" || ok= ;;
        cat) (limited) < <(exec cat "$work/data") 2> "$work/errors" | cat > "$destination" || ok= ;;
    esac
    took=$(awk -v a="$begin" -v b="$EPOCHREALTIME" 'BEGIN { print b - a }')
    [[ -n $ok ]] || return 1
    if [[ -f $destination ]]; then cmp -s "$work/data" "$destination"; fi
}

stop() {
    kill "$1" 2> /dev/null || :
    wait "$1" 2> /dev/null || :
    running=()
}

# starts TOOL: leaves the microseconds of one start, out of 50, in $took.
starts() {
    local begin n
    where=
    command_of "$1" leave || return 1
    begin=$EPOCHREALTIME
    for ((n = 0; n < 50; n++)); do "${line[@]}" < /dev/null > /dev/null 2>&1 || :; done
    took=$(awk -v a="$begin" -v b="$EPOCHREALTIME" 'BEGIN { print (b - a) / 50 * 1e6 }')
}

measure() {
    case $2 in
        tcp) transfer "$1" '' file /dev/null ;;
        tcp-file) transfer "$1" '' file "$work/arrived" ;;
        tcp-pipe) transfer "$1" '' pipe /dev/null ;;
        unix) transfer "$1" -unix file /dev/null ;;
        pass) passes "$1" itself /dev/null ;;
        pass-cat) passes "$1" cat /dev/null ;;
        pass-file) passes "$1" itself "$work/arrived" ;;
        leave) starts "$1" ;;
    esac
}

# --- all of them -----------------------------------------------------------------------------------------------------

median() { printf '%s\n' "$@" | sort -g | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }

title() {
    case $1 in
        tcp) echo 'file → TCP → /dev/null' ;;
        tcp-file) echo 'file → TCP → file' ;;
        tcp-pipe) echo 'cat file \| → TCP → /dev/null' ;;
        unix) echo 'file → Unix socket → /dev/null' ;;
        pass) echo 'cat file \| tool > /dev/null' ;;
        pass-cat) echo 'cat file \| tool \| cat > /dev/null' ;;
        pass-file) echo 'cat file \| tool > file' ;;
        leave) echo 'start and leave' ;;
    esac
}

machine() {
    local cpu=unknown control
    if [[ -r /proc/cpuinfo ]]; then cpu=$(awk -F ': ' '/^model name/ { print $2; exit }' /proc/cpuinfo); fi
    control=$(cat /proc/sys/net/ipv4/tcp_congestion_control 2> /dev/null || echo unknown)
    echo "$(getconf _NPROCESSORS_ONLN) CPUs ($cpu), $(uname -sr), loopback, $control; $mebibytes MiB, median of $repetitions"
}

# cell JOB TOOL FIGURE...: the median, and for all but haul what it is of haul's: above 1 is better than haul.
cell() {
    local job=$1 tool=$2 middle
    shift 2
    if (($# == 0)); then echo '-'; return; fi
    middle=$(median "$@")
    awk -v t="$middle" -v haul="${of_haul:-0}" -v tool="$tool" -v job="$job" -v size="$mebibytes" 'BEGIN {
        if (job == "leave") figure = sprintf("%.0f µs", t); else figure = sprintf("%.2f GB/s", size * 1048576 / t / 1e9)
        if (tool == "haul" || haul == 0) print figure; else printf "%s (%.2f)\n", figure, haul / t
    }'
}

head -c "$((mebibytes * 1048576))" /dev/urandom > "$work/data"

# table JOB...: a row for each job, a column for each of the $tools; they take turns.
table() {
    local job tool round turn of_haul
    printf '| job |'; printf ' %s |' "${tools[@]}"; echo
    printf '| --- |'; for _ in "${tools[@]}"; do printf ' --- |'; done; echo
    for job in "$@"; do
        local -A figures=() problems=()
        for ((round = 0; round < repetitions; round++)); do
            for ((turn = 0; turn < ${#tools[@]}; turn++)); do
                tool=${tools[(round + turn) % ${#tools[@]}]}
                if [[ -n ${problems[$tool]:-} ]]; then continue; fi
                # a port may have been taken in between: one failure is tried again, two end it
                if measure "$tool" "$job" || measure "$tool" "$job"; then
                    figures[$tool]+="$took "
                else
                    problems[$tool]=yes
                fi
            done
        done
        of_haul=
        # shellcheck disable=SC2086 # a list of numbers
        if [[ -n ${figures[haul]:-} ]]; then of_haul=$(median ${figures[haul]}); fi
        printf '| %s |' "$(title "$job")"
        for tool in "${tools[@]}"; do
            # shellcheck disable=SC2086
            printf ' %s |' "$(cell "$job" "$tool" ${figures[$tool]:-})"
        done
        echo
    done
    echo
}

machine
echo
table tcp tcp-file tcp-pipe unix leave
tools=("${pipes[@]}")
table pass pass-cat pass-file
tools=("${proofs[@]}")
table tcp tcp-file unix
echo 'In brackets: the speed as a share of that of haul. A dash: the tool has no such job, or failed twice.'
