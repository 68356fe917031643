"""A server on all interfaces is restricted to one."""

import contextlib
import socket

import pytest

from deployment.ranks import bind

pytestmark = pytest.mark.once


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_a_server_on_all_interfaces_answers_on_one(family):
    # As gRPC does: one socket for IPv4 and IPv6.
    with socket.socket(family) as server:
        if family == socket.AF_INET6:
            server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        server.bind(("", 0))
        server.listen(5)
        port = server.getsockname()[1]
        with contextlib.closing(socket.create_connection(("127.0.0.2", port), timeout=5)):
            pass
        bind.bind_to_interface("127.0.0.1", port)
        with contextlib.closing(socket.create_connection(("127.0.0.1", port), timeout=5)) as client:
            client.sendall(b"x")
            server.accept()
            connection, _ = server.accept()
            assert connection.recv(1) == b"x"
            connection.close()
        with pytest.raises(OSError, match="timed out"):
            socket.create_connection(("127.0.0.2", port), timeout=0.3)
