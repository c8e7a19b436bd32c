"""Write the arrays of an orbax checkpoint into one safetensors file, each under its `/`-joined name, as stored.

uv run --locked --project envs/orbax python envs/orbax/dump.py <ckpt>/params out.safetensors

openpi's JAX checkpoints need orbax and jax to be read; they live in an environment of their own, and this script is all
that runs in it. What the checkpoint itself says about its tree is what is restored, as numpy: no model, no device.
"""

import argparse
import os
import sys
from pathlib import Path

os.environ["JAX_PLATFORMS"] = "cpu"

import jax
import numpy as np
import orbax.checkpoint as ocp
from safetensors.numpy import save_file

METADATA = "_METADATA"  # orbax describes the tree in it


def find(folder: Path) -> Path:
    """The checkpoint's folder: `folder`, or `params` in it."""
    for path in (folder, folder / "params"):
        if (path / METADATA).is_file():
            return path.resolve()
    inside = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else ["no folder"]
    found = ", ".join(inside[:10]) or "nothing"
    sys.exit(f"{folder}: not an orbax checkpoint: found {found}; expected {METADATA} or params/{METADATA}")


def restore(folder: Path) -> dict[str, np.ndarray]:
    """Every array of the checkpoint by its name (`params/PaliGemma/…`).

    One after the other: orbax would else hold the encoded bytes of many beside the arrays (half as much memory again).
    """
    arrays = {}
    with ocp.PyTreeCheckpointer() as checkpointer:
        leaves, tree = jax.tree_util.tree_flatten_with_path(dict(checkpointer.metadata(folder)))
        for i, (path, leaf) in enumerate(leaves):
            one = tree.unflatten([leaf if j == i else ocp.PLACEHOLDER for j in range(len(leaves))])
            as_numpy = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), one)
            restored = checkpointer.restore(folder, ocp.args.PyTreeRestore(item=one, restore_args=as_numpy))
            arrays[jax.tree_util.keystr(path, simple=True, separator="/")] = jax.tree.leaves(restored)[i]
    return arrays


def main() -> None:
    """Write the arrays of the checkpoint to the file that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="<ckpt>/params, or <ckpt>")
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    folder = find(args.folder)
    try:
        arrays = restore(folder)
    except Exception as error:  # noqa: BLE001  orbax and tensorstore raise whatever they met: JSON, value and OS errors
        sys.exit(f"{folder}: orbax cannot restore it ({type(error).__name__}: {error}); is the copy complete?")
    # safetensors writes the memory as it lies
    save_file({name: np.require(array, requirements="C") for name, array in arrays.items()}, args.out)


if __name__ == "__main__":
    main()
