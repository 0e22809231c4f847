import pytest

from flows.server import client_environment, prefect_server


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The environment of clients of a real Prefect server, one for a test module."""
    home = tmp_path_factory.mktemp("server")
    with prefect_server(home) as url:
        yield client_environment(url, home)
