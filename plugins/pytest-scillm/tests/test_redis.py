"""The Redis that tests start."""

import socket

import pytest

from pytest_scillm.redis import RedisServer


def _said(server, command):
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as client:
        client.sendall(command + b"\r\n")
        return client.recv(100)


def test_it_is_killed_and_comes_back_empty(redis_server):
    """As after a crash: nobody answers, then the same port does, and remembers nothing."""
    assert _said(redis_server, b"SET a 1") == b"+OK\r\n"

    redis_server.kill()
    with pytest.raises(OSError, match="refused"):
        _said(redis_server, b"PING")

    redis_server.start()
    assert _said(redis_server, b"GET a") == b"$-1\r\n"


def test_where_there_is_none_it_says_how_to_get_one(monkeypatch):
    """Not a skip: what needs Redis is tested against Redis."""
    monkeypatch.setenv("PATH", "")
    with pytest.raises(RuntimeError, match="`make dev` brings one"), RedisServer():
        pass
