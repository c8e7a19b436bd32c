"""openpi's own client between two pipes: observations come on stdin, actions go to stdout, both as its msgpack.

    python drive.py ws://127.0.0.1:8000 [api key]

Each message has its length in eight bytes before it. Shows that a robot which speaks to openpi speaks to us.
"""

import sys

from openpi_client import msgpack_numpy
from openpi_client.websocket_client_policy import WebsocketClientPolicy


def main() -> None:
    """Pass observations from stdin to the server and its actions to stdout, until stdin ends."""
    policy = WebsocketClientPolicy(sys.argv[1], api_key=sys.argv[2] if len(sys.argv) > 2 else None)
    while length := sys.stdin.buffer.read(8):
        observation = msgpack_numpy.unpackb(sys.stdin.buffer.read(int.from_bytes(length, "big")))
        answer = msgpack_numpy.packb(policy.infer(observation))
        sys.stdout.buffer.write(len(answer).to_bytes(8, "big") + answer)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
