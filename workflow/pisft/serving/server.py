"""Serves a policy over openpi's websocket protocol: start from `serve(contract, batcher, …)`.

A connection begins with the server's metadata; then each message of the client is an observation, and the answer is its
chunk of actions, or text that says why there is none. A message {observations: [...], noise: (B, H, A)} is a group,
inferred as one batch, which `pisft.serving.client` uses for evaluation. GET /healthz reports the status.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import hmac
import http
import itertools
import json
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from websockets.asyncio.server import Server, ServerConnection
from websockets.asyncio.server import serve as listen
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from pisft.errors import PisftError
from pisft.evaluate.rollout import noise
from pisft.serving.batching import Batcher
from pisft.serving.contract import Contract
from pisft.serving.fairness import FairConnection, Gate
from pisft.serving.wire import WireError, pack, unpack

OPEN_TIMEOUT_S = 10  # for a handshake
PING_S = 20  # between pings, and for a client to answer one
REFUSALS = 16  # consecutive refused messages, after which answers are delayed by LATE_S
LATE_S = 0.2
DRAIN_S = 30  # for requests in progress once the server stops


class ServingError(PisftError):
    """A server cannot start."""


async def serve(
    contract: Contract,
    batcher: Batcher,
    host: str,
    port: int,
    *,
    token: str | None,
    max_message_bytes: int,
    max_clients: int,
    max_group: int,
    seed: int = 0,
    ready: Callable[[str, int], None] = lambda _host, _port: None,
) -> None:
    """Serve until SIGTERM or SIGINT, then answer the requests in progress and close the connections.

    `ready` is called with the address once connections are accepted. Raises `ServingError` if it cannot be bound.
    """
    session = _Session(contract, batcher, token, max_clients, max_group, seed)
    try:
        server = await listen(
            session.talk,
            host,
            port,
            process_request=session.admit,
            origins=[None],  # refuses web pages, which send an origin, so that none reaches a server on loopback
            compression=None,  # images hardly shrink, and openpi's clients do not ask for it
            max_size=max_message_bytes,
            max_queue=1,
            open_timeout=OPEN_TIMEOUT_S,
            ping_interval=PING_S,
            ping_timeout=PING_S,
            server_header=None,
            create_connection=functools.partial(FairConnection, Gate()),  # pyright: ignore[reportArgumentType] it makes one
        )
    except OSError as error:
        raise ServingError(
            f"{host}:{port}: cannot be listened on ({error.strerror}); choose another --port, or 0 for a free one"
        ) from error
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    ready(*server.sockets[0].getsockname()[:2])
    await ended.wait()
    await session.drain(server)


class _Session:
    """The state that all connections share."""

    def __init__(
        self, contract: Contract, batcher: Batcher, token: str | None, max_clients: int, max_group: int, seed: int
    ):
        self.contract, self.batcher = contract, batcher
        self.token, self.max_clients, self.max_group, self.seed = token, max_clients, max_group, seed
        self.draining = False
        self._clients: set[ServerConnection] = set()
        self._idle: set[ServerConnection] = set()
        self._numbers = itertools.count()

    def admit(self, connection: ServerConnection, request: Request) -> Response | None:
        """Answer requests that are not accepted as clients: health, a wrong token, too many clients."""
        if request.path == "/healthz":
            state = {"status": "draining" if self.draining else "ok", "clients": len(self._clients)}
            return connection.respond(http.HTTPStatus.OK, json.dumps(state) + "\n")
        if not self._allowed(request.headers.get_all("Authorization")):
            return connection.respond(http.HTTPStatus.UNAUTHORIZED, "expected a token: Authorization: Bearer <token>\n")
        if len(self._clients) >= self.max_clients:
            return connection.respond(
                http.HTTPStatus.SERVICE_UNAVAILABLE, f"{self.max_clients} clients are connected already; try again\n"
            )
        return None

    async def talk(self, connection: ServerConnection) -> None:
        """Serve one client after its handshake. Nothing that it sends affects other clients."""
        self._clients.add(connection)
        count, refused = itertools.count(), 0
        try:
            await connection.send(pack(self.contract.metadata))
            while not self.draining:
                self._idle.add(connection)
                message = await connection.recv()
                self._idle.discard(connection)
                answer = await self._answer(message, next(count))
                refused = refused + 1 if isinstance(answer, str) else 0
                if refused > REFUSALS:
                    await asyncio.sleep(LATE_S)
                await connection.send(answer)
            await connection.close(1001, "the server ends")
        except ConnectionClosed:
            pass
        finally:
            self._idle.discard(connection)
            self._clients.discard(connection)

    async def drain(self, server: Server) -> None:
        """Refuse new connections, wait for requests in progress, and close."""
        self.draining = True
        server.close(close_connections=False)
        await asyncio.gather(*(connection.close(1001, "the server ends") for connection in list(self._idle)))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_S):
                while self._clients:
                    await asyncio.sleep(0.01)
        await asyncio.gather(*(connection.close(1001, "the server ends") for connection in list(self._clients)))
        await server.wait_closed()

    def _allowed(self, given: list[str]) -> bool:
        if self.token is None:
            return True
        scheme, _, found = (given[0] if len(given) == 1 else "").partition(" ")
        right = hmac.compare_digest(found.strip().encode(), self.token.encode())
        return right and scheme.lower() in ("bearer", "api-key")

    async def _answer(self, message: bytes | str, number: int) -> bytes | str:
        """Return packed actions, or text that says why there are none."""
        started = time.perf_counter()
        try:
            if isinstance(message, str):
                raise WireError("the message is text; expected msgpack")
            items, draws, group = await asyncio.to_thread(self._read, message, number)
            actions = await asyncio.wrap_future(self.batcher.submit(items, draws, group))
        except (WireError, PisftError) as error:
            return f"refused: {error}"
        except Exception as error:  # noqa: BLE001  the server's fault: it says so in its log alone, and keeps serving
            print(f"inference failed: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
            return "refused: the inference failed; the server's log says why"
        if not np.isfinite(actions).all():
            return "refused: the policy's actions are not finite; its weights or its norm_stats are broken"
        timing = {"infer_ms": 1000 * (time.perf_counter() - started)}
        return pack({"actions": actions if group else actions[0], "server_timing": timing})

    def _read(self, message: bytes, number: int) -> tuple[list, np.ndarray, bool]:
        """Return items, noise, and whether they are a group."""
        content: Any = unpack(message)
        shape = self.contract.policy.noise_shape
        if isinstance(content, dict) and "observations" in content:
            observations = content["observations"]
            if not isinstance(observations, list):
                raise WireError(f"observations: found a {type(observations).__name__}; expected a list")
            if not 0 < len(observations) <= self.max_group:
                raise WireError(
                    f"observations: found {len(observations)}; expected 1 to {self.max_group}: "
                    "more take a server with a larger --max-group"
                )
            items = [self.contract.item(observation) for observation in observations]
            return items, self.contract.noise(content.get("noise"), len(items)), True
        item = self.contract.item(content)
        if "noise" not in content:
            return [item], noise(self.seed, "", 0, number, shape)[None], False
        draw = content["noise"]
        return [item], self.contract.noise(draw[None] if isinstance(draw, np.ndarray) else draw, 1), False
