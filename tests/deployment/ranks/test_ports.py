"""Free ports of a host."""

import socket

import pytest

from deployment.ranks import ports
from utils.errors import UserError

pytestmark = pytest.mark.once


def test_a_port_in_use_is_named():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(1)
        port = server.getsockname()[1]
        with pytest.raises(UserError, match=f"rank 1 .* 127.0.0.1:{port} .*in use"):
            ports.check_free("127.0.0.1", port, 1)


def test_ports_that_are_found_differ_and_are_free():
    found = ports.find_free("127.0.0.1", 3)
    assert len(set(found)) == 3
    for port in found:
        ports.check_free("127.0.0.1", port, 0)


@pytest.mark.parametrize("port", [0, 65536])
def test_a_port_out_of_range_is_refused(port):
    with pytest.raises(UserError, match=f"port {port} of rank 2 .* 65535"):
        ports.check_free("127.0.0.1", port, 2)
