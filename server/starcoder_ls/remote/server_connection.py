"""HTTP requests to one server: events of streamed answers, JSON of others, and warm connections.

Each completion ends in an abort, because stop rules run in the client, and over HTTP/1.1 an abort costs the connection.
So another one is opened at once, while the user reads the suggestion.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

import httpx2

from starcoder_ls.errors import EngineUnreachable
from starcoder_ls.remote import http_errors, server_sent_events
from starcoder_ls.remote.dialects.dialect import Call
from starcoder_ls.remote.endpoint import Endpoint, open_client

HEALTH = "/health"
_MAX_ERROR_BYTES = 1 << 16
_WARM_UP_END_S = 1.0
_RETRYABLE = (httpx2.RemoteProtocolError, httpx2.ReadError, httpx2.WriteError)
"""A connection that the server closed while it was idle looks like these. Nothing was generated then."""


class ServerConnection:
    """The connections to ``endpoint``, for one event loop. ``aborts`` counts answers that were left before their end.

    Raises SettingsError if the certificates are unreadable.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.aborts = 0
        self._client = open_client(endpoint)
        self._warming: asyncio.Task[None] | None = None

    async def stream(self, call: Call, headers: Mapping[str, str]) -> AsyncGenerator[dict[str, Any]]:
        """The events of the answer to ``call``. Closing the iterator ends the generation on the server.

        The request is repeated once if the connection breaks before anything of the response has arrived. Raises
        EngineUnreachable, EngineBusy, EngineNotReady, PromptTooLong, EngineError.
        """
        async with aclosing(self._responses(call, headers)) as responses:
            async for response in responses:
                try:
                    async with aclosing(server_sent_events.decode_events(response.aiter_raw())) as events:
                        async for event in events:
                            yield event
                except (httpx2.HTTPError, OSError) as error:
                    raise http_errors.error_of_transport(error, self.endpoint.host) from error
                except (GeneratorExit, asyncio.CancelledError):
                    self.aborts += 1
                    raise

    async def _responses(self, call: Call, headers: Mapping[str, str]) -> AsyncGenerator[httpx2.Response]:
        """One open response with the status 200."""
        for is_last_try in (False, True):
            request = self._request(call, headers)
            try:
                response = await self._client.send(request, stream=True)
            except (httpx2.HTTPError, OSError) as error:
                if isinstance(error, _RETRYABLE) and not is_last_try:
                    continue
                raise http_errors.error_of_transport(error, self.endpoint.host) from error
            try:
                if response.status_code != httpx2.codes.OK:
                    body = await self._error_body(response)
                    raise http_errors.error_of_response(
                        response.status_code, body, response.headers, self.endpoint.host
                    )
                yield response
            finally:
                await response.aclose()
            return

    async def post(self, call: Call, headers: Mapping[str, str]) -> dict[str, Any]:
        """The JSON object that answers ``call``. Raises what ``stream`` raises."""
        parts = []
        try:
            async with aclosing(self._responses(call, headers)) as responses:
                async for response in responses:
                    parts = [part async for part in response.aiter_raw()]
            value = json.loads(b"".join(parts))
        except (httpx2.HTTPError, OSError) as error:
            raise http_errors.error_of_transport(error, self.endpoint.host) from error
        except ValueError as error:
            raise EngineUnreachable(f"{self.endpoint.host} answers with something that is not JSON.") from error
        if not isinstance(value, dict):
            raise EngineUnreachable(f"{self.endpoint.host} answers with something that is no JSON object.")
        return value

    async def read_json(self, path: str) -> Any:
        """The JSON at ``path``. Raises what ``stream`` raises."""
        try:
            response = await self._client.get(path)
            if response.status_code != httpx2.codes.OK:
                raise http_errors.error_of_response(
                    response.status_code, response.text, response.headers, self.endpoint.host
                )
            return response.json()
        except (httpx2.HTTPError, OSError) as error:
            raise http_errors.error_of_transport(error, self.endpoint.host) from error
        except ValueError as error:
            raise EngineUnreachable(f"{self.endpoint.host} answers with something that is not JSON.") from error

    def warm_up(self) -> None:
        """Open a connection in the background, unless that is being done."""
        if self._warming is None or self._warming.done():
            self._warming = asyncio.get_running_loop().create_task(self._open_connection())

    async def close(self) -> None:
        """Close the connections. One that is being opened is waited for first: cancelling that would leave its socket
        open."""
        if self._warming is not None:
            await asyncio.wait([self._warming], timeout=_WARM_UP_END_S)
            self._warming.cancel()
            await asyncio.gather(self._warming, return_exceptions=True)
        await self._client.aclose()

    async def _open_connection(self) -> None:
        try:
            await self._client.get(HEALTH)
        except (httpx2.HTTPError, OSError):
            return  # the next request will say what is wrong

    def _request(self, call: Call, headers: Mapping[str, str]) -> httpx2.Request:
        content = json.dumps(call.body, separators=(",", ":"), ensure_ascii=False).encode()
        return self._client.build_request(
            "POST", call.path, content=content, headers={"content-type": "application/json", **headers}
        )

    async def _error_body(self, response: httpx2.Response) -> str:
        body = b""
        try:
            async for part in response.aiter_raw():
                body += part
                if len(body) > _MAX_ERROR_BYTES:
                    break
        except (httpx2.HTTPError, OSError):
            pass  # the status says enough
        return body.decode("utf-8", "replace")
