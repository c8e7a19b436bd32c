"""Measure latency and throughput of a served policy with 1, 4 and 16 clients, and beside clients that flood the server.

    python benchmarks/bench_serve.py        (make bench-serve)

Each client requests a chunk, waits for it and requests again, over loopback, from one process that all clients share.
`alone` is the same inference in a process without a server. Latencies are multiples of its median. Floods come from a
process of their own; `nothing` is a process that computes and never connects, since on few cores that costs time too.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
from pisft.config import read_resolved
from pisft.serving.client import RemotePolicy
from websockets.exceptions import WebSocketException

CLIENTS = (1, 4, 16)
FLOODS = ("nothing", "a second client", "texts", "garbage", "pings", "fragments", "connections", "silent connections")


def observation(config) -> dict:
    """Return a random observation in the keys of the experiment's format."""
    rng = np.random.default_rng(0)
    found: dict = {"task": "press the button"}
    for key, feature in config.format.features.items():
        if feature.is_image:
            found[key] = rng.integers(0, 256, feature.shape, np.uint8)
        elif key in config.format.keys("state"):
            found[key] = rng.normal(size=feature.shape).astype(np.float32)
    return found


def alone(run_dir: Path, seconds: float) -> list[float]:
    """Return the seconds of each inference in a process of its own, with one thread."""
    code = (
        "import sys, time, json, torch\nfrom pathlib import Path\nimport numpy as np\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from bench_serve import observation\nfrom pisft.config import read_resolved\n"
        "from pisft.evaluate.policy import load_policy\nfrom pisft.model.runtime import configure\n"
        f"run = Path({str(run_dir)!r}); config = read_resolved(run / 'config.json')\n"
        "policy = load_policy(config, run / 'checkpoint', configure(threads=1)); seen = observation(config)\n"
        "noise = np.random.default_rng(0).standard_normal((1, *policy.noise_shape), dtype=np.float32)\n"
        "[policy.infer([seen], noise) for _ in range(5)]\n"
        f"found, end = [], time.perf_counter() + {seconds}\n"
        "while time.perf_counter() < end:\n"
        "    start = time.perf_counter(); policy.infer([seen], noise); found.append(time.perf_counter() - start)\n"
        "print(json.dumps(found))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return [float(x) for x in done.stdout.strip().strip("[]").split(",")]


def served(uri: str, seen: dict, clients: int, seconds: float) -> tuple[list[float], float]:
    """Return the seconds of each request of all clients, and requests a second."""
    found: list[list[float]] = [[] for _ in range(clients)]
    begin, end = threading.Barrier(clients), []

    def ask(mine: list[float]) -> None:
        with RemotePolicy(uri) as policy:
            policy.request(seen)
            begin.wait()
            until = time.perf_counter() + seconds
            while (start := time.perf_counter()) < until:
                policy.request(seen)
                mine.append(time.perf_counter() - start)
            end.append(time.perf_counter())

    threads = [threading.Thread(target=ask, args=(mine,)) for mine in found]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    every = [latency for mine in found for latency in mine]
    return every, len(every) / min(seconds, max(end) - started)


def flood(kind: str, uri: str, begun) -> None:
    """Do `kind` until this process is killed; sets `begun` when it starts."""
    from websockets.sync.client import connect

    host, port = uri.removeprefix("ws://").rsplit(":", 1)
    mask = b"\x80\0\0\0\0"
    frames = {"texts": b"\x81" + mask, "garbage": b"\x82" + mask, "pings": b"\x89" + mask, "fragments": b"\0" + mask}
    begun.set()
    while True:
        with contextlib.suppress(OSError, WebSocketException):
            if kind == "nothing":
                pass
            elif kind == "connections":
                connect(uri, compression=None, open_timeout=1).close()
            elif kind == "silent connections":
                kept = [socket.create_connection((host, int(port)), 1) for _ in range(500)]
                time.sleep(1)
                del kept
            else:
                with connect(uri, compression=None, max_queue=None) as websocket:
                    websocket.socket.setblocking(True)
                    first = b"\x02" + mask if kind == "fragments" else b""
                    threading.Thread(target=_swallow, args=(websocket,), daemon=True).start()
                    while True:
                        websocket.socket.sendall(first + frames[kind] * 1000)
                        first = b""


def _swallow(websocket) -> None:
    with contextlib.suppress(OSError, WebSocketException):
        while True:
            websocket.recv()


def beside_nobody(uri: str, seen: dict, seconds: float) -> np.ndarray:
    """Return median and 99th percentile (s) of one client's requests."""
    return np.quantile(served(uri, seen, 1, seconds)[0], [0.5, 0.99])


def beside(kind: str, uri: str, seen: dict, seconds: float) -> tuple[float, float]:
    """Return median and 99th percentile (s) of one client's requests beside a flood."""
    if kind == "a second client":
        latencies, _ = served(uri, seen, 2, seconds)
        return tuple(np.quantile(latencies, [0.5, 0.99]))
    context = multiprocessing.get_context("spawn")
    begun = context.Event()
    process = context.Process(target=flood, args=(kind, uri, begun), daemon=True)
    with RemotePolicy(uri) as policy:
        process.start()
        begun.wait()
        time.sleep(1)
        found, until = [], time.perf_counter() + seconds
        while (start := time.perf_counter()) < until:
            policy.request(seen)
            found.append(time.perf_counter() - start)
    process.kill()
    process.join()
    time.sleep(2)  # until the server's limit on new connections recovers
    return tuple(np.quantile(found, [0.5, 0.99]))


def main() -> None:
    """Serve a checkpoint and print latency and throughput by the number of clients, and beside floods."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--experiment", default="button_press", help="whose checkpoint is served; it has to be trained")
    parser.add_argument("--seconds", type=float, default=8.0, help="of a round")
    parser.add_argument("--turns", type=int, default=3)
    args = parser.parse_args()
    run_dir = Path("results") / args.experiment
    config = read_resolved(run_dir / "config.json")
    seen = observation(config)
    rows: dict[int, list[tuple[float, float, float]]] = {clients: [] for clients in CLIENTS}
    floods: dict[str, list[tuple[float, float]]] = {kind: [] for kind in FLOODS}
    command = [sys.executable, "tools/serve.py", str(run_dir / "checkpoint"), "--port", "0"]
    for _ in range(args.turns):
        base = statistics.median(alone(run_dir, args.seconds))
        variables = {key: value for key, value in os.environ.items() if key != "PISFT_POLICY_TOKEN"}
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=variables) as server:
            try:
                uri = server.stdout.readline().split()[-1]
                for clients in CLIENTS:
                    latencies, rate = served(uri, seen, clients, args.seconds)
                    p50, p99 = np.quantile(latencies, [0.5, 0.99]) / base
                    rows[clients].append((p50, p99, rate * base))
                quiet = beside_nobody(uri, seen, args.seconds)
                for kind in FLOODS:
                    floods[kind].append(tuple(np.array(beside(kind, uri, seen, args.seconds)) / quiet))
                    print(kind, *(f"{ratio:.2f}" for ratio in floods[kind][-1]), flush=True)
            finally:
                server.send_signal(signal.SIGTERM)
    print("\nin inferences alone: latencies as multiples of one, throughput as multiples of its rate; min, median, max")
    print("\n| clients | p50 | p99 | throughput |\n|---|---|---|---|")
    for clients, found in rows.items():
        columns = [f"{min(c):.2f}, {statistics.median(c):.2f}, {max(c):.2f}" for c in zip(*found, strict=True)]
        print(f"| {clients} | {' | '.join(columns)} |")
    print("\none client beside a flood, as multiples of its latencies without; min, median, max")
    print("\n| flood | p50 | p99 |\n|---|---|---|")
    for kind, found in floods.items():
        columns = [f"{min(c):.2f}, {statistics.median(c):.2f}, {max(c):.2f}" for c in zip(*found, strict=True)]
        print(f"| {kind} | {' | '.join(columns)} |")


if __name__ == "__main__":
    main()
