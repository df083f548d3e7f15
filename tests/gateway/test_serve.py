"""The gateway as a process, and the files for its deployment."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import yaml

from lib.fake_replica import FakeReplica, free_port, running
from starcoder_ls.gateway import gateway_settings
from starcoder_ls.gateway.users import add_user

ROOT = Path(__file__).parents[2]


def test_process_reads_replicas_and_users_again_and_ends_with_code_0(tmp_path: Path) -> None:
    port, metrics_port, file = free_port(), free_port(), tmp_path / "gateway.toml"
    with running(FakeReplica()) as first, running(FakeReplica()) as second:
        text = f'listen = "127.0.0.1:{port}"\nusers_file = "users"\nsecret_file = "secret"\nhealth_interval_s = 600\n'
        file.write_text(f'{text}replicas = ["{first}"]\n')
        add_user(tmp_path / "users", "one")
        command = [
            sys.executable,
            "-m",
            "starcoder_ls",
            "gateway",
            "serve",
            str(file),
            "--metrics-port",
            str(metrics_port),
        ]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr is not None
            while "listens on" not in process.stderr.readline():
                assert process.poll() is None
            with terminated(process), httpx2.Client(verify=False, base_url=f"http://127.0.0.1:{port}") as client:
                token = add_user(tmp_path / "users", "two")
                headers = {"authorization": f"Bearer {token}"}
                assert client.get("/v1/models", headers=headers).status_code == 401
                file.write_text(f'{text}replicas = ["{second}"]\n')
                process.send_signal(signal.SIGHUP)
                while client.get("/v1/models", headers=headers).status_code == 401:
                    threading.Event().wait(0.01)
                metrics = client.get(f"http://127.0.0.1:{metrics_port}/metrics").text
                assert f'gateway_replica_healthy{{replica="{second}"}} 1.0' in metrics
        assert process.returncode == 0


@contextmanager
def terminated(process: subprocess.Popen[str]) -> Iterator[None]:
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)


def test_files_for_the_deployment_agree_with_the_gateway() -> None:
    settings = gateway_settings.load(ROOT / "deploy" / "gateway.toml")
    compose = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())
    assert {f"http://{name}:8000" for name in compose["services"] if name != "gateway"} == set(settings.replicas)
    assert compose["services"]["gateway"]["ports"] == [f"{settings.port}:{settings.port}"]
    objects = list(yaml.safe_load_all((ROOT / "deploy" / "kubernetes.yaml").read_text()))
    assert {each["kind"] for each in objects} == {"Service", "StatefulSet", "NetworkPolicy", "Deployment"}
    (gateway,) = (each for each in objects if each["kind"] == "Deployment")
    (container,) = gateway["spec"]["template"]["spec"]["containers"]
    assert container["ports"] == [{"containerPort": settings.port}]
    mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert {str(settings.secret_file.parent), str((settings.certificate or Path()).parent)} <= mounts
