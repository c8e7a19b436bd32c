"""Describes a lerobot export: its `differences` from pi-sft, and README.md, which says how to run it."""

from __future__ import annotations

from collections.abc import Mapping

from pisft.config.format import Slot, Source
from pisft.export.checkpoint import Checkpoint

OWN = "Run pi-sft's own policy (pisft.evaluate.policy.Policy)."


def differences(checkpoint: Checkpoint, cameras: Mapping[Slot, str], tokenizer: str) -> list[str]:
    """Return how lerobot's stock policy and processors differ from pi-sft, each with what to do about it.

    `cameras` is slot → lerobot's key, `tokenizer` what the tokenizer is loaded from.
    """
    model, fmt = checkpoint.model, checkpoint.format
    size, prompt = model.image_size, fmt.prompt
    notes = []
    if not checkpoint.published_size:
        notes.append(
            "Size: lerobot builds only the published dimensions (So400m/14, gemma_2b, gemma_300m), which this model "
            "does not have. config.json names no variant, so that lerobot refuses it: where shapes differ, it would "
            f"print a warning and continue with random weights. {OWN}"
        )
    if checkpoint.unknown_settings:
        keys = ", ".join(checkpoint.unknown_settings)
        notes.append(f"Format: {keys}: this export does not carry it over. {OWN}")
    if not cameras:
        notes.append(f"Cameras: the model has none, and lerobot's policy demands an image. {OWN}")
    for slot, key in cameras.items():
        if fmt.cameras[slot] != key:
            notes.append(f"Camera: give the dataset's `{fmt.cameras[slot]}` as `{key}` (lerobot's --rename_map).")
    if cameras:
        notes.append(
            f"Images: lerobot shrinks them without antialiasing. Give them at {size} × {size}, as "
            "pisft.data.transforms.images.resize_with_pad makes them."
        )
    if fmt.state != [Source(key="observation.state")]:
        notes.append(f"State: give `observation.state` as {_named(fmt.state)}.")
    if fmt.actions != [Source(key="action")]:
        notes.append(f"Actions: they are {_named(fmt.actions)}.")
    if fmt.delta_mask:
        notes.append(
            "Relative actions: select_action adds the state of the step that an action is executed in, not of the "
            "step its chunk was inferred in; therefore n_action_steps is 1. To execute more of a chunk, take `act` "
            "above, which post-processes it as a whole."
        )
    if not prompt.from_task:
        notes.append(f"Prompt: it is always {prompt.default!r}; give that as `task`.")
    elif prompt.default is not None:
        notes.append(f"Prompt: where there is no task, give {prompt.default!r} as `task`.")
    if model.tokenizer.kind == "bytes":
        notes.append(
            f"Tokenizer: the pipeline looks for `{tokenizer}` from the working directory, since lerobot knows no path "
            "relative to the folder. Elsewhere, override tokenizer_name as above."
        )
    else:
        notes.append(
            f"Tokenizer: lerobot fetches {tokenizer}, which is gated: accept its licence on the hub and run "
            "`hf auth login`, or override the tokenizer_name of tokenizer_processor with a folder that holds a copy."
        )
        if not fmt.discrete_state_input:
            notes.append(
                "Prompt: lerobot does not clean it. Give `task` stripped and with spaces for `_` and newlines, as "
                "pisft.data.transforms.format.clean_prompt makes it."
            )
    notes.append(f"Prompt: lerobot cuts one of more than {model.max_token_len} tokens, which pi-sft refuses.")
    return notes


def readme(name: str, checkpoint: Checkpoint, cameras: Mapping[Slot, str], notes: list[str]) -> str:
    """Return README.md for the export of experiment `name`; its Python code runs as it is."""
    variant, size, horizon = checkpoint.model.variant, checkpoint.model.image_size, checkpoint.model.action_horizon
    state_dim, action_dim = len(checkpoint.stats.state.mean), len(checkpoint.stats.actions.mean)
    policy = {"pi0": "PI0Policy", "pi05": "PI05Policy"}[variant]
    overrides = ['"device_processor": {"device": policy.config.device},']
    if checkpoint.model.tokenizer.kind == "bytes":
        overrides.append('"tokenizer_processor": {"tokenizer_name": f"{folder}/tokenizer"},')
    images = [
        f"- `{key}`: the image of slot {slot}, float32 (3, {size}, {size}) in [0, 1]" for slot, key in cameras.items()
    ]
    return f"""# {name}, for lerobot

Exported by pi-sft from `results/{name}/checkpoint/`; checked against lerobot 0.6.1.

```python
from lerobot.policies.factory import make_pre_post_processors
from lerobot.policies.{variant}.modeling_{variant} import {policy}

folder = "results/{name}/export/lerobot"
policy = {policy}.from_pretrained(folder)
preprocess, postprocess = make_pre_post_processors(
    policy.config,
    pretrained_path=folder,
    preprocessor_overrides={{
        {"\n        ".join(overrides)}
    }},
)


def act(observation, **kwargs):
    return postprocess(policy.predict_action_chunk(preprocess(observation), **kwargs))
```

`act` gives robot actions, float32 (1, {horizon}, {action_dim}), for an observation of

{"\n".join(images)}
- `observation.state`: float32 ({state_dim},), in the robot's units
- `task`: the instruction

## What stock lerobot does otherwise

{"\n".join(f"- {note}" for note in notes)}
"""


def _named(sources: list[Source]) -> str:
    parts = [f"`{s.key}`" + (f"[{s.dims[0]}:{s.dims[1]}]" if s.dims else "") for s in sources]
    return ", ".join(parts) + (" side by side" if len(parts) > 1 else "")
