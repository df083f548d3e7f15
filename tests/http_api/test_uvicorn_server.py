"""Ports that cannot be used are named in one sentence."""

from __future__ import annotations

import pytest

from starcoder_ls.errors import SettingsError
from starcoder_ls.http_api.uvicorn_server import listen


def test_port_in_use_is_an_error_that_names_it() -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError) as caught:
            listen("127.0.0.1", port)
    assert str(caught.value) == f"Cannot listen on 127.0.0.1:{port}: Address already in use. Choose another port."


@pytest.mark.parametrize("port", [-1, 65536])
def test_number_that_is_no_port_is_an_error(port: int) -> None:
    with pytest.raises(SettingsError, match=f"^{port} is not a port"):
        listen("127.0.0.1", port)
