"""A policy on a server, with the interface of a local one: start from `RemotePolicy(uri, token)`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from websockets.exceptions import InvalidStatus, WebSocketException
from websockets.sync.client import connect

from pisft.errors import PisftError
from pisft.serving.wire import WireError, pack, unpack

TOKEN = "PISFT_POLICY_TOKEN"  # the environment variable with the token, for servers and clients


class RemoteError(PisftError):
    """A server cannot be reached, or refuses."""


class RemotePolicy:
    """A `pisft.evaluate.rollout.Actor`: each `infer` is one message and one inference of the whole group on the server.

    `metadata` is the server's description of its policy. A context manager. Raises `RemoteError`.
    """

    def __init__(self, uri: str, token: str | None = None, timeout_s: float = 60.0):
        self.uri, self.timeout_s = uri, timeout_s
        headers = {"Authorization": f"Bearer {token}"} if token else None
        try:
            self._connection = connect(
                uri, additional_headers=headers, compression=None, max_size=None, open_timeout=timeout_s
            )
            told = cast(bytes, self._connection.recv(timeout_s))  # a text is a WireError
            self.metadata: dict[str, Any] = unpack(told)
        except InvalidStatus as error:
            body = (error.response.body or b"").decode(errors="replace").strip()
            raise RemoteError(f"{uri}: refused with {error.response.status_code}: {body}") from error
        except (OSError, WebSocketException, WireError) as error:
            raise RemoteError(f"{uri}: no policy server answers ({error}); start one: tools/serve.py") from error
        if not isinstance(self.metadata, dict) or not {"noise_shape", "action_type"} <= self.metadata.keys():
            self.close()
            raise RemoteError(f"{uri}: its metadata has no noise_shape and action_type; expected tools/serve.py's")
        shape = self.metadata["noise_shape"]
        if not isinstance(shape, list) or len(shape) != 2 or not all(type(n) is int and 0 < n < 2**16 for n in shape):
            self.close()
            raise RemoteError(f"{uri}: noise_shape: found {str(shape)[:80]}; expected [horizon, width]")
        self.noise_shape = tuple(shape)

    def __enter__(self) -> RemotePolicy:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def infer(self, observations: Sequence[dict[str, Any]], noise: np.ndarray) -> np.ndarray:
        """Return robot actions float32 (B, H, d) for B observations, from noise float32 (B, H, A)."""
        return self.request({"observations": list(observations), "noise": noise})

    def request(self, content: dict[str, Any]) -> np.ndarray:
        """Send one message and return the actions: (H, d) for an observation, (B, H, d) for a group of them."""
        try:
            self._connection.send(pack(content))
            answer = self._connection.recv(self.timeout_s)
            if isinstance(answer, str):
                raise RemoteError(f"{self.uri}: {answer}")
            return unpack(answer)["actions"]
        except (OSError, WebSocketException, WireError, KeyError, TypeError) as error:
            self.close()  # so that a late answer is never taken for that of the next message
            raise RemoteError(f"{self.uri}: gave no answer ({str(error) or type(error).__name__})") from error

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
