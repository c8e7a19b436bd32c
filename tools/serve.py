"""Serve a trained policy over openpi's websocket protocol.

    python tools/serve.py results/quickstart/checkpoint --port 8000
    PISFT_POLICY_TOKEN=... python tools/serve.py results/quickstart/checkpoint --host 0.0.0.0

Prints its address once it accepts connections, and on SIGTERM or Ctrl-C answers the requests in progress and exits.
Clients: openpi-client, tools/robot_client.py, scripts/evaluate.py --server. GET /healthz reports the status.
"""

import argparse
import asyncio
import ipaddress
import math
import os
from pathlib import Path

from pisft.cli import node_of, run
from pisft.config import read_resolved
from pisft.errors import PisftError
from pisft.evaluate.policy import load_policy
from pisft.model.compiling import keep_in
from pisft.model.runtime import configure
from pisft.provenance.verified import verify_checkpoint
from pisft.records.checkpoint import CheckpointIndex
from pisft.serving.batching import Batcher
from pisft.serving.client import TOKEN
from pisft.serving.contract import Contract
from pisft.serving.identity import identity
from pisft.serving.server import serve


def main() -> None:
    """Verify the checkpoint and serve it until a signal ends it; raises `PisftError`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path, help="results/<exp>/checkpoint")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine alone)")
    parser.add_argument("--port", type=int, default=8000, help="port to listen on; 0 for a free one")
    parser.add_argument(
        "--no-token", action="store_true", help="accept clients without a token on a --host that the network reaches"
    )
    parser.add_argument("--max-batch", type=int, default=16, help="most observations in one inference")
    parser.add_argument("--max-wait-ms", type=float, default=2.0, help="longest wait of an observation for others")
    parser.add_argument(
        "--max-group",
        type=int,
        help="observations of one message, which are one inference: an evaluation's batch_size "
        "(default: the experiment's, or --max-batch where that is more)",
    )
    parser.add_argument("--max-message-mb", type=float, default=64.0)
    parser.add_argument("--max-clients", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0, help="seed of the sampling noise, for clients that send none")
    args = parser.parse_args()
    _check(args)
    run_dir = args.checkpoint.absolute().parent
    if args.checkpoint.name != "checkpoint" or not (run_dir / "checkpoint.json").is_file():
        raise PisftError(f"{args.checkpoint}: is not a trained checkpoint; expected results/<exp>/checkpoint")
    token = os.environ.get(TOKEN) or None
    if token is None and not args.no_token and not _is_loopback(args.host):
        raise PisftError(f"--host {args.host}: can be reached from the network; set {TOKEN}, or say --no-token")

    node_of("evaluate", run_dir / "config.json")
    config = read_resolved(run_dir / "config.json")
    checkpoint = CheckpointIndex.read_from(run_dir)
    verify_checkpoint(config.name, run_dir.parents[1], checkpoint)
    keep_in(run_dir.parents[1])
    policy = load_policy(config, run_dir / "checkpoint", configure(threads=1))
    about = {
        "experiment": config.name,
        "model": config.model.variant,
        "step": checkpoint.step,
        **identity(run_dir),
    }
    loop = config.eval.closed_loop
    batcher = Batcher(policy, args.max_batch, args.max_wait_ms / 1000)
    try:
        asyncio.run(
            serve(
                Contract(policy, about),
                batcher,
                args.host,
                args.port,
                token=token,
                max_message_bytes=int(args.max_message_mb * 2**20),
                max_clients=args.max_clients,
                max_group=args.max_group or max(args.max_batch, loop.batch_size if loop else 1),
                seed=args.seed,
                ready=lambda host, port: print(f"serving {config.name} on ws://{_shown(host)}:{port}", flush=True),
            )
        )
    finally:
        batcher.close()


def _check(args: argparse.Namespace) -> None:
    for name, least in (("max_batch", 1), ("max_group", 1), ("max_clients", 1), ("max_wait_ms", 0), ("seed", 0)):
        found = getattr(args, name)
        if found is not None and not least <= found < math.inf:
            raise PisftError(f"--{name.replace('_', '-')}: found {found}; expected {least} or more")
    if not 0 <= args.port < 2**16:
        raise PisftError(f"--port: found {args.port}; expected 0 to 65535")
    if not 0 < args.max_message_mb < math.inf:
        raise PisftError(f"--max-message-mb: found {args.max_message_mb}; expected a number above 0")


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


if __name__ == "__main__":
    run(main)
