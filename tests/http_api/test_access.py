from __future__ import annotations

from collections.abc import Callable

import pytest

from http_api_client import TOKEN, Api

OpenApi = Callable[..., Api]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Authorization": ""}, 401),
        ({"Authorization": "Bearer wrong"}, 401),
        ({"Authorization": f"Basic {TOKEN}"}, 401),
        ({"Authorization": f"bearer {TOKEN}"}, 200),
        ({"Origin": "http://127.0.0.1:7071"}, 403),
        ({"Host": "example.com"}, 403),
        ({"Host": "127.0.0.1.example.com:7071"}, 403),
        ({"Host": "LOCALHOST:7071"}, 200),
        ({"Host": "[::1]:7071"}, 200),
    ],
)
def test_only_programs_of_this_machine_with_the_token_are_served(
    open_api: OpenApi, headers: dict[str, str], status: int
) -> None:
    api = open_api()
    response = api.client.get("/v1/models", headers=headers)
    assert response.status_code == status
    assert ("error" in response.json()) == (status != 200)


def test_health_needs_no_token(open_api: OpenApi) -> None:
    assert open_api().client.get("/health", headers={"Authorization": ""}).json() == {"status": "ok"}
