"""The gateway as a process, and the files for its deployment."""

from __future__ import annotations

import signal
import ssl
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
IN_CONTAINER = Path("/etc/starcoder-ls")


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
    mounts = {Path(mount["mountPath"]) for mount in container["volumeMounts"]}
    composed = {Path(volume.split(":")[1]) for volume in compose["services"]["gateway"]["volumes"]}
    needed = {settings.secret_file.parent, (settings.certificate or Path()).parent, ROOT / "deploy" / "gateway.toml"}
    for mounted in (mounts, composed):
        assert {IN_CONTAINER / path.relative_to(ROOT / "deploy") for path in needed} <= mounted


def test_gateway_starts_with_the_settings_and_secrets_of_the_deployment(tmp_path: Path) -> None:
    """As docs/gateway.md says; only the port is another one."""
    text = (ROOT / "deploy" / "gateway.toml").read_text()
    file, port = tmp_path / "gateway.toml", free_port()
    file.write_text(text.replace("0.0.0.0:8443", f"127.0.0.1:{port}"))
    page = (ROOT / "docs" / "gateway.md").read_text()
    lines = page.split("cd deploy && umask 077 && ")[1].split("```")[0].splitlines()
    commands = [line for line in lines if "docker" not in line]
    certificate = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout OUR.key -out OUR.crt "
        "-days 1 -subj /CN=gateway -addext subjectAltName=IP:127.0.0.1 2> /dev/null"
    )
    script = "\n".join(["set -e; umask 077", certificate, *commands])
    script = script.replace("starcoder-ls", f"{sys.executable} -m starcoder_ls")
    done = subprocess.run(["sh", "-c", script], cwd=tmp_path, check=True, capture_output=True, text=True)
    token = done.stdout.split()[-1]
    command = [sys.executable, "-m", "starcoder_ls", "gateway", "serve", str(file)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        while "listens on" not in (line := process.stderr.readline()):
            assert line, "it ended"
        with terminated(process), httpx2.Client(verify=ssl_context(tmp_path / "OUR.crt")) as client:
            answer = client.get(f"https://127.0.0.1:{port}/v1/models", headers={"authorization": f"Bearer {token}"})
    assert answer.status_code == 503, "it knows the user, and there are no replicas"


def ssl_context(certificate: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(certificate))
