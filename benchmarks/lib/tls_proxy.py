"""Ends TLS in front of a server of this machine: ``python tls_proxy.py CERTIFICATE KEY PORT``. It prints its own port.

``running`` starts one with a certificate that is its own authority, made by openssl.
"""

from __future__ import annotations

import asyncio
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_PIECE_BYTES = 1 << 16


async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(_PIECE_BYTES):
            writer.write(data)
            await writer.drain()
    writer.close()


async def serve(certificate: str, key: str, port: int) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            target_reader, target_writer = await asyncio.open_connection("127.0.0.1", port)
            await asyncio.gather(forward(reader, target_writer), forward(target_reader, writer))
        writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=context)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@contextmanager
def running(port: int, folder: Path) -> Iterator[tuple[str, Path]]:
    """The URL of a proxy in front of ``port``, and the file of its certificate."""
    certificate, key = folder / "proxy.pem", folder / "proxy.key"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
               "-keyout", str(key), "-out", str(certificate), "-days", "2", "-subj", "/CN=proxy",
               "-addext", "subjectAltName=IP:127.0.0.1"]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True)
    command = [sys.executable, __file__, str(certificate), str(key), str(port)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield f"https://127.0.0.1:{int(process.stdout.readline())}", certificate
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], sys.argv[2], int(sys.argv[3])))
