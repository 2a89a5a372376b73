# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_haul_global_optspecs
    string join \n generate= h/help V/version
end

function __fish_haul_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_haul_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_haul_using_subcommand
    set -l cmd (__fish_haul_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c haul -n "__fish_haul_needs_command" -l generate -d 'Print a generated file: a man page or a completion script' -r -f -a "man\t'haul(1)'
man-listen\t'haul-listen(1)'
man-connect\t'haul-connect(1)'
man-pipe\t'haul-pipe(1)'
man-send-udp\t'haul-send-udp(1)'
man-relay\t'haul-relay(1)'
man-bench\t'haul-bench(1)'
complete-bash\t''
complete-zsh\t''
complete-fish\t''
complete-powershell\t''"
complete -c haul -n "__fish_haul_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c haul -n "__fish_haul_needs_command" -s V -l version -d 'Print version'
complete -c haul -n "__fish_haul_needs_command" -f -a "listen" -d 'Accept connections and join them to standard input and output, or to a program'
complete -c haul -n "__fish_haul_needs_command" -f -a "connect" -d 'Connect to an endpoint and join it to standard input and output, or to a program'
complete -c haul -n "__fish_haul_needs_command" -f -a "pipe" -d 'Move bytes from one endpoint to one or several others, seen and verified'
complete -c haul -n "__fish_haul_needs_command" -f -a "send-udp" -d 'Send datagrams: words of the command line, a file, or standard input'
complete -c haul -n "__fish_haul_needs_command" -f -a "relay" -d 'Join every connection that comes to LISTEN to one of its own to TARGET, until stopped'
complete -c haul -n "__fish_haul_needs_command" -f -a "bench" -d 'Measure throughput and latency between two ends, one of which serves (-s); both speak iperf3\'s protocol'
complete -c haul -n "__fish_haul_needs_command" -f -a "help" -d 'Explain a subcommand, or a topic: endpoints, exit, eof, tls, units'
complete -c haul -n "__fish_haul_using_subcommand listen" -s p -d 'Listen on this port; 0 takes a free one' -r
complete -c haul -n "__fish_haul_using_subcommand listen" -s s -d 'Listen on this address of this machine [default: all of them]' -r
complete -c haul -n "__fish_haul_using_subcommand listen" -s U -d 'Listen on the Unix socket at this path, which is removed at the end' -r -F
complete -c haul -n "__fish_haul_using_subcommand listen" -l mode -d 'Permissions of the Unix socket\'s file, octal, say 660 [default: what the umask leaves]' -r
complete -c haul -n "__fish_haul_using_subcommand listen" -l accept-timeout -d 'End with status 3 when the first connection has not come within T [default: no limit]' -r
complete -c haul -n "__fish_haul_using_subcommand listen" -s w -d 'The same as --idle: end with status 3 when no byte has moved either way for T [default: no limit]' -r
complete -c haul -n "__fish_haul_using_subcommand listen" -l banner -d 'Send TEXT, C escapes understood, to each peer before anything else [default: nothing]' -r
complete -c haul -n "__fish_haul_using_subcommand listen" -l split -d 'With -u, tell datagrams apart: line, nul or len16 [default: nothing is put between them]' -r -f -a "line\t'a newline behind each'
nul\t'a NUL byte behind each'
len16\t'two bytes of length, the high one first, in front of each'"
complete -c haul -n "__fish_haul_using_subcommand listen" -s W -d 'With -u, end with status 0 when N datagrams have been received [default: no limit]' -r
complete -c haul -n "__fish_haul_using_subcommand listen" -l source -d 'With -u and a multicast group, receive only what this host sends to it (SSM) [default: what anybody sends]' -r
complete -c haul -n "__fish_haul_using_subcommand listen" -l flow-idle -d 'With -u, forget a peer that has been silent for T, and end its program [default: 60s]' -r
complete -c haul -n "__fish_haul_using_subcommand listen" -l ready-fd -d 'Once listening, write ADDR:PORT and a newline to this descriptor and close it [default: to none]' -r
complete -c haul -n "__fish_haul_using_subcommand listen" -l port-file -d 'Once listening, write the port, or the path of a Unix socket, to this file [default: to none]' -r -F
complete -c haul -n "__fish_haul_using_subcommand listen" -s e -d 'Join each connection to this program, split into words as a shell would, but run without one' -r -f -a "(__fish_complete_command)"
complete -c haul -n "__fish_haul_using_subcommand listen" -s c -d 'Join each connection to this command of the shell (sh -c)' -r -f -a "(__fish_complete_command)"
complete -c haul -n "__fish_haul_using_subcommand listen" -s m -d 'Hold at most N connections at once; 1 is one after the other [default: what the descriptor limit allows]' -r
complete -c haul -n "__fish_haul_using_subcommand listen" -l max-per-ip -d 'Hold at most N connections at once from one address [default: no limit]' -r
complete -c haul -n "__fish_haul_using_subcommand listen" -l count -d 'Accept N connections in all, then stop when they have ended [default: 1; with -k no limit]' -r
complete -c haul -n "__fish_haul_using_subcommand listen" -l then -d 'Once listening, run sh -c TEXT, with {port} and {addr} replaced; haul ends with it and with its status' -r
complete -c haul -n "__fish_haul_using_subcommand listen" -l grace -d 'When stopping, give open sessions and programs T to end [default: 2s]' -r
complete -c haul -n "__fish_haul_using_subcommand listen" -l allow -d 'Let only these connect: networks with commas between them, or @FILE with one a line [default: everybody]' -r
complete -c haul -n "__fish_haul_using_subcommand listen" -l deny -d 'Do not let these connect, whatever --allow says; written in the same way [default: nobody]' -r
complete -c haul -n "__fish_haul_using_subcommand listen" -l iface -d 'Use this network interface only, say eth0' -r
complete -c haul -n "__fish_haul_using_subcommand listen" -l idle -d 'End with status 3 when no byte has moved either way for T [default: no limit]' -r
complete -c haul -n "__fish_haul_using_subcommand listen" -s q -d 'End with status 0 when T has passed since the end of standard input [default: no limit]' -r
complete -c haul -n "__fish_haul_using_subcommand listen" -l max-bytes -d 'End with status 0 when SIZE bytes have been received; the connection is reset [default: no limit]' -r
complete -c haul -n "__fish_haul_using_subcommand listen" -l max-time -d 'End with status 3 when the transfer, connecting and handshakes included, has taken T; the connection is reset [default: no limit]' -r
complete -c haul -n "__fish_haul_using_subcommand listen" -l linger -d 'At the end, wait for T without progress until the peer has acknowledged everything [default: 30s]' -r
complete -c haul -n "__fish_haul_using_subcommand listen" -s L -d 'Move at most RATE in each direction: 10M is bytes a second, 100Mbit bits [default: no limit]' -r
complete -c haul -n "__fish_haul_using_subcommand listen" -l after-peer-eof -d 'What the peer\'s end means for what is still being sent [default: auto]' -r -f -a "auto\t'go on until standard input ends, but stop if it is a terminal'
exit\t'stop; the connection is reset if standard input has not ended'
send\t'go on until standard input ends'"
complete -c haul -n "__fish_haul_using_subcommand listen" -s o -d 'Write a copy of what is received to FILE; with --hex, of both directions [default: to none]' -r -F
complete -c haul -n "__fish_haul_using_subcommand listen" -l out -d 'Write what is received to FILE instead of standard output, whole or not at all; standard input is left alone' -r -F
complete -c haul -n "__fish_haul_using_subcommand listen" -l block -d 'Move at most SIZE bytes in one system call, 1 to 1Gi [default: chosen for the kind of endpoint]' -r
complete -c haul -n "__fish_haul_using_subcommand listen" -l splice -d 'Whether the kernel may move bytes without copying them through haul [default: auto]' -r -f -a "auto\t'where the kernel can'
never\t'every byte passes through a buffer of haul\'s'"
complete -c haul -n "__fish_haul_using_subcommand listen" -l buffer -d 'Hold at most SIZE bytes, 1 to 1Gi, in transit in each direction [default: chosen for the kind of endpoint]' -r
complete -c haul -n "__fish_haul_using_subcommand listen" -l cert -d 'Show the peer the certificate in this PEM file, with its chain; a listener may have several, one for each name' -r -F
complete -c haul -n "__fish_haul_using_subcommand listen" -l key -d 'The private key for --cert, in PEM [default: the file of the certificate holds it as well]' -r -F
complete -c haul -n "__fish_haul_using_subcommand listen" -l ca -d 'When connecting, believe the certificates in this PEM file alone [default: the system\'s roots]' -r -F
complete -c haul -n "__fish_haul_using_subcommand listen" -l client-ca -d 'When listening, accept only clients whose certificate is in this PEM file, or that one in it vouches for [default: anybody]' -r -F
complete -c haul -n "__fish_haul_using_subcommand listen" -l sni -d 'When connecting, ask for NAME, which the certificate has to be for [default: the host]' -r
complete -c haul -n "__fish_haul_using_subcommand listen" -l alpn -d 'Offer these application protocols, or listen to offers of only these, say h2,http/1.1 [default: none]' -r
complete -c haul -n "__fish_haul_using_subcommand listen" -l pin -d 'When connecting, accept the peer by its public key, alone unless there is --ca; may be repeated [default: by its certificate]' -r
complete -c haul -n "__fish_haul_using_subcommand listen" -l tls-min -d 'The oldest version of TLS that is spoken [default: 1.2]' -r -f -a "1.2\t''
1.3\t''"
complete -c haul -n "__fish_haul_using_subcommand listen" -l events -d 'Write a JSON object a line for everything that happens, to a descriptor or at the end of a file' -r
complete -c haul -n "__fish_haul_using_subcommand listen" -l progress -d 'Show progress on standard error [default: off; without HOW a bar, if that is a terminal and does not show the payload too]' -r -f -a "bar\t'a bar, also if it is no terminal'
line\t'a line a second'
json\t'a JSON object a second'
off\t'nothing'"
complete -c haul -n "__fish_haul_using_subcommand listen" -l keepalive -d 'Probe a silent peer (SO_KEEPALIVE), every T if given [default: off; without T the system\'s times]' -r
complete -c haul -n "__fish_haul_using_subcommand listen" -l user-timeout -d 'Give up when sent data stays unacknowledged for T (TCP_USER_TIMEOUT) [default: the system\'s, about 15 minutes]' -r
complete -c haul -n "__fish_haul_using_subcommand listen" -l rcvbuf -d 'Size of the kernel\'s receive buffer in bytes (SO_RCVBUF) [default: the system tunes it]' -r
complete -c haul -n "__fish_haul_using_subcommand listen" -l sndbuf -d 'Size of the kernel\'s send buffer in bytes (SO_SNDBUF) [default: the system tunes it]' -r
complete -c haul -n "__fish_haul_using_subcommand listen" -l dscp -d 'Mark packets with this code point: a name such as ef, cs1 or af41, or 0 to 63 [default: 0]' -r
complete -c haul -n "__fish_haul_using_subcommand listen" -l ttl -d 'Hops that a packet may take, 1 to 255 [default: the system\'s, mostly 64]' -r
complete -c haul -n "__fish_haul_using_subcommand listen" -l congestion -d 'Congestion control of this connection, say reno, cubic or bbr [default: the system\'s]' -r
complete -c haul -n "__fish_haul_using_subcommand listen" -s H -d 'Add a field to the request, or to the answer of a listener, say \'X-Token: abc\'; repeatable' -r
complete -c haul -n "__fish_haul_using_subcommand listen" -l subprotocol -d 'The protocol that is spoken over it; repeatable, the best first [default: none is named]' -r
complete -c haul -n "__fish_haul_using_subcommand listen" -l origin -d 'The page that the request comes from; in a listener, a page that it may come from, repeatable [default: not said, and any]' -r
complete -c haul -n "__fish_haul_using_subcommand listen" -l path -d 'The path that is asked for; in a listener, the only one that is served [default: /, and any]' -r
complete -c haul -n "__fish_haul_using_subcommand listen" -l ping -d 'Ping a peer that was silent for T, and give it up with status 3 if it then neither answers nor takes anything for T [default: never]' -r
complete -c haul -n "__fish_haul_using_subcommand listen" -s l -d 'Changes nothing; for habits from other netcats'
complete -c haul -n "__fish_haul_using_subcommand listen" -s u -d 'Receive datagrams over UDP, or with -U over a Unix socket, from every peer that sends some'
complete -c haul -n "__fish_haul_using_subcommand listen" -l seq -d 'With -u, read the stamps of send-udp --seq, and report what was lost, reordered and duplicated'
complete -c haul -n "__fish_haul_using_subcommand listen" -s k -d 'Keep accepting connections, many at once, until stopped; standard input then goes to nobody'
complete -c haul -n "__fish_haul_using_subcommand listen" -l fan-out -d 'Send standard input to every client; implies -k unless --count is given'
complete -c haul -n "__fish_haul_using_subcommand listen" -l broker -d 'Send what a client sends to every other client; implies -k unless --count is given'
complete -c haul -n "__fish_haul_using_subcommand listen" -l open -d 'Serve a program to everybody who can reach the address: without it, --allow or a loopback address is needed'
complete -c haul -n "__fish_haul_using_subcommand listen" -s 4 -d 'Use IPv4 only [default: both families]'
complete -c haul -n "__fish_haul_using_subcommand listen" -s 6 -d 'Use IPv6 only [default: both families]'
complete -c haul -n "__fish_haul_using_subcommand listen" -s n -d 'Take addresses and ports as numbers only; nothing is looked up'
complete -c haul -n "__fish_haul_using_subcommand listen" -s d -d 'Leave standard input alone: nothing is sent, and the sending side stays open'
complete -c haul -n "__fish_haul_using_subcommand listen" -l recv-only -d 'Only receive: standard input is left alone, and the peer is told at once that nothing will come'
complete -c haul -n "__fish_haul_using_subcommand listen" -l send-only -d 'Only send: what the peer sends is discarded, and the end is when it has acknowledged everything'
complete -c haul -n "__fish_haul_using_subcommand listen" -l no-shutdown -d 'Do not tell the peer when standard input ends [default: it is told, by a FIN]'
complete -c haul -n "__fish_haul_using_subcommand listen" -s N -d 'Tell the peer when standard input ends: the default, for habits from other netcats'
complete -c haul -n "__fish_haul_using_subcommand listen" -s C -d 'Send a line feed as a carriage return and a line feed'
complete -c haul -n "__fish_haul_using_subcommand listen" -l hex -d 'Write the copy as a hexadecimal dump, received lines marked < and sent ones >'
complete -c haul -n "__fish_haul_using_subcommand listen" -l timestamps -d 'Begin each line of the dump with the time'
complete -c haul -n "__fish_haul_using_subcommand listen" -l verify -d 'Verify with the haul at the other end, which needs --verify too, that every byte has arrived; if not, status 4'
complete -c haul -n "__fish_haul_using_subcommand listen" -l fsync -d 'Before a file counts as written, have it on the disk (fsync); with --verify, before that is reported'
complete -c haul -n "__fish_haul_using_subcommand listen" -l tls -d 'Encrypt the connection with TLS 1.3 or 1.2; the peer has to prove who it is'
complete -c haul -n "__fish_haul_using_subcommand listen" -l insecure -d 'When connecting, accept any peer, whoever it is'
complete -c haul -n "__fish_haul_using_subcommand listen" -s v -d 'Say more on standard error; -vv says still more [default: failures, and the address of a free port]'
complete -c haul -n "__fish_haul_using_subcommand listen" -l quiet -d 'Say nothing on standard error but failures'
complete -c haul -n "__fish_haul_using_subcommand listen" -l explain -d 'Print what would be done, a decision a line, and do nothing'
complete -c haul -n "__fish_haul_using_subcommand listen" -l stats -d 'Print totals on standard error at the end'
complete -c haul -n "__fish_haul_using_subcommand listen" -l nodelay -d 'Send small writes at once (TCP_NODELAY) [default: the system collects them]'
complete -c haul -n "__fish_haul_using_subcommand listen" -l mptcp -d 'Use multipath TCP where the peer can, TCP where it cannot'
complete -c haul -n "__fish_haul_using_subcommand listen" -l text -d 'Send each line as a message of text, and write each message of text as a line [default: where lines are typed at a terminal]'
complete -c haul -n "__fish_haul_using_subcommand listen" -l binary -d 'Send whatever is read at once as a message of bytes, and write messages as they are [default: but at a terminal]'
complete -c haul -n "__fish_haul_using_subcommand listen" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c haul -n "__fish_haul_using_subcommand connect" -s p -d 'Connect from this port [default: a free one]' -r
complete -c haul -n "__fish_haul_using_subcommand connect" -s s -d 'Connect from this address of this machine [default: the system chooses]' -r
complete -c haul -n "__fish_haul_using_subcommand connect" -s U -d 'Connect to the Unix socket at this path' -r -F
complete -c haul -n "__fish_haul_using_subcommand connect" -l wait -d 'When nothing listens there yet, try again for T, also when the name is not found; then end with status 3 [default: one try]' -r
complete -c haul -n "__fish_haul_using_subcommand connect" -l proxy-send -d 'Begin with a PROXY header, of version v1 or v2, about the connection\'s own two ends [default: none]' -r -f -a "v1\t'a line of text'
v2\t'binary, also for Unix sockets'"
complete -c haul -n "__fish_haul_using_subcommand connect" -l timeout -d 'End with status 3 when an --expect has waited for T [default: no limit]' -r
complete -c haul -n "__fish_haul_using_subcommand connect" -s w -d 'Both --connect-timeout and --idle; where those are given too, they win [default: no limit]' -r
complete -c haul -n "__fish_haul_using_subcommand connect" -l connect-timeout -d 'End with status 3 when looking up the name, connecting and handshakes have taken T [default: the system\'s limit]' -r
complete -c haul -n "__fish_haul_using_subcommand connect" -l split -d 'With -u, take standard input apart: read, line, nul, len16, none, or a SIZE [default: read; line from a terminal]' -r
complete -c haul -n "__fish_haul_using_subcommand connect" -s W -d 'With -u, end with status 0 when N datagrams have been received [default: no limit]' -r
complete -c haul -n "__fish_haul_using_subcommand connect" -l send -d 'Send TEXT, C escapes understood; with --expect, standard input is left alone' -r
complete -c haul -n "__fish_haul_using_subcommand connect" -l expect -d 'Wait for a match in what is received; after the last one, end with status 0' -r
complete -c haul -n "__fish_haul_using_subcommand connect" -s e -d 'Join each connection to this program, split into words as a shell would, but run without one' -r -f -a "(__fish_complete_command)"
complete -c haul -n "__fish_haul_using_subcommand connect" -s c -d 'Join each connection to this command of the shell (sh -c)' -r -f -a "(__fish_complete_command)"
complete -c haul -n "__fish_haul_using_subcommand connect" -l iface -d 'Use this network interface only, say eth0' -r
complete -c haul -n "__fish_haul_using_subcommand connect" -s x -d 'Connect through this proxy, say socks5://proxy:1080 or http://me@proxy:3128; repeated for a chain [default: none]' -r -f
complete -c haul -n "__fish_haul_using_subcommand connect" -l proxy-dns -d 'Who looks up names behind a proxy: it, or this machine [default: remote]' -r -f -a "remote\t'the proxy; with socks4, which cannot, this machine'
local\t'this machine, and the proxy is told an address'"
complete -c haul -n "__fish_haul_using_subcommand connect" -l proxy-auth -d 'Read USER:PASSWORD from FILE, for each proxy a line, the first -x first; an empty line is none [default: HAUL_PROXY_AUTH]' -r -F
complete -c haul -n "__fish_haul_using_subcommand connect" -l proxy-ca -d 'Believe an https proxy whose certificate is signed by one of FILE (PEM) [default: by one that the system knows]' -r -F
complete -c haul -n "__fish_haul_using_subcommand connect" -l idle -d 'End with status 3 when no byte has moved either way for T [default: no limit]' -r
complete -c haul -n "__fish_haul_using_subcommand connect" -s q -d 'End with status 0 when T has passed since the end of standard input [default: no limit]' -r
complete -c haul -n "__fish_haul_using_subcommand connect" -l max-bytes -d 'End with status 0 when SIZE bytes have been received; the connection is reset [default: no limit]' -r
complete -c haul -n "__fish_haul_using_subcommand connect" -l max-time -d 'End with status 3 when the transfer, connecting and handshakes included, has taken T; the connection is reset [default: no limit]' -r
complete -c haul -n "__fish_haul_using_subcommand connect" -l linger -d 'At the end, wait for T without progress until the peer has acknowledged everything [default: 30s]' -r
complete -c haul -n "__fish_haul_using_subcommand connect" -s L -d 'Move at most RATE in each direction: 10M is bytes a second, 100Mbit bits [default: no limit]' -r
complete -c haul -n "__fish_haul_using_subcommand connect" -l after-peer-eof -d 'What the peer\'s end means for what is still being sent [default: auto]' -r -f -a "auto\t'go on until standard input ends, but stop if it is a terminal'
exit\t'stop; the connection is reset if standard input has not ended'
send\t'go on until standard input ends'"
complete -c haul -n "__fish_haul_using_subcommand connect" -s o -d 'Write a copy of what is received to FILE; with --hex, of both directions [default: to none]' -r -F
complete -c haul -n "__fish_haul_using_subcommand connect" -l out -d 'Write what is received to FILE instead of standard output, whole or not at all; standard input is left alone' -r -F
complete -c haul -n "__fish_haul_using_subcommand connect" -l block -d 'Move at most SIZE bytes in one system call, 1 to 1Gi [default: chosen for the kind of endpoint]' -r
complete -c haul -n "__fish_haul_using_subcommand connect" -l splice -d 'Whether the kernel may move bytes without copying them through haul [default: auto]' -r -f -a "auto\t'where the kernel can'
never\t'every byte passes through a buffer of haul\'s'"
complete -c haul -n "__fish_haul_using_subcommand connect" -l buffer -d 'Hold at most SIZE bytes, 1 to 1Gi, in transit in each direction [default: chosen for the kind of endpoint]' -r
complete -c haul -n "__fish_haul_using_subcommand connect" -l cert -d 'Show the peer the certificate in this PEM file, with its chain; a listener may have several, one for each name' -r -F
complete -c haul -n "__fish_haul_using_subcommand connect" -l key -d 'The private key for --cert, in PEM [default: the file of the certificate holds it as well]' -r -F
complete -c haul -n "__fish_haul_using_subcommand connect" -l ca -d 'When connecting, believe the certificates in this PEM file alone [default: the system\'s roots]' -r -F
complete -c haul -n "__fish_haul_using_subcommand connect" -l client-ca -d 'When listening, accept only clients whose certificate is in this PEM file, or that one in it vouches for [default: anybody]' -r -F
complete -c haul -n "__fish_haul_using_subcommand connect" -l sni -d 'When connecting, ask for NAME, which the certificate has to be for [default: the host]' -r
complete -c haul -n "__fish_haul_using_subcommand connect" -l alpn -d 'Offer these application protocols, or listen to offers of only these, say h2,http/1.1 [default: none]' -r
complete -c haul -n "__fish_haul_using_subcommand connect" -l pin -d 'When connecting, accept the peer by its public key, alone unless there is --ca; may be repeated [default: by its certificate]' -r
complete -c haul -n "__fish_haul_using_subcommand connect" -l tls-min -d 'The oldest version of TLS that is spoken [default: 1.2]' -r -f -a "1.2\t''
1.3\t''"
complete -c haul -n "__fish_haul_using_subcommand connect" -l events -d 'Write a JSON object a line for everything that happens, to a descriptor or at the end of a file' -r
complete -c haul -n "__fish_haul_using_subcommand connect" -l progress -d 'Show progress on standard error [default: off; without HOW a bar, if that is a terminal and does not show the payload too]' -r -f -a "bar\t'a bar, also if it is no terminal'
line\t'a line a second'
json\t'a JSON object a second'
off\t'nothing'"
complete -c haul -n "__fish_haul_using_subcommand connect" -l keepalive -d 'Probe a silent peer (SO_KEEPALIVE), every T if given [default: off; without T the system\'s times]' -r
complete -c haul -n "__fish_haul_using_subcommand connect" -l user-timeout -d 'Give up when sent data stays unacknowledged for T (TCP_USER_TIMEOUT) [default: the system\'s, about 15 minutes]' -r
complete -c haul -n "__fish_haul_using_subcommand connect" -l rcvbuf -d 'Size of the kernel\'s receive buffer in bytes (SO_RCVBUF) [default: the system tunes it]' -r
complete -c haul -n "__fish_haul_using_subcommand connect" -l sndbuf -d 'Size of the kernel\'s send buffer in bytes (SO_SNDBUF) [default: the system tunes it]' -r
complete -c haul -n "__fish_haul_using_subcommand connect" -l dscp -d 'Mark packets with this code point: a name such as ef, cs1 or af41, or 0 to 63 [default: 0]' -r
complete -c haul -n "__fish_haul_using_subcommand connect" -l ttl -d 'Hops that a packet may take, 1 to 255 [default: the system\'s, mostly 64]' -r
complete -c haul -n "__fish_haul_using_subcommand connect" -l congestion -d 'Congestion control of this connection, say reno, cubic or bbr [default: the system\'s]' -r
complete -c haul -n "__fish_haul_using_subcommand connect" -s H -d 'Add a field to the request, or to the answer of a listener, say \'X-Token: abc\'; repeatable' -r
complete -c haul -n "__fish_haul_using_subcommand connect" -l subprotocol -d 'The protocol that is spoken over it; repeatable, the best first [default: none is named]' -r
complete -c haul -n "__fish_haul_using_subcommand connect" -l origin -d 'The page that the request comes from; in a listener, a page that it may come from, repeatable [default: not said, and any]' -r
complete -c haul -n "__fish_haul_using_subcommand connect" -l path -d 'The path that is asked for; in a listener, the only one that is served [default: /, and any]' -r
complete -c haul -n "__fish_haul_using_subcommand connect" -l ping -d 'Ping a peer that was silent for T, and give it up with status 3 if it then neither answers nor takes anything for T [default: never]' -r
complete -c haul -n "__fish_haul_using_subcommand connect" -s z -d 'Only test whether something listens: at all ports and ranges of a host, or at all endpoints, at once'
complete -c haul -n "__fish_haul_using_subcommand connect" -l any -d 'With -z, succeed when one of them is open [default: all of them]'
complete -c haul -n "__fish_haul_using_subcommand connect" -s u -d 'Exchange datagrams, over UDP or with -U over a Unix socket; with -z, test UDP ports [default: TCP]'
complete -c haul -n "__fish_haul_using_subcommand connect" -l df -d 'With -u, never fragment: a datagram that is too long for the path is an error'
complete -c haul -n "__fish_haul_using_subcommand connect" -s 4 -d 'Use IPv4 only [default: both families]'
complete -c haul -n "__fish_haul_using_subcommand connect" -s 6 -d 'Use IPv6 only [default: both families]'
complete -c haul -n "__fish_haul_using_subcommand connect" -s n -d 'Take addresses and ports as numbers only; nothing is looked up'
complete -c haul -n "__fish_haul_using_subcommand connect" -s d -d 'Leave standard input alone: nothing is sent, and the sending side stays open'
complete -c haul -n "__fish_haul_using_subcommand connect" -l recv-only -d 'Only receive: standard input is left alone, and the peer is told at once that nothing will come'
complete -c haul -n "__fish_haul_using_subcommand connect" -l send-only -d 'Only send: what the peer sends is discarded, and the end is when it has acknowledged everything'
complete -c haul -n "__fish_haul_using_subcommand connect" -l no-shutdown -d 'Do not tell the peer when standard input ends [default: it is told, by a FIN]'
complete -c haul -n "__fish_haul_using_subcommand connect" -s N -d 'Tell the peer when standard input ends: the default, for habits from other netcats'
complete -c haul -n "__fish_haul_using_subcommand connect" -s C -d 'Send a line feed as a carriage return and a line feed'
complete -c haul -n "__fish_haul_using_subcommand connect" -l hex -d 'Write the copy as a hexadecimal dump, received lines marked < and sent ones >'
complete -c haul -n "__fish_haul_using_subcommand connect" -l timestamps -d 'Begin each line of the dump with the time'
complete -c haul -n "__fish_haul_using_subcommand connect" -l verify -d 'Verify with the haul at the other end, which needs --verify too, that every byte has arrived; if not, status 4'
complete -c haul -n "__fish_haul_using_subcommand connect" -l fsync -d 'Before a file counts as written, have it on the disk (fsync); with --verify, before that is reported'
complete -c haul -n "__fish_haul_using_subcommand connect" -l tls -d 'Encrypt the connection with TLS 1.3 or 1.2; the peer has to prove who it is'
complete -c haul -n "__fish_haul_using_subcommand connect" -l insecure -d 'When connecting, accept any peer, whoever it is'
complete -c haul -n "__fish_haul_using_subcommand connect" -s v -d 'Say more on standard error; -vv says still more [default: failures, and the address of a free port]'
complete -c haul -n "__fish_haul_using_subcommand connect" -l quiet -d 'Say nothing on standard error but failures'
complete -c haul -n "__fish_haul_using_subcommand connect" -l explain -d 'Print what would be done, a decision a line, and do nothing'
complete -c haul -n "__fish_haul_using_subcommand connect" -l stats -d 'Print totals on standard error at the end'
complete -c haul -n "__fish_haul_using_subcommand connect" -l nodelay -d 'Send small writes at once (TCP_NODELAY) [default: the system collects them]'
complete -c haul -n "__fish_haul_using_subcommand connect" -l mptcp -d 'Use multipath TCP where the peer can, TCP where it cannot'
complete -c haul -n "__fish_haul_using_subcommand connect" -l text -d 'Send each line as a message of text, and write each message of text as a line [default: where lines are typed at a terminal]'
complete -c haul -n "__fish_haul_using_subcommand connect" -l binary -d 'Send whatever is read at once as a message of bytes, and write messages as they are [default: but at a terminal]'
complete -c haul -n "__fish_haul_using_subcommand connect" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c haul -n "__fish_haul_using_subcommand pipe" -l stop-at -d 'Take the source for ended after SIZE bytes; that is success [default: at its own end]' -r
complete -c haul -n "__fish_haul_using_subcommand pipe" -l on-slow -d 'What becomes of a sink that holds the others back [default: wait]' -r -f -a "wait\t'everybody waits for it'
drop\t'it is closed and reported, status 1, and the others go on; also one that is not open yet'"
complete -c haul -n "__fish_haul_using_subcommand pipe" -l hash -d 'Print a digest of everything that passed at the end, in the form of b3sum and sha256sum, on standard error' -r -f -a "blake3\t''
sha256\t''"
complete -c haul -n "__fish_haul_using_subcommand pipe" -l hash-file -d 'Write the line of --hash to FILE instead' -r -F
complete -c haul -n "__fish_haul_using_subcommand pipe" -l buffer -d 'Hold SIZE bytes, 1 to 1Gi, between the source and a sink that is not ready or not open yet [default: chosen for the kind of endpoint]' -r
complete -c haul -n "__fish_haul_using_subcommand pipe" -l watchdog -d 'End with status 3 when nothing has moved for T, also while endpoints are being opened [default: no limit]' -r
complete -c haul -n "__fish_haul_using_subcommand pipe" -l connect-timeout -d 'End with status 3 when an endpoint is not open after T; of one that listens, when nobody has connected [default: no limit]' -r
complete -c haul -n "__fish_haul_using_subcommand pipe" -l size -d 'How many bytes will come, for the time that --progress shows as left [default: the size of a file]' -r
complete -c haul -n "__fish_haul_using_subcommand pipe" -l max-time -d 'End with status 3 when the transfer, connecting and handshakes included, has taken T; the connection is reset [default: no limit]' -r
complete -c haul -n "__fish_haul_using_subcommand pipe" -l linger -d 'At the end, wait for T without progress until the peer has acknowledged everything [default: 30s]' -r
complete -c haul -n "__fish_haul_using_subcommand pipe" -s L -d 'Move at most RATE in each direction: 10M is bytes a second, 100Mbit bits [default: no limit]' -r
complete -c haul -n "__fish_haul_using_subcommand pipe" -l block -d 'Move at most SIZE bytes in one system call, 1 to 1Gi [default: chosen for the kind of endpoint]' -r
complete -c haul -n "__fish_haul_using_subcommand pipe" -l splice -d 'Whether the kernel may move bytes without copying them through haul [default: auto]' -r -f -a "auto\t'where the kernel can'
never\t'every byte passes through a buffer of haul\'s'"
complete -c haul -n "__fish_haul_using_subcommand pipe" -l allow -d 'Let only these connect: networks with commas between them, or @FILE with one a line [default: everybody]' -r
complete -c haul -n "__fish_haul_using_subcommand pipe" -l deny -d 'Do not let these connect, whatever --allow says; written in the same way [default: nobody]' -r
complete -c haul -n "__fish_haul_using_subcommand pipe" -l iface -d 'Use this network interface only, say eth0' -r
complete -c haul -n "__fish_haul_using_subcommand pipe" -s x -d 'Connect through this proxy, say socks5://proxy:1080 or http://me@proxy:3128; repeated for a chain [default: none]' -r -f
complete -c haul -n "__fish_haul_using_subcommand pipe" -l proxy-dns -d 'Who looks up names behind a proxy: it, or this machine [default: remote]' -r -f -a "remote\t'the proxy; with socks4, which cannot, this machine'
local\t'this machine, and the proxy is told an address'"
complete -c haul -n "__fish_haul_using_subcommand pipe" -l proxy-auth -d 'Read USER:PASSWORD from FILE, for each proxy a line, the first -x first; an empty line is none [default: HAUL_PROXY_AUTH]' -r -F
complete -c haul -n "__fish_haul_using_subcommand pipe" -l proxy-ca -d 'Believe an https proxy whose certificate is signed by one of FILE (PEM) [default: by one that the system knows]' -r -F
complete -c haul -n "__fish_haul_using_subcommand pipe" -l cert -d 'Show the peer the certificate in this PEM file, with its chain; a listener may have several, one for each name' -r -F
complete -c haul -n "__fish_haul_using_subcommand pipe" -l key -d 'The private key for --cert, in PEM [default: the file of the certificate holds it as well]' -r -F
complete -c haul -n "__fish_haul_using_subcommand pipe" -l ca -d 'When connecting, believe the certificates in this PEM file alone [default: the system\'s roots]' -r -F
complete -c haul -n "__fish_haul_using_subcommand pipe" -l client-ca -d 'When listening, accept only clients whose certificate is in this PEM file, or that one in it vouches for [default: anybody]' -r -F
complete -c haul -n "__fish_haul_using_subcommand pipe" -l sni -d 'When connecting, ask for NAME, which the certificate has to be for [default: the host]' -r
complete -c haul -n "__fish_haul_using_subcommand pipe" -l alpn -d 'Offer these application protocols, or listen to offers of only these, say h2,http/1.1 [default: none]' -r
complete -c haul -n "__fish_haul_using_subcommand pipe" -l pin -d 'When connecting, accept the peer by its public key, alone unless there is --ca; may be repeated [default: by its certificate]' -r
complete -c haul -n "__fish_haul_using_subcommand pipe" -l tls-min -d 'The oldest version of TLS that is spoken [default: 1.2]' -r -f -a "1.2\t''
1.3\t''"
complete -c haul -n "__fish_haul_using_subcommand pipe" -l ready-fd -d 'Once listening, write ADDR:PORT and a newline to this descriptor and close it [default: to none]' -r
complete -c haul -n "__fish_haul_using_subcommand pipe" -l port-file -d 'Once listening, write the port, or the path of a Unix socket, to this file [default: to none]' -r -F
complete -c haul -n "__fish_haul_using_subcommand pipe" -l events -d 'Write a JSON object a line for everything that happens, to a descriptor or at the end of a file' -r
complete -c haul -n "__fish_haul_using_subcommand pipe" -l progress -d 'Show progress on standard error [default: off; without HOW a bar, if that is a terminal and does not show the payload too]' -r -f -a "bar\t'a bar, also if it is no terminal'
line\t'a line a second'
json\t'a JSON object a second'
off\t'nothing'"
complete -c haul -n "__fish_haul_using_subcommand pipe" -l keepalive -d 'Probe a silent peer (SO_KEEPALIVE), every T if given [default: off; without T the system\'s times]' -r
complete -c haul -n "__fish_haul_using_subcommand pipe" -l user-timeout -d 'Give up when sent data stays unacknowledged for T (TCP_USER_TIMEOUT) [default: the system\'s, about 15 minutes]' -r
complete -c haul -n "__fish_haul_using_subcommand pipe" -l rcvbuf -d 'Size of the kernel\'s receive buffer in bytes (SO_RCVBUF) [default: the system tunes it]' -r
complete -c haul -n "__fish_haul_using_subcommand pipe" -l sndbuf -d 'Size of the kernel\'s send buffer in bytes (SO_SNDBUF) [default: the system tunes it]' -r
complete -c haul -n "__fish_haul_using_subcommand pipe" -l dscp -d 'Mark packets with this code point: a name such as ef, cs1 or af41, or 0 to 63 [default: 0]' -r
complete -c haul -n "__fish_haul_using_subcommand pipe" -l ttl -d 'Hops that a packet may take, 1 to 255 [default: the system\'s, mostly 64]' -r
complete -c haul -n "__fish_haul_using_subcommand pipe" -l congestion -d 'Congestion control of this connection, say reno, cubic or bbr [default: the system\'s]' -r
complete -c haul -n "__fish_haul_using_subcommand pipe" -s H -d 'Add a field to the request, or to the answer of a listener, say \'X-Token: abc\'; repeatable' -r
complete -c haul -n "__fish_haul_using_subcommand pipe" -l subprotocol -d 'The protocol that is spoken over it; repeatable, the best first [default: none is named]' -r
complete -c haul -n "__fish_haul_using_subcommand pipe" -l origin -d 'The page that the request comes from; in a listener, a page that it may come from, repeatable [default: not said, and any]' -r
complete -c haul -n "__fish_haul_using_subcommand pipe" -l path -d 'The path that is asked for; in a listener, the only one that is served [default: /, and any]' -r
complete -c haul -n "__fish_haul_using_subcommand pipe" -l ping -d 'Ping a peer that was silent for T, and give it up with status 3 if it then neither answers nor takes anything for T [default: never]' -r
complete -c haul -n "__fish_haul_using_subcommand pipe" -s 2 -d 'Move bytes both ways, between SRC and one DST'
complete -c haul -n "__fish_haul_using_subcommand pipe" -l verify -d 'Verify with the haul at the other end, which needs --verify too, that every byte has arrived; if not, status 4'
complete -c haul -n "__fish_haul_using_subcommand pipe" -l fsync -d 'Before a file counts as written, have it on the disk (fsync); with --verify, before that is reported'
complete -c haul -n "__fish_haul_using_subcommand pipe" -l lines -d 'Count lines as well, for --progress and --stats'
complete -c haul -n "__fish_haul_using_subcommand pipe" -s 0 -d 'The same with records that end with a NUL instead of a line feed'
complete -c haul -n "__fish_haul_using_subcommand pipe" -l open -d 'Serve a program to everybody who can reach the address: without it, --allow or a loopback address is needed'
complete -c haul -n "__fish_haul_using_subcommand pipe" -s 4 -d 'Use IPv4 only [default: both families]'
complete -c haul -n "__fish_haul_using_subcommand pipe" -s 6 -d 'Use IPv6 only [default: both families]'
complete -c haul -n "__fish_haul_using_subcommand pipe" -s n -d 'Take addresses and ports as numbers only; nothing is looked up'
complete -c haul -n "__fish_haul_using_subcommand pipe" -l tls -d 'Encrypt the connection with TLS 1.3 or 1.2; the peer has to prove who it is'
complete -c haul -n "__fish_haul_using_subcommand pipe" -l insecure -d 'When connecting, accept any peer, whoever it is'
complete -c haul -n "__fish_haul_using_subcommand pipe" -s v -d 'Say more on standard error; -vv says still more [default: failures, and the address of a free port]'
complete -c haul -n "__fish_haul_using_subcommand pipe" -l quiet -d 'Say nothing on standard error but failures'
complete -c haul -n "__fish_haul_using_subcommand pipe" -l explain -d 'Print what would be done, a decision a line, and do nothing'
complete -c haul -n "__fish_haul_using_subcommand pipe" -l stats -d 'Print totals on standard error at the end'
complete -c haul -n "__fish_haul_using_subcommand pipe" -l nodelay -d 'Send small writes at once (TCP_NODELAY) [default: the system collects them]'
complete -c haul -n "__fish_haul_using_subcommand pipe" -l mptcp -d 'Use multipath TCP where the peer can, TCP where it cannot'
complete -c haul -n "__fish_haul_using_subcommand pipe" -l text -d 'Send each line as a message of text, and write each message of text as a line [default: where lines are typed at a terminal]'
complete -c haul -n "__fish_haul_using_subcommand pipe" -l binary -d 'Send whatever is read at once as a message of bytes, and write messages as they are [default: but at a terminal]'
complete -c haul -n "__fish_haul_using_subcommand pipe" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c haul -n "__fish_haul_using_subcommand send-udp" -s p -d 'Send from this port [default: a free one]' -r
complete -c haul -n "__fish_haul_using_subcommand send-udp" -s s -d 'Send from this address of this machine [default: the system chooses]' -r
complete -c haul -n "__fish_haul_using_subcommand send-udp" -s U -d 'Send to the Unix datagram socket at this path; every word is then DATA' -r -F
complete -c haul -n "__fish_haul_using_subcommand send-udp" -l file -d 'Send this file [default: standard input]' -r -F
complete -c haul -n "__fish_haul_using_subcommand send-udp" -l data-hex -d 'Send one datagram of these bytes, two hexadecimal digits each; spaces and colons may stand between bytes' -r
complete -c haul -n "__fish_haul_using_subcommand send-udp" -l split -d 'Take the input apart: read, line, nul, len16, none, or a SIZE [default: read; line from a terminal]' -r
complete -c haul -n "__fish_haul_using_subcommand send-udp" -l count -d 'Send N datagrams: DATA as often, and of other input no more [default: DATA once, all of other input]' -r
complete -c haul -n "__fish_haul_using_subcommand send-udp" -s i -d 'Send one datagram every T [default: as fast as it goes]' -r
complete -c haul -n "__fish_haul_using_subcommand send-udp" -l pps -d 'Send at most N datagrams a second [default: as fast as it goes]' -r
complete -c haul -n "__fish_haul_using_subcommand send-udp" -s L -d 'Send at most RATE of payload: 10M is bytes a second, 100Mbit bits [default: no limit]' -r
complete -c haul -n "__fish_haul_using_subcommand send-udp" -s W -d 'Wait for N answers, and end with status 3 if they do not come in time [default: as many as come]' -r
complete -c haul -n "__fish_haul_using_subcommand send-udp" -s w -d 'Wait for answers for T when everything is sent [default: 1s; without -W, 0 if it is not standard input that is sent]' -r
complete -c haul -n "__fish_haul_using_subcommand send-udp" -l max-time -d 'End with status 3 when everything has taken T, say at a Unix socket that nobody reads [default: no limit]' -r
complete -c haul -n "__fish_haul_using_subcommand send-udp" -l loop -d 'Whether this machine hears what is sent to a group too: on or off [default: on]' -r
complete -c haul -n "__fish_haul_using_subcommand send-udp" -l iface -d 'Use this network interface only, say eth0' -r
complete -c haul -n "__fish_haul_using_subcommand send-udp" -l events -d 'Write a JSON object a line for everything that happens, to a descriptor or at the end of a file' -r
complete -c haul -n "__fish_haul_using_subcommand send-udp" -l progress -d 'Show progress on standard error [default: off; without HOW a bar, if that is a terminal and does not show the payload too]' -r -f -a "bar\t'a bar, also if it is no terminal'
line\t'a line a second'
json\t'a JSON object a second'
off\t'nothing'"
complete -c haul -n "__fish_haul_using_subcommand send-udp" -l rcvbuf -d 'Size of the kernel\'s receive buffer in bytes (SO_RCVBUF) [default: as large as the system allows, up to 8Mi]' -r
complete -c haul -n "__fish_haul_using_subcommand send-udp" -l sndbuf -d 'Size of the kernel\'s send buffer in bytes (SO_SNDBUF) [default: the system\'s]' -r
complete -c haul -n "__fish_haul_using_subcommand send-udp" -l dscp -d 'Mark packets with this code point: a name such as ef, cs1 or af41, or 0 to 63 [default: 0]' -r
complete -c haul -n "__fish_haul_using_subcommand send-udp" -l ttl -d 'Hops that a packet may take, 1 to 255; to a group also 0 [default: the system\'s, mostly 64; to a group 1]' -r
complete -c haul -n "__fish_haul_using_subcommand send-udp" -s u -d 'Changes nothing; for habits from other netcats'
complete -c haul -n "__fish_haul_using_subcommand send-udp" -l seq -d 'Begin each datagram with a stamp, for a report of what was lost by listen -u --seq'
complete -c haul -n "__fish_haul_using_subcommand send-udp" -s b -d 'Allow sending to a broadcast address, say 192.0.2.255'
complete -c haul -n "__fish_haul_using_subcommand send-udp" -l df -d 'Never fragment: a datagram that is too long for the path is an error'
complete -c haul -n "__fish_haul_using_subcommand send-udp" -s 4 -d 'Use IPv4 only [default: both families]'
complete -c haul -n "__fish_haul_using_subcommand send-udp" -s 6 -d 'Use IPv6 only [default: both families]'
complete -c haul -n "__fish_haul_using_subcommand send-udp" -s n -d 'Take addresses and ports as numbers only; nothing is looked up'
complete -c haul -n "__fish_haul_using_subcommand send-udp" -s v -d 'Say more on standard error; -vv says still more [default: failures, and the address of a free port]'
complete -c haul -n "__fish_haul_using_subcommand send-udp" -l quiet -d 'Say nothing on standard error but failures'
complete -c haul -n "__fish_haul_using_subcommand send-udp" -l explain -d 'Print what would be done, a decision a line, and do nothing'
complete -c haul -n "__fish_haul_using_subcommand send-udp" -l stats -d 'Print totals on standard error at the end'
complete -c haul -n "__fish_haul_using_subcommand send-udp" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c haul -n "__fish_haul_using_subcommand relay" -l target -d 'One more target for the listener; may be repeated [default: the one behind it]' -r -f -a "(__fish_print_hostnames)"
complete -c haul -n "__fish_haul_using_subcommand relay" -l balance -d 'Which of several targets a client is joined to; the next is tried when that cannot be reached [default: first]' -r -f -a "first\t'the first, in the order given'
rr\t'one after the other'
least\t'the one with the fewest sessions'"
complete -c haul -n "__fish_haul_using_subcommand relay" -s s -d 'Connect to targets from this address [default: the system\'s choice]' -r
complete -c haul -n "__fish_haul_using_subcommand relay" -s p -d 'Connect to targets from this port, which serves one session at a time to each [default: a free one]' -r
complete -c haul -n "__fish_haul_using_subcommand relay" -l resolve-every -d 'Look the names of targets up again every T, and soon after a failure [default: 30s]' -r
complete -c haul -n "__fish_haul_using_subcommand relay" -s w -d 'End a session when no byte has moved either way for T [default: no limit]' -r
complete -c haul -n "__fish_haul_using_subcommand relay" -l flow-idle -d 'Forget a client of a datagram socket when no datagram has moved either way for T [default: that of -w, else 60s]' -r
complete -c haul -n "__fish_haul_using_subcommand relay" -l connect-timeout -d 'Reset the client when connecting to its target has taken T [default: 10s]' -r
complete -c haul -n "__fish_haul_using_subcommand relay" -l half-close-timeout -d 'End a session when one direction has ended and the other was silent for T [default: 5m]' -r
complete -c haul -n "__fish_haul_using_subcommand relay" -l linger -d 'At the end, wait for T without progress until both peers have acknowledged everything [default: 30s]' -r
complete -c haul -n "__fish_haul_using_subcommand relay" -s L -d 'Move at most RATE in each direction of a session: 10M is bytes a second, 100Mbit bits [default: no limit]' -r
complete -c haul -n "__fish_haul_using_subcommand relay" -l limit-total -d 'Move at most RATE in each direction of all sessions together, shared out evenly [default: no limit]' -r
complete -c haul -n "__fish_haul_using_subcommand relay" -s m -d 'Hold at most N sessions at once; who comes then waits to be accepted [default: what the descriptor limit allows]' -r
complete -c haul -n "__fish_haul_using_subcommand relay" -l max-per-ip -d 'Hold at most N sessions at once from one address [default: no limit]' -r
complete -c haul -n "__fish_haul_using_subcommand relay" -l threads -d 'Share the sessions out among N threads, 1 to 256 [default: 1, which does for most networks]' -r
complete -c haul -n "__fish_haul_using_subcommand relay" -l grace -d 'When stopping, give busy sessions and programs T to end; idle ones are closed at once [default: 2s]' -r
complete -c haul -n "__fish_haul_using_subcommand relay" -s e -d 'Join each connection to this program, split into words as a shell would, but run without one' -r -f -a "(__fish_complete_command)"
complete -c haul -n "__fish_haul_using_subcommand relay" -s c -d 'Join each connection to this command of the shell (sh -c)' -r -f -a "(__fish_complete_command)"
complete -c haul -n "__fish_haul_using_subcommand relay" -l allow -d 'Let only these connect: networks with commas between them, or @FILE with one a line [default: everybody]' -r
complete -c haul -n "__fish_haul_using_subcommand relay" -l deny -d 'Do not let these connect, whatever --allow says; written in the same way [default: nobody]' -r
complete -c haul -n "__fish_haul_using_subcommand relay" -l proxy-send -d 'Begin each connection to a target with a PROXY header, of version v1 or v2, about its client [default: none]' -r -f -a "v1\t'a line of text'
v2\t'binary, also for Unix sockets'"
complete -c haul -n "__fish_haul_using_subcommand relay" -l proxy-accept -d 'Take a PROXY header, v1 or v2, from each client; with a list, only these may connect [default: take none]' -r
complete -c haul -n "__fish_haul_using_subcommand relay" -l iface -d 'Use this network interface only, say eth0' -r
complete -c haul -n "__fish_haul_using_subcommand relay" -s x -d 'Connect through this proxy, say socks5://proxy:1080 or http://me@proxy:3128; repeated for a chain [default: none]' -r -f
complete -c haul -n "__fish_haul_using_subcommand relay" -l proxy-dns -d 'Who looks up names behind a proxy: it, or this machine [default: remote]' -r -f -a "remote\t'the proxy; with socks4, which cannot, this machine'
local\t'this machine, and the proxy is told an address'"
complete -c haul -n "__fish_haul_using_subcommand relay" -l proxy-auth -d 'Read USER:PASSWORD from FILE, for each proxy a line, the first -x first; an empty line is none [default: HAUL_PROXY_AUTH]' -r -F
complete -c haul -n "__fish_haul_using_subcommand relay" -l proxy-ca -d 'Believe an https proxy whose certificate is signed by one of FILE (PEM) [default: by one that the system knows]' -r -F
complete -c haul -n "__fish_haul_using_subcommand relay" -l cert -d 'Show the peer the certificate in this PEM file, with its chain; a listener may have several, one for each name' -r -F
complete -c haul -n "__fish_haul_using_subcommand relay" -l key -d 'The private key for --cert, in PEM [default: the file of the certificate holds it as well]' -r -F
complete -c haul -n "__fish_haul_using_subcommand relay" -l ca -d 'When connecting, believe the certificates in this PEM file alone [default: the system\'s roots]' -r -F
complete -c haul -n "__fish_haul_using_subcommand relay" -l client-ca -d 'When listening, accept only clients whose certificate is in this PEM file, or that one in it vouches for [default: anybody]' -r -F
complete -c haul -n "__fish_haul_using_subcommand relay" -l sni -d 'When connecting, ask for NAME, which the certificate has to be for [default: the host]' -r
complete -c haul -n "__fish_haul_using_subcommand relay" -l alpn -d 'Offer these application protocols, or listen to offers of only these, say h2,http/1.1 [default: none]' -r
complete -c haul -n "__fish_haul_using_subcommand relay" -l pin -d 'When connecting, accept the peer by its public key, alone unless there is --ca; may be repeated [default: by its certificate]' -r
complete -c haul -n "__fish_haul_using_subcommand relay" -l tls-min -d 'The oldest version of TLS that is spoken [default: 1.2]' -r -f -a "1.2\t''
1.3\t''"
complete -c haul -n "__fish_haul_using_subcommand relay" -l log -d 'Write a line for each session that is over to FILE, or - for standard output [default: to none]' -r
complete -c haul -n "__fish_haul_using_subcommand relay" -s o -d 'Write a copy of what passes into DIR: N.up from the client and N.down to it, for the session\'s number N' -r -f -a "(__fish_complete_directories)"
complete -c haul -n "__fish_haul_using_subcommand relay" -l delay -d 'Hold everything back for T, in its order; at most --buffer at once, then the sender waits [default: 0]' -r
complete -c haul -n "__fish_haul_using_subcommand relay" -l jitter -d 'Let the delay vary by up to T more or less, evenly [default: 0]' -r
complete -c haul -n "__fish_haul_using_subcommand relay" -l reset-after -d 'Reset both sides once exactly SIZE bytes have been delivered in a direction [default: never]' -r
complete -c haul -n "__fish_haul_using_subcommand relay" -l stall-after -d 'Let nothing more through, not even an end, once SIZE bytes have been delivered in a direction [default: never]' -r
complete -c haul -n "__fish_haul_using_subcommand relay" -l chop -d 'Deliver at most SIZE bytes at once, over TCP in a segment of its own [default: as much as there is]' -r
complete -c haul -n "__fish_haul_using_subcommand relay" -l corrupt -d 'Flip one bit of this part of all bytes, say 0.1% [default: of none]' -r
complete -c haul -n "__fish_haul_using_subcommand relay" -l loss -d 'Lose this part of all datagrams [default: none]' -r
complete -c haul -n "__fish_haul_using_subcommand relay" -l dup -d 'Send this part of all datagrams twice, each with a delay of its own [default: none]' -r
complete -c haul -n "__fish_haul_using_subcommand relay" -l reorder -d 'Send this part of all datagrams after the next one [default: none]' -r
complete -c haul -n "__fish_haul_using_subcommand relay" -l seed -d 'The number that decides what is random: the same one repeats it [default: any, told with -v]' -r
complete -c haul -n "__fish_haul_using_subcommand relay" -l block -d 'Move at most SIZE bytes in one system call, 1 to 1Gi [default: chosen for the kind of endpoint]' -r
complete -c haul -n "__fish_haul_using_subcommand relay" -l splice -d 'Whether the kernel may move bytes without copying them through haul [default: auto]' -r -f -a "auto\t'where the kernel can'
never\t'every byte passes through a buffer of haul\'s'"
complete -c haul -n "__fish_haul_using_subcommand relay" -l buffer -d 'Hold at most SIZE bytes, 1 to 1Gi, in transit in each direction [default: chosen for the kind of endpoint]' -r
complete -c haul -n "__fish_haul_using_subcommand relay" -l events -d 'Write a JSON object a line for everything that happens, to a descriptor or at the end of a file' -r
complete -c haul -n "__fish_haul_using_subcommand relay" -l progress -d 'Show progress on standard error [default: off; without HOW a bar, if that is a terminal and does not show the payload too]' -r -f -a "bar\t'a bar, also if it is no terminal'
line\t'a line a second'
json\t'a JSON object a second'
off\t'nothing'"
complete -c haul -n "__fish_haul_using_subcommand relay" -l rcvbuf -d 'Size of the kernel\'s receive buffer in bytes (SO_RCVBUF) [default: the system tunes it]' -r
complete -c haul -n "__fish_haul_using_subcommand relay" -l sndbuf -d 'Size of the kernel\'s send buffer in bytes (SO_SNDBUF) [default: the system tunes it]' -r
complete -c haul -n "__fish_haul_using_subcommand relay" -l dscp -d 'Mark packets with this code point: a name such as ef, cs1 or af41, or 0 to 63 [default: 0]' -r
complete -c haul -n "__fish_haul_using_subcommand relay" -l ttl -d 'Hops that a packet may take, 1 to 255 [default: the system\'s, mostly 64]' -r
complete -c haul -n "__fish_haul_using_subcommand relay" -l congestion -d 'Congestion control of this connection, say reno, cubic or bbr [default: the system\'s]' -r
complete -c haul -n "__fish_haul_using_subcommand relay" -s H -d 'Add a field to the request, or to the answer of a listener, say \'X-Token: abc\'; repeatable' -r
complete -c haul -n "__fish_haul_using_subcommand relay" -l subprotocol -d 'The protocol that is spoken over it; repeatable, the best first [default: none is named]' -r
complete -c haul -n "__fish_haul_using_subcommand relay" -l origin -d 'The page that the request comes from; in a listener, a page that it may come from, repeatable [default: not said, and any]' -r
complete -c haul -n "__fish_haul_using_subcommand relay" -l path -d 'The path that is asked for; in a listener, the only one that is served [default: /, and any]' -r
complete -c haul -n "__fish_haul_using_subcommand relay" -l ping -d 'Ping a peer that was silent for T, and give it up with status 3 if it then neither answers nor takes anything for T [default: never]' -r
complete -c haul -n "__fish_haul_using_subcommand relay" -l keepalive -d 'Probe a silent peer (SO_KEEPALIVE), every T if given [default: 60s]' -r
complete -c haul -n "__fish_haul_using_subcommand relay" -l user-timeout -d 'Give up when a peer has acknowledged nothing, or taken nothing, for T (TCP_USER_TIMEOUT) [default: 5m]' -r
complete -c haul -n "__fish_haul_using_subcommand relay" -l once -d 'Serve one session, then end with its status'
complete -c haul -n "__fish_haul_using_subcommand relay" -l open -d 'Serve a program to everybody who can reach the address: without it, --allow or a loopback address is needed'
complete -c haul -n "__fish_haul_using_subcommand relay" -s 4 -d 'Use IPv4 only [default: both families]'
complete -c haul -n "__fish_haul_using_subcommand relay" -s 6 -d 'Use IPv6 only [default: both families]'
complete -c haul -n "__fish_haul_using_subcommand relay" -s n -d 'Take addresses and ports as numbers only; nothing is looked up'
complete -c haul -n "__fish_haul_using_subcommand relay" -l tls -d 'Encrypt the connection with TLS 1.3 or 1.2; the peer has to prove who it is'
complete -c haul -n "__fish_haul_using_subcommand relay" -l insecure -d 'When connecting, accept any peer, whoever it is'
complete -c haul -n "__fish_haul_using_subcommand relay" -l hex -d 'Write the copies as hexadecimal dumps, N.up.hex and N.down.hex'
complete -c haul -n "__fish_haul_using_subcommand relay" -l timestamps -d 'Begin each line of the dumps with the time'
complete -c haul -n "__fish_haul_using_subcommand relay" -s v -d 'Say more on standard error; -vv says still more [default: failures, and the address of a free port]'
complete -c haul -n "__fish_haul_using_subcommand relay" -l quiet -d 'Say nothing on standard error but failures'
complete -c haul -n "__fish_haul_using_subcommand relay" -l explain -d 'Print what would be done, a decision a line, and do nothing'
complete -c haul -n "__fish_haul_using_subcommand relay" -l stats -d 'Print totals on standard error at the end'
complete -c haul -n "__fish_haul_using_subcommand relay" -l mptcp -d 'Use multipath TCP where the peer can, TCP where it cannot'
complete -c haul -n "__fish_haul_using_subcommand relay" -l text -d 'Send each line as a message of text, and write each message of text as a line [default: where lines are typed at a terminal]'
complete -c haul -n "__fish_haul_using_subcommand relay" -l binary -d 'Send whatever is read at once as a message of bytes, and write messages as they are [default: but at a terminal]'
complete -c haul -n "__fish_haul_using_subcommand relay" -l nodelay -d 'Send small writes at once (TCP_NODELAY): the default here, on both halves'
complete -c haul -n "__fish_haul_using_subcommand relay" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c haul -n "__fish_haul_using_subcommand bench" -s c -d 'The server, as iperf3 has it; the same as HOST' -r
complete -c haul -n "__fish_haul_using_subcommand bench" -s p -d 'The port of the server [default: 5201]' -r
complete -c haul -n "__fish_haul_using_subcommand bench" -l local -d 'Serve here too: what this machine can do over tcp, unix, pipe, tls, ws or wss [default: tcp]' -r
complete -c haul -n "__fish_haul_using_subcommand bench" -l via -d 'Connect the streams to ENDPOINT, say a relay or a proxy that leads to the server' -r
complete -c haul -n "__fish_haul_using_subcommand bench" -l connect-timeout -d 'Give up when a step of setting up has taken T [default: 10s]' -r
complete -c haul -n "__fish_haul_using_subcommand bench" -l threads -d 'Move bytes on N threads [default: one a stream, at most one a CPU]' -r
complete -c haul -n "__fish_haul_using_subcommand bench" -s A -d 'Run on this CPU, counted from 0' -r
complete -c haul -n "__fish_haul_using_subcommand bench" -s t -d 'Send for T [default: 10s]' -r
complete -c haul -n "__fish_haul_using_subcommand bench" -s n -d 'Send SIZE bytes in all, instead of for a time' -r
complete -c haul -n "__fish_haul_using_subcommand bench" -s k -d 'Send N blocks in all, instead of for a time' -r
complete -c haul -n "__fish_haul_using_subcommand bench" -s O -d 'Leave out the first T of the results, in whole seconds: a part of one counts as one' -r
complete -c haul -n "__fish_haul_using_subcommand bench" -s P -d 'Use N streams in each direction, 1 to 128 [default: 1]' -r
complete -c haul -n "__fish_haul_using_subcommand bench" -s b -d 'Hold each stream to RATE bits a second, 0 for no limit; with /N send N blocks together [default: no limit, with -u 1M]' -r
complete -c haul -n "__fish_haul_using_subcommand bench" -s l -d 'Bytes of one write or datagram [default: 128K; with -u what fits a segment]' -r
complete -c haul -n "__fish_haul_using_subcommand bench" -s i -d 'Print what happened every T, 0 for never [default: 1s; with -s never]' -r
complete -c haul -n "__fish_haul_using_subcommand bench" -l rr -d 'Send requests of SIZE bytes and wait for each answer, on each stream; the server must be haul [default: 64]' -r
complete -c haul -n "__fish_haul_using_subcommand bench" -l crr -d 'The same with a connection for each request: connect, ask, close' -r
complete -c haul -n "__fish_haul_using_subcommand bench" -l min -d 'End with status 8 if less than RATE arrives: 10M is bytes a second, 9Gbit bits [default: no limit]' -r
complete -c haul -n "__fish_haul_using_subcommand bench" -l max-p99 -d 'End with status 8 if one in a hundred round trips takes longer than T [default: no limit]' -r
complete -c haul -n "__fish_haul_using_subcommand bench" -l max-loss -d 'End with status 8 if more of the datagrams are lost, say 0.1% [default: no limit]' -r
complete -c haul -n "__fish_haul_using_subcommand bench" -l compare -d 'End with status 8 if it is worse than the results in FILE, which -J has made' -r -F
complete -c haul -n "__fish_haul_using_subcommand bench" -l tolerance -d 'How much worse it may be than FILE [default: 0%]' -r
complete -c haul -n "__fish_haul_using_subcommand bench" -l repeat -d 'Measure N times, and tell the mean and the deviation' -r
complete -c haul -n "__fish_haul_using_subcommand bench" -l max-clients -d 'Serve at most N clients at once; others are told that it is busy [default: what the descriptor limit allows]' -r
complete -c haul -n "__fish_haul_using_subcommand bench" -l max-time -d 'Refuse a test longer than T, and end one that is [default: no limit]' -r
complete -c haul -n "__fish_haul_using_subcommand bench" -l max-rate -d 'Hold each test to RATE, --rr and --crr by late answers, and refuse one that asks for more: 10M is bytes a second, 9Gbit bits [default: no limit]' -r
complete -c haul -n "__fish_haul_using_subcommand bench" -s B -d 'Connect from this address of this machine [default: the system\'s choice]' -r
complete -c haul -n "__fish_haul_using_subcommand bench" -l iface -d 'Use this network interface only, say eth0' -r
complete -c haul -n "__fish_haul_using_subcommand bench" -s w -d 'Size of the kernel\'s buffers in bytes, of both ends [default: the system tunes it]' -r
complete -c haul -n "__fish_haul_using_subcommand bench" -s M -d 'The largest segment of TCP in bytes, 88 to 32767 [default: what the path allows]' -r
complete -c haul -n "__fish_haul_using_subcommand bench" -s S -d 'Mark packets with this type of service, 0 to 252; 0x and a leading 0 work as in C [default: 0]' -r
complete -c haul -n "__fish_haul_using_subcommand bench" -l cert -d 'Show the peer the certificate in this PEM file, with its chain; a listener may have several, one for each name' -r -F
complete -c haul -n "__fish_haul_using_subcommand bench" -l key -d 'The private key for --cert, in PEM [default: the file of the certificate holds it as well]' -r -F
complete -c haul -n "__fish_haul_using_subcommand bench" -l ca -d 'When connecting, believe the certificates in this PEM file alone [default: the system\'s roots]' -r -F
complete -c haul -n "__fish_haul_using_subcommand bench" -l client-ca -d 'When listening, accept only clients whose certificate is in this PEM file, or that one in it vouches for [default: anybody]' -r -F
complete -c haul -n "__fish_haul_using_subcommand bench" -l sni -d 'When connecting, ask for NAME, which the certificate has to be for [default: the host]' -r
complete -c haul -n "__fish_haul_using_subcommand bench" -l alpn -d 'Offer these application protocols, or listen to offers of only these, say h2,http/1.1 [default: none]' -r
complete -c haul -n "__fish_haul_using_subcommand bench" -l pin -d 'When connecting, accept the peer by its public key, alone unless there is --ca; may be repeated [default: by its certificate]' -r
complete -c haul -n "__fish_haul_using_subcommand bench" -l tls-min -d 'The oldest version of TLS that is spoken [default: 1.2]' -r -f -a "1.2\t''
1.3\t''"
complete -c haul -n "__fish_haul_using_subcommand bench" -l ready-fd -d 'Once listening, write ADDR:PORT and a newline to this descriptor and close it [default: to none]' -r
complete -c haul -n "__fish_haul_using_subcommand bench" -l port-file -d 'Once listening, write the port, or the path of a Unix socket, to this file [default: to none]' -r -F
complete -c haul -n "__fish_haul_using_subcommand bench" -l events -d 'Write a JSON object a line for everything that happens, to a descriptor or at the end of a file' -r
complete -c haul -n "__fish_haul_using_subcommand bench" -l keepalive -d 'Probe a silent peer (SO_KEEPALIVE), every T if given [default: off; without T the system\'s times]' -r
complete -c haul -n "__fish_haul_using_subcommand bench" -l user-timeout -d 'Give up when sent data stays unacknowledged for T (TCP_USER_TIMEOUT) [default: the system\'s, about 15 minutes]' -r
complete -c haul -n "__fish_haul_using_subcommand bench" -l rcvbuf -d 'Size of the kernel\'s receive buffer in bytes (SO_RCVBUF) [default: the system tunes it]' -r
complete -c haul -n "__fish_haul_using_subcommand bench" -l sndbuf -d 'Size of the kernel\'s send buffer in bytes (SO_SNDBUF) [default: the system tunes it]' -r
complete -c haul -n "__fish_haul_using_subcommand bench" -l dscp -d 'Mark packets with this code point: a name such as ef, cs1 or af41, or 0 to 63 [default: 0]' -r
complete -c haul -n "__fish_haul_using_subcommand bench" -l ttl -d 'Hops that a packet may take, 1 to 255 [default: the system\'s, mostly 64]' -r
complete -c haul -n "__fish_haul_using_subcommand bench" -s C -l congestion -d 'Congestion control of this connection, say reno, cubic or bbr [default: the system\'s]' -r
complete -c haul -n "__fish_haul_using_subcommand bench" -l progress -d 'Show progress on standard error [default: off; without HOW a bar, if that is a terminal and does not show the payload too]' -r -f -a "bar\t'a bar, also if it is no terminal'
line\t'a line a second'
json\t'a JSON object a second'
off\t'nothing'"
complete -c haul -n "__fish_haul_using_subcommand bench" -s s -d 'Serve: wait for clients, any number at once'
complete -c haul -n "__fish_haul_using_subcommand bench" -s 1 -d 'Serve one test, then end: with status 1 if the test did not come to its end'
complete -c haul -n "__fish_haul_using_subcommand bench" -s R -d 'Have the server send'
complete -c haul -n "__fish_haul_using_subcommand bench" -l bidir -d 'Have both ends send'
complete -c haul -n "__fish_haul_using_subcommand bench" -s u -d 'Send datagrams instead of streams'
complete -c haul -n "__fish_haul_using_subcommand bench" -s Z -d 'Send out of a file, which the kernel does not copy'
complete -c haul -n "__fish_haul_using_subcommand bench" -l check -d 'Check that every byte arrives as it was sent; the server must be haul. Status 4 if not'
complete -c haul -n "__fish_haul_using_subcommand bench" -l udp-counters-64bit -d 'Count datagrams with 64 bits'
complete -c haul -n "__fish_haul_using_subcommand bench" -l get-server-output -d 'Print what the server prints, too'
complete -c haul -n "__fish_haul_using_subcommand bench" -s 4 -d 'Use IPv4 only [default: both families]'
complete -c haul -n "__fish_haul_using_subcommand bench" -s 6 -d 'Use IPv6 only [default: both families]'
complete -c haul -n "__fish_haul_using_subcommand bench" -l tls -d 'Encrypt the connection with TLS 1.3 or 1.2; the peer has to prove who it is'
complete -c haul -n "__fish_haul_using_subcommand bench" -l insecure -d 'When connecting, accept any peer, whoever it is'
complete -c haul -n "__fish_haul_using_subcommand bench" -s J -d 'Print the results as one JSON object, with iperf3\'s names'
complete -c haul -n "__fish_haul_using_subcommand bench" -l json-stream -d 'Print a JSON object a line as it happens: the start, each interval, the end; with --repeat a summary'
complete -c haul -n "__fish_haul_using_subcommand bench" -l percentiles -d 'Print the whole distribution of the round trips, down to the last one'
complete -c haul -n "__fish_haul_using_subcommand bench" -s v -d 'Say more on standard error; -vv says still more [default: failures, and the address of a free port]'
complete -c haul -n "__fish_haul_using_subcommand bench" -l quiet -d 'Say nothing on standard error but failures'
complete -c haul -n "__fish_haul_using_subcommand bench" -l explain -d 'Print what would be done, a decision a line, and do nothing'
complete -c haul -n "__fish_haul_using_subcommand bench" -l mptcp -d 'Use multipath TCP where the peer can, TCP where it cannot'
complete -c haul -n "__fish_haul_using_subcommand bench" -s N -l nodelay -d 'Send small writes at once (TCP_NODELAY) [default: the system collects them]'
complete -c haul -n "__fish_haul_using_subcommand bench" -l stats -d 'Print totals on standard error at the end'
complete -c haul -n "__fish_haul_using_subcommand bench" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c haul -n "__fish_haul_using_subcommand help" -s h -l help -d 'Print help'
