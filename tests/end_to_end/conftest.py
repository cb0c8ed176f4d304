"""Fixtures of the tests that run whole commands."""

import pytest

from weights_server import serve


@pytest.fixture
def server():
    """A server of weights (see weights_server.Server)."""
    with serve() as server:
        yield server
