"""Optimisation, its logs, and the machines that it runs on."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, field_validator

from pisft.config.base import Strict
from pisft.config.ranges import numbers


class Train(Strict):
    """Optimisation; the defaults are openpi's."""

    steps: NonNegativeInt = Field(description="0 makes the base weights the checkpoint, as they are")
    global_batch_size: PositiveInt = 32
    flow_samples_per_prefix: PositiveInt = Field(1, description="noise and time draws that share a prefix pass")
    peak_lr: PositiveFloat = 2.5e-5
    end_lr: NonNegativeFloat = 2.5e-6
    warmup_steps: NonNegativeInt = 1000
    decay_steps: PositiveInt = 30000
    weight_decay: NonNegativeFloat = 1e-10
    clip_grad_norm: PositiveFloat = 1.0
    ema: float | None = Field(0.99, gt=0.0, lt=1.0, description="decay of the averaged weights; null for none")
    augment: bool = Field(False, description="openpi's crops, rotations and colours, drawn per sample")
    precision: Literal["fp32", "bf16"] = Field("bf16", description="of computing; trained weights are fp32 either way")
    deterministic: bool = Field(False, description="the same bits on every run on a GPU too; a CPU always gives them")
    seed: NonNegativeInt = 0
    threads: PositiveInt = Field(
        2,
        description="that compute on a CPU, of all processes of a machine, however many cores it has: how sums are "
        "split is part of the result",
    )
    log_every: PositiveInt = 50
    validate_every: PositiveInt = 1000
    save_every: PositiveInt = 1000
    keep_every: PositiveInt | None = Field(
        None, description="weights are saved every so many steps, in kept/step_<n>; null for none"
    )


class Logging(Strict):
    """Beside metrics.csv, which is always written."""

    tensorboard: bool = True
    wandb: Literal["off", "offline", "online"] = "off"
    profile_steps: tuple[NonNegativeInt, PositiveInt] | None = Field(
        default=None, description="[first, end]: a trace of these steps, in trace/"
    )

    @field_validator("wandb", mode="before")
    @classmethod
    def _yaml_off(cls, value):
        return "off" if value is False else value  # YAML 1.1 reads a bare `off` as false


class Cluster(Strict):
    """How, never what: no part of any key."""

    num_nodes: PositiveInt = 1
    gpus: PositiveInt | str = Field(
        default=1, description="GPUs of each node: a count, or numbers such as 0-3 or 0,2; without a GPU, processes"
    )
    micro_batch_size: PositiveInt | None = Field(
        default=None, description="samples that go through the model at once on each process; null for all of its share"
    )
    workers: PositiveInt | None = Field(
        default=None,
        description="threads of each process that make batches; null for up to four, as far as there are cores",
    )
    frame_store: bool = Field(
        default=True,
        description="decode a dataset's images once, to disk; false: as they are needed, which takes cores",
    )
    activation_checkpointing: bool = Field(
        default=False, description="recompute each block in the backward pass: less memory, more time"
    )
    shard: Literal["node", "all"] = Field(
        default="node",
        description="which processes divide the weights and the optimiser's state among them: those of each node, or "
        "of all nodes, which takes less memory and more exchange",
    )
    compile: bool | None = Field(default=None, description="torch.compile, layer by layer; null: on a GPU")

    @field_validator("gpus")
    @classmethod
    def _gpunumbers(cls, value):
        if isinstance(value, str):
            numbers(value)
        return value

    @property
    def gpus_per_node(self) -> int:
        """The number of processes on each node."""
        return self.gpus if isinstance(self.gpus, int) else len(numbers(self.gpus))

    def shards(self, processes: int, local: int) -> int:
        """How many of `processes`, `local` on each node, hold one copy of the weights together.

        By default those of a node (hybrid sharding): what a layer needs travels on the links within it, and between
        nodes each process exchanges its own shard's gradients only. With one process a node, all.
        """
        hybrid = self.shard == "node" and local > 1 and processes % local == 0
        return min(local, processes) if hybrid else processes

    @property
    def visible_gpus(self) -> str | None:
        """The value for CUDA_VISIBLE_DEVICES if `gpus` names GPUs, else None."""
        return None if isinstance(self.gpus, int) else ",".join(map(str, numbers(self.gpus)))
