
using namespace System.Management.Automation
using namespace System.Management.Automation.Language

Register-ArgumentCompleter -Native -CommandName 'haul' -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)

    $commandElements = $commandAst.CommandElements
    $command = @(
        'haul'
        for ($i = 1; $i -lt $commandElements.Count; $i++) {
            $element = $commandElements[$i]
            if ($element -isnot [StringConstantExpressionAst] -or
                $element.StringConstantType -ne [StringConstantType]::BareWord -or
                $element.Value.StartsWith('-') -or
                $element.Value -eq $wordToComplete) {
                break
        }
        $element.Value
    }) -join ';'

    $completions = @(switch ($command) {
        'haul' {
            [CompletionResult]::new('--generate', '--generate', [CompletionResultType]::ParameterName, 'Print a generated file: a man page or a completion script')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('listen', 'listen', [CompletionResultType]::ParameterValue, 'Accept connections and join them to standard input and output, or to a program')
            [CompletionResult]::new('connect', 'connect', [CompletionResultType]::ParameterValue, 'Connect to an endpoint and join it to standard input and output, or to a program')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Explain a subcommand, or a topic: endpoints, exit, eof, units')
            break
        }
        'haul;listen' {
            [CompletionResult]::new('-p', '-p', [CompletionResultType]::ParameterName, 'Listen on this port; 0 takes a free one')
            [CompletionResult]::new('-s', '-s', [CompletionResultType]::ParameterName, 'Listen on this address of this machine [default: all of them]')
            [CompletionResult]::new('-U', '-U ', [CompletionResultType]::ParameterName, 'Listen on the Unix socket at this path, which is removed at the end')
            [CompletionResult]::new('--mode', '--mode', [CompletionResultType]::ParameterName, 'Permissions of the Unix socket''s file, octal, say 660 [default: what the umask leaves]')
            [CompletionResult]::new('--accept-timeout', '--accept-timeout', [CompletionResultType]::ParameterName, 'End with status 3 when the first connection has not come within T [default: no limit]')
            [CompletionResult]::new('-w', '-w', [CompletionResultType]::ParameterName, 'The same as --idle: end with status 3 when no byte has moved either way for T [default: no limit]')
            [CompletionResult]::new('--banner', '--banner', [CompletionResultType]::ParameterName, 'Send TEXT, C escapes understood, to each peer before anything else [default: nothing]')
            [CompletionResult]::new('--ready-fd', '--ready-fd', [CompletionResultType]::ParameterName, 'Once listening, write ADDR:PORT and a newline to this descriptor and close it [default: to none]')
            [CompletionResult]::new('--port-file', '--port-file', [CompletionResultType]::ParameterName, 'Once listening, write the port, or the path of a Unix socket, to this file [default: to none]')
            [CompletionResult]::new('-e', '-e', [CompletionResultType]::ParameterName, 'Join each connection to this program, split into words as a shell would, but run without one')
            [CompletionResult]::new('-c', '-c', [CompletionResultType]::ParameterName, 'Join each connection to this command of the shell (sh -c)')
            [CompletionResult]::new('-m', '-m', [CompletionResultType]::ParameterName, 'Hold at most N connections at once; 1 is one after the other [default: what the descriptor limit allows]')
            [CompletionResult]::new('--max-per-ip', '--max-per-ip', [CompletionResultType]::ParameterName, 'Hold at most N connections at once from one address [default: no limit]')
            [CompletionResult]::new('--count', '--count', [CompletionResultType]::ParameterName, 'Accept N connections in all, then stop when they have ended [default: 1; with -k no limit]')
            [CompletionResult]::new('--then', '--then', [CompletionResultType]::ParameterName, 'Once listening, run sh -c TEXT, with {port} and {addr} replaced; haul ends with it and with its status')
            [CompletionResult]::new('--grace', '--grace', [CompletionResultType]::ParameterName, 'When stopping, give open sessions and programs T to end [default: 2s]')
            [CompletionResult]::new('--allow', '--allow', [CompletionResultType]::ParameterName, 'Let only these connect: networks with commas between them, or @FILE with one a line [default: everybody]')
            [CompletionResult]::new('--deny', '--deny', [CompletionResultType]::ParameterName, 'Do not let these connect, whatever --allow says; written in the same way [default: nobody]')
            [CompletionResult]::new('--iface', '--iface', [CompletionResultType]::ParameterName, 'Use this network interface only, say eth0')
            [CompletionResult]::new('--idle', '--idle', [CompletionResultType]::ParameterName, 'End with status 3 when no byte has moved either way for T [default: no limit]')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'End with status 0 when T has passed since the end of standard input [default: no limit]')
            [CompletionResult]::new('--max-time', '--max-time', [CompletionResultType]::ParameterName, 'End with status 3 when the transfer has taken T; the connection is reset [default: no limit]')
            [CompletionResult]::new('--max-bytes', '--max-bytes', [CompletionResultType]::ParameterName, 'End with status 0 when SIZE bytes have been received; the connection is reset [default: no limit]')
            [CompletionResult]::new('--linger', '--linger', [CompletionResultType]::ParameterName, 'At the end, wait for T without progress until the peer has acknowledged everything [default: 30s]')
            [CompletionResult]::new('-L', '-L ', [CompletionResultType]::ParameterName, 'Move at most RATE in each direction: 10M is bytes a second, 100Mbit bits [default: no limit]')
            [CompletionResult]::new('--after-peer-eof', '--after-peer-eof', [CompletionResultType]::ParameterName, 'What the peer''s end means for what is still being sent [default: auto]')
            [CompletionResult]::new('-o', '-o', [CompletionResultType]::ParameterName, 'Write a copy of what is received to FILE; with --hex, of both directions [default: to none]')
            [CompletionResult]::new('--block', '--block', [CompletionResultType]::ParameterName, 'Move at most SIZE bytes in one system call, 1 to 1Gi [default: chosen for the kind of endpoint]')
            [CompletionResult]::new('--buffer', '--buffer', [CompletionResultType]::ParameterName, 'Hold at most SIZE bytes, 1 to 1Gi, in transit in each direction [default: chosen for the kind of endpoint]')
            [CompletionResult]::new('--splice', '--splice', [CompletionResultType]::ParameterName, 'Whether the kernel may move bytes without copying them through haul [default: auto]')
            [CompletionResult]::new('--events', '--events', [CompletionResultType]::ParameterName, 'Write a JSON object a line for everything that happens, to a descriptor or at the end of a file')
            [CompletionResult]::new('--progress', '--progress', [CompletionResultType]::ParameterName, 'Show progress on standard error [default: off; without HOW a bar, if that is a terminal and does not show the payload too]')
            [CompletionResult]::new('--keepalive', '--keepalive', [CompletionResultType]::ParameterName, 'Probe a silent peer (SO_KEEPALIVE), every T if given [default: off; without T the system''s times]')
            [CompletionResult]::new('--user-timeout', '--user-timeout', [CompletionResultType]::ParameterName, 'Give up when sent data stays unacknowledged for T (TCP_USER_TIMEOUT) [default: the system''s, about 15 minutes]')
            [CompletionResult]::new('--rcvbuf', '--rcvbuf', [CompletionResultType]::ParameterName, 'Size of the kernel''s receive buffer in bytes (SO_RCVBUF) [default: the system tunes it]')
            [CompletionResult]::new('--sndbuf', '--sndbuf', [CompletionResultType]::ParameterName, 'Size of the kernel''s send buffer in bytes (SO_SNDBUF) [default: the system tunes it]')
            [CompletionResult]::new('--dscp', '--dscp', [CompletionResultType]::ParameterName, 'Mark packets with this code point: a name such as ef, cs1 or af41, or 0 to 63 [default: 0]')
            [CompletionResult]::new('--ttl', '--ttl', [CompletionResultType]::ParameterName, 'Hops that a packet may take, 1 to 255 [default: the system''s, mostly 64]')
            [CompletionResult]::new('--congestion', '--congestion', [CompletionResultType]::ParameterName, 'Congestion control of this connection, say reno, cubic or bbr [default: the system''s]')
            [CompletionResult]::new('-l', '-l', [CompletionResultType]::ParameterName, 'Changes nothing; for habits from other netcats')
            [CompletionResult]::new('-k', '-k', [CompletionResultType]::ParameterName, 'Keep accepting connections, many at once, until stopped; standard input then goes to nobody')
            [CompletionResult]::new('--fan-out', '--fan-out', [CompletionResultType]::ParameterName, 'Send standard input to every client; implies -k unless --count is given')
            [CompletionResult]::new('--broker', '--broker', [CompletionResultType]::ParameterName, 'Send what a client sends to every other client; implies -k unless --count is given')
            [CompletionResult]::new('--open', '--open', [CompletionResultType]::ParameterName, 'Serve a program to everybody who can reach the address: without it, --allow or a loopback address is needed')
            [CompletionResult]::new('-4', '-4', [CompletionResultType]::ParameterName, 'Use IPv4 only [default: both families]')
            [CompletionResult]::new('-6', '-6', [CompletionResultType]::ParameterName, 'Use IPv6 only [default: both families]')
            [CompletionResult]::new('-n', '-n', [CompletionResultType]::ParameterName, 'Take addresses and ports as numbers only; nothing is looked up')
            [CompletionResult]::new('-d', '-d', [CompletionResultType]::ParameterName, 'Leave standard input alone: nothing is sent, and the sending side stays open')
            [CompletionResult]::new('--recv-only', '--recv-only', [CompletionResultType]::ParameterName, 'Only receive: standard input is left alone, and the peer is told at once that nothing will come')
            [CompletionResult]::new('--send-only', '--send-only', [CompletionResultType]::ParameterName, 'Only send: what the peer sends is discarded, and the end is when it has acknowledged everything')
            [CompletionResult]::new('--no-shutdown', '--no-shutdown', [CompletionResultType]::ParameterName, 'Do not tell the peer when standard input ends [default: it is told, by a FIN]')
            [CompletionResult]::new('-N', '-N ', [CompletionResultType]::ParameterName, 'Tell the peer when standard input ends: the default, for habits from other netcats')
            [CompletionResult]::new('-C', '-C ', [CompletionResultType]::ParameterName, 'Send a line feed as a carriage return and a line feed')
            [CompletionResult]::new('--hex', '--hex', [CompletionResultType]::ParameterName, 'Write the copy as a hexadecimal dump, received lines marked < and sent ones >')
            [CompletionResult]::new('--timestamps', '--timestamps', [CompletionResultType]::ParameterName, 'Begin each line of the dump with the time')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more on standard error; -vv says still more [default: failures, and the address of a free port]')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say nothing on standard error but failures')
            [CompletionResult]::new('--explain', '--explain', [CompletionResultType]::ParameterName, 'Print what would be done, a decision a line, and do nothing')
            [CompletionResult]::new('--stats', '--stats', [CompletionResultType]::ParameterName, 'Print totals on standard error at the end')
            [CompletionResult]::new('--nodelay', '--nodelay', [CompletionResultType]::ParameterName, 'Send small writes at once (TCP_NODELAY) [default: the system collects them]')
            [CompletionResult]::new('--mptcp', '--mptcp', [CompletionResultType]::ParameterName, 'Use multipath TCP where the peer can, TCP where it cannot')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'haul;connect' {
            [CompletionResult]::new('-p', '-p', [CompletionResultType]::ParameterName, 'Connect from this port [default: a free one]')
            [CompletionResult]::new('-s', '-s', [CompletionResultType]::ParameterName, 'Connect from this address of this machine [default: the system chooses]')
            [CompletionResult]::new('-U', '-U ', [CompletionResultType]::ParameterName, 'Connect to the Unix socket at this path')
            [CompletionResult]::new('--wait', '--wait', [CompletionResultType]::ParameterName, 'When nothing listens there yet, try again for T, also when the name is not found; then end with status 3 [default: one try]')
            [CompletionResult]::new('--timeout', '--timeout', [CompletionResultType]::ParameterName, 'End with status 3 when an --expect has waited for T [default: no limit]')
            [CompletionResult]::new('-w', '-w', [CompletionResultType]::ParameterName, 'Both --connect-timeout and --idle; where those are given too, they win [default: no limit]')
            [CompletionResult]::new('--connect-timeout', '--connect-timeout', [CompletionResultType]::ParameterName, 'End with status 3 when looking up the name and connecting have taken T [default: the system''s limit]')
            [CompletionResult]::new('--send', '--send', [CompletionResultType]::ParameterName, 'Send TEXT, C escapes understood; with --expect, standard input is left alone')
            [CompletionResult]::new('--expect', '--expect', [CompletionResultType]::ParameterName, 'Wait for a match in what is received; after the last one, end with status 0')
            [CompletionResult]::new('-e', '-e', [CompletionResultType]::ParameterName, 'Join each connection to this program, split into words as a shell would, but run without one')
            [CompletionResult]::new('-c', '-c', [CompletionResultType]::ParameterName, 'Join each connection to this command of the shell (sh -c)')
            [CompletionResult]::new('--iface', '--iface', [CompletionResultType]::ParameterName, 'Use this network interface only, say eth0')
            [CompletionResult]::new('--idle', '--idle', [CompletionResultType]::ParameterName, 'End with status 3 when no byte has moved either way for T [default: no limit]')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'End with status 0 when T has passed since the end of standard input [default: no limit]')
            [CompletionResult]::new('--max-time', '--max-time', [CompletionResultType]::ParameterName, 'End with status 3 when the transfer has taken T; the connection is reset [default: no limit]')
            [CompletionResult]::new('--max-bytes', '--max-bytes', [CompletionResultType]::ParameterName, 'End with status 0 when SIZE bytes have been received; the connection is reset [default: no limit]')
            [CompletionResult]::new('--linger', '--linger', [CompletionResultType]::ParameterName, 'At the end, wait for T without progress until the peer has acknowledged everything [default: 30s]')
            [CompletionResult]::new('-L', '-L ', [CompletionResultType]::ParameterName, 'Move at most RATE in each direction: 10M is bytes a second, 100Mbit bits [default: no limit]')
            [CompletionResult]::new('--after-peer-eof', '--after-peer-eof', [CompletionResultType]::ParameterName, 'What the peer''s end means for what is still being sent [default: auto]')
            [CompletionResult]::new('-o', '-o', [CompletionResultType]::ParameterName, 'Write a copy of what is received to FILE; with --hex, of both directions [default: to none]')
            [CompletionResult]::new('--block', '--block', [CompletionResultType]::ParameterName, 'Move at most SIZE bytes in one system call, 1 to 1Gi [default: chosen for the kind of endpoint]')
            [CompletionResult]::new('--buffer', '--buffer', [CompletionResultType]::ParameterName, 'Hold at most SIZE bytes, 1 to 1Gi, in transit in each direction [default: chosen for the kind of endpoint]')
            [CompletionResult]::new('--splice', '--splice', [CompletionResultType]::ParameterName, 'Whether the kernel may move bytes without copying them through haul [default: auto]')
            [CompletionResult]::new('--events', '--events', [CompletionResultType]::ParameterName, 'Write a JSON object a line for everything that happens, to a descriptor or at the end of a file')
            [CompletionResult]::new('--progress', '--progress', [CompletionResultType]::ParameterName, 'Show progress on standard error [default: off; without HOW a bar, if that is a terminal and does not show the payload too]')
            [CompletionResult]::new('--keepalive', '--keepalive', [CompletionResultType]::ParameterName, 'Probe a silent peer (SO_KEEPALIVE), every T if given [default: off; without T the system''s times]')
            [CompletionResult]::new('--user-timeout', '--user-timeout', [CompletionResultType]::ParameterName, 'Give up when sent data stays unacknowledged for T (TCP_USER_TIMEOUT) [default: the system''s, about 15 minutes]')
            [CompletionResult]::new('--rcvbuf', '--rcvbuf', [CompletionResultType]::ParameterName, 'Size of the kernel''s receive buffer in bytes (SO_RCVBUF) [default: the system tunes it]')
            [CompletionResult]::new('--sndbuf', '--sndbuf', [CompletionResultType]::ParameterName, 'Size of the kernel''s send buffer in bytes (SO_SNDBUF) [default: the system tunes it]')
            [CompletionResult]::new('--dscp', '--dscp', [CompletionResultType]::ParameterName, 'Mark packets with this code point: a name such as ef, cs1 or af41, or 0 to 63 [default: 0]')
            [CompletionResult]::new('--ttl', '--ttl', [CompletionResultType]::ParameterName, 'Hops that a packet may take, 1 to 255 [default: the system''s, mostly 64]')
            [CompletionResult]::new('--congestion', '--congestion', [CompletionResultType]::ParameterName, 'Congestion control of this connection, say reno, cubic or bbr [default: the system''s]')
            [CompletionResult]::new('-z', '-z', [CompletionResultType]::ParameterName, 'Only test whether something listens: at all ports and ranges of a host, or at all endpoints, at once')
            [CompletionResult]::new('--any', '--any', [CompletionResultType]::ParameterName, 'With -z, succeed when one of them is open [default: all of them]')
            [CompletionResult]::new('-u', '-u', [CompletionResultType]::ParameterName, 'With -z, test UDP ports [default: TCP]')
            [CompletionResult]::new('-4', '-4', [CompletionResultType]::ParameterName, 'Use IPv4 only [default: both families]')
            [CompletionResult]::new('-6', '-6', [CompletionResultType]::ParameterName, 'Use IPv6 only [default: both families]')
            [CompletionResult]::new('-n', '-n', [CompletionResultType]::ParameterName, 'Take addresses and ports as numbers only; nothing is looked up')
            [CompletionResult]::new('-d', '-d', [CompletionResultType]::ParameterName, 'Leave standard input alone: nothing is sent, and the sending side stays open')
            [CompletionResult]::new('--recv-only', '--recv-only', [CompletionResultType]::ParameterName, 'Only receive: standard input is left alone, and the peer is told at once that nothing will come')
            [CompletionResult]::new('--send-only', '--send-only', [CompletionResultType]::ParameterName, 'Only send: what the peer sends is discarded, and the end is when it has acknowledged everything')
            [CompletionResult]::new('--no-shutdown', '--no-shutdown', [CompletionResultType]::ParameterName, 'Do not tell the peer when standard input ends [default: it is told, by a FIN]')
            [CompletionResult]::new('-N', '-N ', [CompletionResultType]::ParameterName, 'Tell the peer when standard input ends: the default, for habits from other netcats')
            [CompletionResult]::new('-C', '-C ', [CompletionResultType]::ParameterName, 'Send a line feed as a carriage return and a line feed')
            [CompletionResult]::new('--hex', '--hex', [CompletionResultType]::ParameterName, 'Write the copy as a hexadecimal dump, received lines marked < and sent ones >')
            [CompletionResult]::new('--timestamps', '--timestamps', [CompletionResultType]::ParameterName, 'Begin each line of the dump with the time')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more on standard error; -vv says still more [default: failures, and the address of a free port]')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say nothing on standard error but failures')
            [CompletionResult]::new('--explain', '--explain', [CompletionResultType]::ParameterName, 'Print what would be done, a decision a line, and do nothing')
            [CompletionResult]::new('--stats', '--stats', [CompletionResultType]::ParameterName, 'Print totals on standard error at the end')
            [CompletionResult]::new('--nodelay', '--nodelay', [CompletionResultType]::ParameterName, 'Send small writes at once (TCP_NODELAY) [default: the system collects them]')
            [CompletionResult]::new('--mptcp', '--mptcp', [CompletionResultType]::ParameterName, 'Use multipath TCP where the peer can, TCP where it cannot')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'haul;help' {
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
    })

    $completions.Where{ $_.CompletionText -like "$wordToComplete*" } |
        Sort-Object -Property ListItemText
}
