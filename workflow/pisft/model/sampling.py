"""Chunks of a trained model at the device's speed. Start from `Sampler`.

On a GPU, weights of matrices are held in the compute precision, layers are compiled, and all that a chunk takes is one
CUDA graph for each shape (samples, cameras, prompt tokens): launching its thousands of kernels one by one takes longer
than computing them. On a CPU it is `Pi0.sample_actions`, as in training.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import fields
from typing import Any, Literal

import torch
from torch import Tensor, nn

from pisft.model.compiling import compile_blocks, wanted
from pisft.model.pi0 import Observation, Pi0

GRAPHS = 32  # shapes that are kept; each has its own inputs, and all share the memory between
Shape = tuple[object, ...]


class Sampler:
    """Samples chunks of `model`, which is changed for that and cannot be trained any more.

    Without `captures`, op by op on a GPU, too. `how` says which way it is.
    """

    def __init__(self, model: Pi0, precision: Literal["fp32", "bf16"] = "fp32", captures: bool = True):
        self.model, self.precision = model.eval(), precision
        self.device = next(model.parameters()).device
        self.captures = captures and self.device.type == "cuda"
        self.how = "op by op"
        self._graphs: dict[Shape, _Graph] = {}
        if precision == "bf16":
            narrow(model)
        if self.captures:
            self.how = "one CUDA graph for each shape"
            if wanted(None, self.device):
                compile_blocks(model)
                self.how += ", layers compiled"

    @torch.inference_mode()
    def __call__(self, obs: Observation, noise: Tensor, num_steps: int = 10) -> Tensor:
        """Return actions (B, H, A) on the device, from `noise` (B, H, A) in `num_steps` Euler steps.

        The first time that a shape is seen takes longer, since its graph is captured.
        """
        obs, noise = obs.to(self.device), noise.to(self.device)
        if not self.captures:
            return self._sample(obs, noise, num_steps)
        shape = (num_steps, tuple(noise.shape), *((name, tuple(x.shape)) for name, x in _tensors(obs)))
        if shape not in self._graphs:
            if len(self._graphs) == GRAPHS:
                del self._graphs[next(iter(self._graphs))]
            try:
                self._graphs[shape] = _Graph(lambda o, n: self._sample(o, n, num_steps), obs, noise)
            except RuntimeError as error:
                if isinstance(error, torch.cuda.OutOfMemoryError):
                    raise
                self.captures, self.how = False, "op by op, since no CUDA graph could be captured"
                print(f"{self.how}, and slower for it: {error}", file=sys.stderr)
                return self._sample(obs, noise, num_steps)
        return self._graphs[shape](obs, noise)

    @torch.inference_mode()
    def flow_loss(self, obs: Observation, actions: Tensor, noise: Tensor, time: Tensor) -> Tensor:
        """Return `Pi0.flow_loss` of inputs from any device."""
        with self._computing():
            return self.model.flow_loss(obs.to(self.device), *(x.to(self.device) for x in (actions, noise, time)))

    def _sample(self, obs: Observation, noise: Tensor, num_steps: int) -> Tensor:
        with self._computing():
            return self.model.sample_actions(obs, noise, num_steps)

    def _computing(self) -> torch.autocast:
        # without its cache: a graph would go on reading the copies of weights that another has freed
        enabled = self.precision == "bf16"
        return torch.autocast(self.device.type, torch.bfloat16, enabled=enabled, cache_enabled=False)


def narrow(model: nn.Module) -> None:
    """Hold in bf16 what autocast would round to bf16 at each use, so that results stay the same, bit for bit."""
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            module.bfloat16()


class _Graph:
    """What `function` launches for inputs of one shape, captured once and replayed on others of that shape."""

    pool: Any = None  # of the memory that all graphs share

    def __init__(self, function: Callable[[Observation, Tensor], Tensor], obs: Observation, noise: Tensor):
        self.obs, self.noise = _map(torch.clone, obs), noise.clone()
        # before a capture, compilation and the libraries' own set-up have to be done, on a stream beside the main one
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                function(self.obs, self.noise)
        torch.cuda.current_stream().wait_stream(stream)
        _Graph.pool = _Graph.pool or torch.cuda.graph_pool_handle()
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph, pool=_Graph.pool):
            self.actions = function(self.obs, self.noise)

    def __call__(self, obs: Observation, noise: Tensor) -> Tensor:
        for (_, held), (_, given) in zip(_tensors(self.obs), _tensors(obs), strict=True):
            held.copy_(given)
        self.noise.copy_(noise)
        self.graph.replay()
        return self.actions.clone()  # the next replay writes over it


def _tensors(obs: Observation) -> list[tuple[str, Tensor]]:
    found = []
    for field in fields(obs):
        value = getattr(obs, field.name)
        found += value.items() if isinstance(value, dict) else [(field.name, value)]
    return found


def _map(function: Callable[[Tensor], Tensor], obs: Observation) -> Observation:
    changed = {}
    for field in fields(obs):
        value = getattr(obs, field.name)
        changed[field.name] = {k: function(v) for k, v in value.items()} if isinstance(value, dict) else function(value)
    return Observation(**changed)
