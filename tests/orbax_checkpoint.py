"""Save arrays as openpi saves a checkpoint's `params`. Runs in envs/orbax.

python tests/orbax_checkpoint.py arrays.npz <folder> published|trained

`published`: by their plain names, as the base checkpoints. `trained`: as its trainer's checkpoint manager saves an nnx
state, each array under `value`; here with the VLM's embedding in bfloat16.
"""

import sys
from pathlib import Path

import ml_dtypes
import numpy as np
import orbax.checkpoint as ocp


def nested(arrays: dict[str, np.ndarray]) -> dict:
    tree = {}
    for name, array in arrays.items():
        *parents, last = name.split("/")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[last] = array
    return tree


def main() -> None:
    source, folder, kind = sys.argv[1:]
    arrays = dict(np.load(source))
    folder = Path(folder).absolute()
    if kind == "published":
        ocp.PyTreeCheckpointer().save(folder / "params", {"params": nested(arrays)})
        return
    name = "PaliGemma/llm/embedder/input_embedding"
    arrays[name] = arrays[name].astype(ml_dtypes.bfloat16)
    state = nested({f"{name}/value": array for name, array in arrays.items()})
    with ocp.CheckpointManager(folder, item_handlers={"params": ocp.PyTreeCheckpointHandler()}) as manager:
        manager.save(0, {"params": {"params": state}})


if __name__ == "__main__":
    main()
