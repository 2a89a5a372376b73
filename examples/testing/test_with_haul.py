"""Tests in Python with haul as the other end of the network: pytest examples/testing/test_with_haul.py

The program under test is fetch(), a client of a small protocol: it sends a name and gets a value, or ERR.
"""

import contextlib
import os
import socket
import subprocess

import pytest

HAUL = os.environ.get("HAUL", "haul")


def fetch(address, name, timeout=5.0):
    """What is under test."""
    with socket.create_connection(address, timeout) as connection:
        connection.sendall(name.encode() + b"\n")
        connection.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: connection.recv(4096), b""))
    if answer.startswith(b"ERR"):
        raise LookupError(answer[4:].decode().strip())
    return answer.decode().strip()


@contextlib.contextmanager
def listening(*words):
    """haul listening with these words on a free port of 127.0.0.1; gives the process and the address."""
    ready, told = os.pipe()
    command = [HAUL, "listen", "--quiet", "--ready-fd", str(told), "127.0.0.1:0", *words]
    haul = subprocess.Popen(command, pass_fds=[told], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    os.close(told)
    try:
        # haul writes the address when it listens, and closes: no sleep, and no port that somebody else may take
        with os.fdopen(ready) as line:
            host, port = line.read().strip().rsplit(":", 1)
        yield haul, (host, int(port))
    finally:
        haul.terminate()
        haul.communicate(timeout=10)


@pytest.fixture
def server():
    """A fake server for any number of clients, a shell for each."""
    script = 'read -r name; case $name in colour) echo blue;; *) echo "ERR no such name: $name";; esac'
    with listening("-k", "-c", script) as (_, address):
        yield address


def test_a_value_is_fetched(server):
    assert fetch(server, "colour") == "blue"


def test_an_error_of_the_server_is_raised(server):
    with pytest.raises(LookupError, match="no such name: size"):
        fetch(server, "size")


def test_the_request_is_one_line():
    with listening("--banner", "blue\\n") as (haul, address):
        assert fetch(address, "colour") == "blue"
        sent, _ = haul.communicate(timeout=10)
        assert (haul.returncode, sent) == (0, b"colour\n")


def test_a_server_that_never_answers_is_given_up():
    # -k leaves the connection open, and nothing is ever sent
    with listening("-k", "-c", "exec sleep 60") as (_, address):
        with pytest.raises(TimeoutError):
            fetch(address, "colour", timeout=0.2)


def test_a_server_that_is_down_is_told():
    with listening() as (_, address):
        pass
    with pytest.raises(ConnectionRefusedError):
        fetch(address, "colour")
    waited = subprocess.run([HAUL, "connect", "-z", "%s:%d" % address], stderr=subprocess.PIPE)
    assert waited.returncode == 1
