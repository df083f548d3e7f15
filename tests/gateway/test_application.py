"""The gateway in front of replicas, all on real ports."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvicorn

from fake_vllm import TOKEN, FakeVllm, serving
from lib.fake_replica import FakeReplica, running
from remote_engines import answer_of, ready_engine, settings_for, write_token
from starcoder_ls.gateway.application import Gateway
from starcoder_ls.gateway.gateway_settings import GatewaySettings
from starcoder_ls.gateway.replicas import Replicas
from starcoder_ls.gateway.users import Users, add_user, salt_of
from starcoder_ls.generation import Request
from starcoder_ls.http_api.uvicorn_server import UnsignalledServer

SECRET = b"the secret of a site for the tests"


class Site:
    """A gateway with two users in front of ``fakes``."""

    def __init__(self, folder: Path, urls: list[str], **settings: Any) -> None:
        replica_token = settings.pop("replica_token", "")
        users_file = folder / "users"
        self.tokens = [add_user(users_file, name) for name in ("one", "two")]
        values = {
            "replicas": urls,
            "users_file": users_file,
            "secret_file": folder / "secret",
            "health_interval_s": 600,
        } | settings
        self.settings = GatewaySettings.model_validate(values)
        self.replicas = Replicas(self.settings.replicas, replica_token, self.settings.load_factor, 10.0)
        self.gateway = Gateway.create(self.settings, Users(users_file), self.replicas, SECRET)
        self.client = httpx2.Client(verify=False)

    def post(self, user: int = 0, session: str = "document", **changes: Any) -> httpx2.Response:
        return self.client.post("/v1/completions", content=body(**changes), headers=self.headers(user, session))

    def headers(self, user: int, session: str = "document") -> dict[str, str]:
        return {"authorization": f"Bearer {self.tokens[user]}", "x-session-id": session}

    def metric(self, line: str) -> float:
        lines = dict(
            text.rsplit(" ", 1) for text in self.gateway.metrics.text().decode().splitlines() if text[0] != "#"
        )
        return float(lines[line])


def body(**changes: Any) -> bytes:
    fields = {"model": "model", "prompt": list(range(64)), "max_tokens": 3, "stream": True, "return_token_ids": True}
    return json.dumps(fields | changes).encode()


@contextmanager
def site(folder: Path, fakes: list[Any], **settings: Any) -> Iterator[Site]:
    with ExitStack() as stack:
        urls = [fake.url if isinstance(fake, FakeVllm) else stack.enter_context(running(fake)) for fake in fakes]
        made = Site(folder, urls, **settings)
        app = made.gateway.application()
        server = UnsignalledServer(uvicorn.Config(app, port=0, log_config=None, timeout_graceful_shutdown=1))
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        while not server.started:
            threading.Event().wait(0.01)
        made.client.base_url = httpx2.URL(f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}")
        try:
            yield made
        finally:
            made.client.close()
            server.should_exit = True
            thread.join()


def ids_of(response: httpx2.Response) -> list[int]:
    events = [json.loads(line[6:]) for line in response.text.splitlines() if line.startswith("data: {")]
    return [id_ for event in events for choice in event["choices"] for id_ in choice["token_ids"]]


def test_answer_of_a_replica_passes_with_the_salt_of_the_user(tmp_path: Path) -> None:
    fake = FakeReplica()
    with site(tmp_path, [fake]) as gateway:
        response = gateway.post()
        assert (response.status_code, ids_of(response)) == (200, [0, 1, 2])
        assert response.text.endswith("data: [DONE]\n\n")
        assert gateway.post(user=1).status_code == 200
        assert gateway.post().status_code == 200
        assert gateway.metric('gateway_tokens_total{kind="prompt"}') == 3 * 64
        assert gateway.metric('gateway_tokens_total{kind="reused"}') == 63, "of the same user's second request only"
        assert gateway.metric('gateway_tokens_total{kind="generated"}') == 9
    assert [sent["cache_salt"] for sent in fake.bodies] == [salt_of(SECRET, name) for name in ("one", "two", "one")]


def test_requests_of_a_document_go_to_one_replica(tmp_path: Path) -> None:
    fakes = [FakeReplica() for _ in range(3)]
    with site(tmp_path, fakes) as gateway:
        for number in range(30):
            document = number % 10
            assert gateway.post(session=f"document {document}", prompt=[document] * 64).status_code == 200
    assert sum(fake.reused_tokens for fake in fakes) == 20 * 63
    assert sum(bool(fake.bodies) for fake in fakes) > 1


@pytest.mark.parametrize("failure", ["close", 503, 429])
def test_request_is_sent_to_another_replica_before_the_first_byte(tmp_path: Path, failure: int | str) -> None:
    fakes = [FakeReplica(failures=[failure]), FakeReplica(failures=[failure]), FakeReplica(failures=[failure])]
    fakes[0].failures.clear()
    with site(tmp_path, fakes) as gateway:
        assert all(ids_of(gateway.post(session=str(number))) == [0, 1, 2] for number in range(40))
        assert gateway.metric("gateway_retries_total") == 2


def test_replica_that_does_not_listen_is_left_out(tmp_path: Path) -> None:
    with running(FakeReplica()) as gone:
        pass
    with site(tmp_path, [FakeReplica()]) as gateway:
        gateway.replicas.update([*gateway.settings.replicas, gone])
        assert all(gateway.post(session=str(number)).status_code == 200 for number in range(12))
        assert {replica.url: replica.is_healthy for replica in gateway.replicas}[gone] is False
        assert gateway.metric("gateway_retries_total") == 1


def test_site_without_a_replica_says_when_to_try_again(tmp_path: Path) -> None:
    with site(tmp_path, [FakeReplica(failures=[503, 503, 503])]) as gateway:
        assert gateway.post().status_code == 503
        for replica in gateway.replicas:
            replica.mark(False, "for the test")
        response = gateway.post()
        assert (response.status_code, response.headers["retry-after"]) == (503, "1")
        assert gateway.client.get("/health").status_code == 503


def test_answer_that_breaks_is_not_made_to_look_complete(tmp_path: Path) -> None:
    with site(tmp_path, [FakeReplica(failures=["break"])]) as gateway, pytest.raises(httpx2.RemoteProtocolError):
        gateway.post()


def test_client_that_leaves_while_it_sends_is_counted_and_no_error(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with site(tmp_path, [FakeReplica()]) as gateway:
        url = gateway.client.base_url
        head = f"POST /v1/completions HTTP/1.1\r\nhost: {url.host}\r\ncontent-length: 100\r\n"
        head += f"authorization: {gateway.headers(0)['authorization']}\r\n\r\n{{"
        with socket.create_connection((url.host, url.port)) as connection:
            connection.sendall(head.encode())
            time.sleep(0.1)
        while not gateway.metric("gateway_aborted_total"):
            time.sleep(0.01)
    assert not caplog.records


def test_client_that_leaves_ends_the_work_of_the_replica(tmp_path: Path) -> None:
    fake = FakeReplica(token_s=0.01)
    with site(tmp_path, [fake]) as gateway:
        content, headers = body(max_tokens=256), gateway.headers(0)
        with gateway.client.stream("POST", "/v1/completions", content=content, headers=headers) as response:
            next(response.iter_raw())
        while fake.running or not gateway.metric("gateway_aborted_total"):  # counted after the replica has ended
            threading.Event().wait(0.01)
        assert (fake.aborted, gateway.metric("gateway_aborted_total")) == (1, 1)
        assert fake.generated < 256
        assert all(replica.load == 0 for replica in gateway.replicas)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/v1/completions", 401),
        ("GET", "/v1/models", 401),
        ("GET", "/health", 200),
        ("POST", "/tokenize", 404),
        ("GET", "/metrics", 404),
        ("GET", "/v1/completions", 405),
        ("POST", "/v1/chat/completions", 404),
    ],
)
def test_only_three_paths_are_open_and_two_need_a_token(tmp_path: Path, method: str, path: str, status: int) -> None:
    fake = FakeReplica()
    with site(tmp_path, [fake]) as gateway:
        assert gateway.client.request(method, path, content=body()).status_code == status
    assert not fake.bodies


def test_limits_of_a_site_are_kept(tmp_path: Path) -> None:
    fake = FakeReplica()
    with site(tmp_path, [fake], max_body_bytes=1024, requests_per_minute=12) as gateway:
        assert gateway.post(prompt=[1] * 2000).status_code == 413
        assert gateway.post(max_tokens=257).status_code == 400
        assert [gateway.post().status_code for _ in range(3)] == [200, 200, 429]
        assert gateway.post(user=1).status_code == 200
        assert gateway.client.get("/v1/models", headers=gateway.headers(0)).json()["data"][0]["id"] == "model"
    assert len(fake.bodies) == 3


def test_remote_engine_can_force_a_beginning_through_the_gateway(tmp_path: Path) -> None:
    with serving(FakeVllm(lambda _: "urn x\n")) as fake, site(tmp_path, [fake], replica_token=TOKEN) as gateway:
        settings = settings_for(str(gateway.client.base_url).rstrip("/"), tmp_path)
        write_token(tmp_path, gateway.tokens[0])
        with ready_engine(settings) as engine:
            assert engine.status().capabilities.forced_prefix
            for document in ("a", "a", "b"):
                assert (
                    answer_of(engine, Request(("def f(x):\n   ",), 20, forced_prefix=" ret", document=document))
                    == "urn x\n"
                )
        sessions = [headers["x-session-id"] for headers in fake.headers[-3:]]
        assert (sessions[0] == sessions[1], sessions[1] == sessions[2]) == (True, False), (
            "for replicas that route again"
        )
