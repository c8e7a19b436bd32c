"""π₀ and π₀.₅ in one file: a vision-language-action model with a flow-matching action head.

- One class for both variants; `ModelConfig` sets the variant and every dimension.
- A prefix (image and prompt tokens) attends to itself, and a suffix ([state and] noisy actions) attends to both. Two
  Gemma experts, one for each, share every attention layer.
- Camera slots and padding tokens that no sample of a batch uses can be left out, and then cost nothing.
- Several draws of noise and time share one prefix pass.
- In the last layer, the prefix side computes only the keys and values that the suffix reads.

Start from `Pi0(config)`, `flow_loss` and `sample_actions`. Reference: openpi's models/pi0.py, gemma.py and siglip.py
(JAX). B samples, K draws a sample, P prefix and S suffix tokens, H action horizon, A padded action width.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pisft.config.model import ModelConfig, StackConfig, VisionConfig

EPS = 1e-6
ROPE_BASE = 10_000.0
MIN_PERIOD, MAX_PERIOD = 4e-3, 4.0


@dataclass(frozen=True)
class Observation:
    """A policy's input; whoever makes it leaves out slots and tokens that no sample of the batch uses."""

    images: dict[str, Tensor]  # slot → (B, 3, H, W), float in [−1, 1]; uint8 until `to`
    image_masks: dict[str, Tensor]  # slot → (B,), bool
    state: Tensor  # (B, A)
    tokens: Tensor  # (B, L), int64
    token_mask: Tensor  # (B, L), bool

    def to(self, device: torch.device | str) -> Observation:
        """Return the observation on `device`; uint8 images are scaled to [−1, 1] there, since bytes transfer faster."""
        return Observation(
            images={slot: _scaled(x.to(device, non_blocking=True)) for slot, x in self.images.items()},
            image_masks={slot: x.to(device, non_blocking=True) for slot, x in self.image_masks.items()},
            state=self.state.to(device, non_blocking=True),
            tokens=self.tokens.to(device, non_blocking=True),
            token_mask=self.token_mask.to(device, non_blocking=True),
        )

    def pin_memory(self) -> Observation:
        """Return the observation in pinned memory, from which a GPU can copy asynchronously."""
        return Observation(
            images={slot: x.pin_memory() for slot, x in self.images.items()},
            image_masks={slot: x.pin_memory() for slot, x in self.image_masks.items()},
            state=self.state.pin_memory(),
            tokens=self.tokens.pin_memory(),
            token_mask=self.token_mask.pin_memory(),
        )


def _scaled(pixels: Tensor) -> Tensor:
    if pixels.dtype != torch.uint8:
        return pixels
    if pixels.is_cuda:
        return pixels.float().div_(pixels.new_full((), 127.5, dtype=torch.float32)).sub_(1)
    # by numpy, since torch's threads would wait for each other on busy cores
    scaled = np.divide(pixels.numpy(), np.float32(127.5), dtype=np.float32)
    scaled -= 1
    return torch.from_numpy(scaled)


class Pi0(nn.Module):
    """The model; weights are drawn from torch's global generator, which callers seed before."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.config = config
        width = config.expert.width
        self.vision = Vision(config.vision, config.image_size)
        self.projector = nn.Linear(config.vision.width, config.vlm.width)
        self.embed_tokens = nn.Embedding(config.vocab_size, config.vlm.width)
        self.layers = nn.ModuleList(Block(config, last=i == config.depth - 1) for i in range(config.depth))
        self.vlm_norm = RMSNorm(config.vlm.width)
        self.expert_norm = _expert_norm(config)
        self.action_in_proj = nn.Linear(config.action_dim, width)
        self.action_out_proj = nn.Linear(width, config.action_dim)
        if config.variant == "pi0":
            self.state_proj = nn.Linear(config.action_dim, width)
            self.action_time_mlp_in = nn.Linear(2 * width, width)
            self.action_time_mlp_out = nn.Linear(width, width)
        else:
            self.time_mlp_in = nn.Linear(width, width)
            self.time_mlp_out = nn.Linear(width, width)
        self._initialise()
        # Nothing reads the prefix after the last layer, so these get no gradient and no optimiser state; they exist
        # because the file layouts include them.
        for module in (self.vlm_norm, *cast(Block, self.layers[-1]).unused()):
            module.requires_grad_(False)

    def flow_loss(self, obs: Observation, actions: Tensor, noise: Tensor, time: Tensor) -> Tensor:
        """Return the squared error of the velocity, not reduced.

        `actions` (B, H, A), `noise` (B, K, H, A) and `time` (B, K) in (0, 1] give (B, K, H, A); without K in both,
        (B, H, A). x_t = t·noise + (1 − t)·actions, whose velocity is noise − actions.
        """
        single = noise.ndim == 3
        if single:
            noise, time = noise[:, None], time[:, None]
        actions = actions[:, None]
        t = time[..., None, None]
        velocity = self.velocity(obs, t * noise + (1 - t) * actions, time)
        loss = (velocity.float() - (noise - actions)).square()
        return loss[:, 0] if single else loss

    def velocity(self, obs: Observation, x_t: Tensor, time: Tensor) -> Tensor:
        """Return v_t (B, K, H, A) at noisy actions `x_t` (B, K, H, A) and times `time` (B, K)."""
        prefix, mask = self.embed_prefix(obs)
        suffix, cond = self.embed_suffix(obs.state, x_t, time)
        B, K, S, W = suffix.shape
        rope, suffix_rope = self._ropes(mask, K, S)
        prefix_mask, suffix_mask = self._masks(mask, K, S, prefix.dtype)
        suffix = suffix.reshape(B, K * S, W)
        for layer in self.layers:
            prefix, suffix = layer(prefix, suffix, cond, rope, suffix_rope, prefix_mask, suffix_mask)
        return self._project_out(suffix, cond, K)

    def sample_actions(self, obs: Observation, noise: Tensor, num_steps: int = 10) -> Tensor:
        """Return actions (B, H, A) by Euler steps from `noise` (B, H, A) at t = 1 to t = 0, with one prefix pass."""
        prefix, mask = self.embed_prefix(obs)
        S = self.config.action_horizon + (self.config.variant == "pi0")
        rope, suffix_rope = self._ropes(mask, 1, S)
        prefix_mask, suffix_mask = self._masks(mask, 1, S, prefix.dtype)
        cache, layers = [], cast(list[Block], self.layers)
        for layer in layers:
            prefix, kv = layer.encode(prefix, rope, prefix_mask)
            cache.append(kv)
        x_t, time, dt = noise, torch.ones_like(noise[:, :1, 0]), -1.0 / num_steps
        for _ in range(num_steps):
            suffix, cond = self.embed_suffix(obs.state, x_t[:, None], time)
            suffix = suffix[:, 0]
            for layer, kv in zip(layers, cache, strict=True):
                suffix = layer.decode(suffix, kv, cond, suffix_rope, suffix_mask)
            x_t = x_t + dt * self._project_out(suffix, cond, 1)[:, 0].float()
            time = time + dt  # accumulated in fp32 like the reference, since `sincos` amplifies the rounding
        return x_t

    def embed_prefix(self, obs: Observation) -> tuple[Tensor, Tensor]:
        """Return the tokens (B, P, vlm width) of all given slots, then of the prompt, and their mask (B, P); all images
        share one pass of the vision tower."""
        tokens, masks = [], []
        B = obs.tokens.shape[0]
        if obs.images:
            images = torch.cat(list(obs.images.values()))  # (slots · B, 3, H, W)
            features = self.projector(self.vision(images))
            n, patches = len(obs.images), features.shape[1]
            tokens.append(features.unflatten(0, (n, B)).transpose(0, 1).reshape(B, n * patches, -1))
            slot_masks = torch.stack([obs.image_masks[slot] for slot in obs.images], dim=1)  # (B, slots)
            masks.append(slot_masks.repeat_interleave(patches, dim=1))
        prompt = self.embed_tokens(obs.tokens) * math.sqrt(self.config.vlm.width)
        tokens.append(prompt.to(tokens[0].dtype) if tokens else prompt)
        masks.append(obs.token_mask)
        return torch.cat(tokens, dim=1), torch.cat(masks, dim=1)

    def embed_suffix(self, state: Tensor, x_t: Tensor, time: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return tokens (B, K, S, expert width) and, for π₀.₅, the condition (B, K, expert width) of its norms."""
        actions = self.action_in_proj(x_t)
        embedded = sincos(time, self.config.expert.width).to(actions.dtype)
        if self.config.variant == "pi05":
            return actions, F.silu(self.time_mlp_out(F.silu(self.time_mlp_in(embedded))))
        both = torch.cat([actions, embedded[:, :, None].expand_as(actions)], dim=-1)
        actions = self.action_time_mlp_out(F.silu(self.action_time_mlp_in(both)))
        token = self.state_proj(state)[:, None, None].expand(-1, x_t.shape[1], -1, -1)
        return torch.cat([token, actions], dim=2), None

    def _project_out(self, suffix: Tensor, cond: Tensor | None, K: int) -> Tensor:
        suffix, _ = self.expert_norm(suffix, cond)
        suffix = suffix.unflatten(1, (K, -1))[:, :, -self.config.action_horizon :]
        return self.action_out_proj(suffix)

    def _ropes(self, mask: Tensor, K: int, S: int) -> tuple[Rope, Rope]:
        """Return the rotations of prefix and suffix; masked tokens take no position, and each draw starts anew."""
        positions = mask.cumsum(1) - 1  # (B, P)
        suffix = mask.sum(1, keepdim=True) + torch.arange(S, device=mask.device).repeat(K)  # (B, K · S)
        return rope(positions, self.config.head_dim), rope(suffix, self.config.head_dim)

    def _masks(self, mask: Tensor, K: int, S: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Return additive masks for the prefix (B, 1, 1, P) and for the suffix, for all heads that share a key
        (B, 1, group · K · S, P + K · S). Draws do not see each other, nor π₀'s state token the actions.

        Precomputed as additive floats: SDPA would convert a boolean mask again in every layer.
        """
        block = torch.ones(S, S, dtype=torch.bool, device=mask.device)
        if self.config.variant == "pi0":
            block[0, 1:] = False
        own = torch.block_diag(*[block] * K)  # (K · S, K · S)
        B, P = mask.shape
        rows = own.shape[0]
        suffix = torch.cat([mask[:, None].expand(B, rows, P), own.expand(B, rows, rows)], dim=2)[:, None]
        group = self.config.heads // self.config.kv_heads
        return _additive(mask[:, None, None], dtype), _additive(suffix, dtype).repeat(1, 1, group, 1)

    def _initialise(self) -> None:
        """Draw from openpi's distributions: LeCun normal for Gemma and the projections, Xavier uniform in SigLIP."""
        vision = {id(module) for module in self.vision.modules()}
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Conv2d):
                if id(module) in vision and isinstance(module, nn.Linear):
                    nn.init.xavier_uniform_(module.weight)
                else:
                    nn.init.normal_(module.weight, std=module.weight[0].numel() ** -0.5)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        for module in self.modules():
            if isinstance(module, AdaRMSNorm):
                nn.init.zeros_(module.dense.weight)
        nn.init.normal_(self.vision.position_embedding.weight, std=self.config.vision.width**-0.5)
        nn.init.normal_(self.embed_tokens.weight, std=self.config.vlm.width**-0.5)


class Block(nn.Module):
    """One joint layer over both experts."""

    def __init__(self, config: ModelConfig, last: bool):
        super().__init__()
        self.last = last
        self.vlm = Stream(config, config.vlm, RMSNorm(config.vlm.width), RMSNorm(config.vlm.width))
        self.expert = Stream(config, config.expert, _expert_norm(config), _expert_norm(config))

    def forward(
        self,
        prefix: Tensor,
        suffix: Tensor,
        cond: Tensor | None,
        prefix_rope: Rope,
        suffix_rope: Rope,
        prefix_mask: Tensor,
        suffix_mask: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Return prefix and suffix after this layer."""
        # the class's methods: this block's own may be compiled, or gather its weights, for themselves
        prefix, kv = Block.encode(self, prefix, prefix_rope, prefix_mask)
        return prefix, Block.decode(self, suffix, kv, cond, suffix_rope, suffix_mask)

    def encode(self, prefix: Tensor, rope: Rope, mask: Tensor) -> tuple[Tensor, KeysValues]:
        """Return the prefix after this layer, and its keys and values. The last layer leaves the prefix as it is."""
        x, _ = self.vlm.input_layernorm(prefix)
        k, v = self.vlm.keys_values(x, rope)
        if not self.last:
            q = self.vlm.queries(x, rope)
            prefix = self.vlm.finish(prefix, attend(q, k, v, mask), None, None)
        return prefix, (k, v)

    def decode(self, suffix: Tensor, kv: KeysValues, cond: Tensor | None, rope: Rope, mask: Tensor) -> Tensor:
        """Return the suffix after this layer; `kv` are the prefix's keys and values in it."""
        x, gate = self.expert.input_layernorm(suffix, cond)
        q = self.expert.queries(x, rope)
        own_k, own_v = self.expert.keys_values(x, rope)
        attended = attend(q, torch.cat([kv[0], own_k], 2), torch.cat([kv[1], own_v], 2), mask)
        return self.expert.finish(suffix, attended, gate, cond)

    def unused(self) -> list[nn.Module]:
        """Return the modules that the last layer does not use."""
        vlm = self.vlm
        return [vlm.q_proj, vlm.o_proj, vlm.post_attention_layernorm, vlm.gate_proj, vlm.up_proj, vlm.down_proj]


class Stream(nn.Module):
    """One expert's weights in a joint layer (Gemma: RMSNorm, grouped-query attention, gated tanh-GELU)."""

    def __init__(self, config: ModelConfig, stack: StackConfig, input_norm: nn.Module, post_norm: nn.Module):
        super().__init__()
        self.head_dim = config.head_dim
        inner, kv = config.heads * config.head_dim, config.kv_heads * config.head_dim
        self.input_layernorm = input_norm
        self.q_proj = nn.Linear(stack.width, inner, bias=False)
        self.k_proj = nn.Linear(stack.width, kv, bias=False)
        self.v_proj = nn.Linear(stack.width, kv, bias=False)
        self.o_proj = nn.Linear(inner, stack.width, bias=False)
        self.post_attention_layernorm = post_norm
        self.gate_proj = nn.Linear(stack.width, stack.mlp, bias=False)
        self.up_proj = nn.Linear(stack.width, stack.mlp, bias=False)
        self.down_proj = nn.Linear(stack.mlp, stack.width, bias=False)

    def queries(self, x: Tensor, rope: Rope) -> Tensor:
        """Return the queries (B, heads, n, head_dim)."""
        return rotate(self._heads(self.q_proj(x)), rope)

    def keys_values(self, x: Tensor, rope: Rope) -> tuple[Tensor, Tensor]:
        """Return the keys and values, each (B, kv_heads, n, head_dim)."""
        return rotate(self._heads(self.k_proj(x)), rope), self._heads(self.v_proj(x))

    def finish(self, x: Tensor, attended: Tensor, gate: Tensor | None, cond: Tensor | None) -> Tensor:
        """Apply the output projection and the MLP, each added to the residual stream."""
        x = _add(x, self.o_proj(attended), gate)
        y, gate = self.post_attention_layernorm(x, cond)
        y = self.down_proj(gelu(self.gate_proj(y)) * self.up_proj(y))
        return _add(x, y, gate)

    def _heads(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (-1, self.head_dim)).transpose(1, 2)


class RMSNorm(nn.Module):
    """x / rms(x) · (1 + weight), in fp32."""

    def __init__(self, width: int):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor, _cond: Tensor | None = None) -> tuple[Tensor, None]:
        """Return `x` (…, width) normalised, and no gate."""
        return F.rms_norm(x.float(), x.shape[-1:], 1 + self.weight.float(), EPS).to(x.dtype), None


class AdaRMSNorm(nn.Module):
    """π₀.₅: scale, shift and the residual's gate depend on time; `cond` (B, K, width), x (B, K · S, width)."""

    def __init__(self, width: int):
        super().__init__()
        self.dense = nn.Linear(width, 3 * width)

    def forward(self, x: Tensor, cond: Tensor) -> tuple[Tensor, Tensor]:
        """Return `x` normalised, scaled and shifted, in its shape, and the residual's gate (B, K, 1, width)."""
        scale, shift, gate = self.dense(cond)[:, :, None].chunk(3, dim=-1)  # each (B, K, 1, width)
        y = F.rms_norm(x.float(), x.shape[-1:], None, EPS).unflatten(1, (cond.shape[1], -1))
        y = y * (1 + scale) + shift
        return y.flatten(1, 2).to(x.dtype), gate


class Vision(nn.Module):
    """SigLIP without a head: (N, 3, H, W) in [−1, 1] to (N, patches, width)."""

    def __init__(self, config: VisionConfig, image_size: int):
        super().__init__()
        self.patch_embedding = nn.Conv2d(3, config.width, config.patch, config.patch)
        self.position_embedding = nn.Embedding((image_size // config.patch) ** 2, config.width)
        self.layers = nn.ModuleList(VisionLayer(config) for _ in range(config.depth))
        self.post_layernorm = nn.LayerNorm(config.width, EPS)

    def forward(self, images: Tensor) -> Tensor:
        """Encode images (N, 3, H, W) as (N, patches, width)."""
        # contiguous, since otherwise every layer inherits the convolution's strides, and copies or reads slowly
        x = self.patch_embedding(images).flatten(2).transpose(1, 2).contiguous()
        x = x + self.position_embedding.weight.to(x.dtype)
        for layer in self.layers:
            x = layer(x)
        return self.post_layernorm(x)


class VisionLayer(nn.Module):
    """A pre-norm transformer layer with biases and a tanh-GELU."""

    def __init__(self, config: VisionConfig):
        super().__init__()
        self.heads = config.heads
        self.layer_norm1 = nn.LayerNorm(config.width, EPS)
        self.q_proj = nn.Linear(config.width, config.width)
        self.k_proj = nn.Linear(config.width, config.width)
        self.v_proj = nn.Linear(config.width, config.width)
        self.out_proj = nn.Linear(config.width, config.width)
        self.layer_norm2 = nn.LayerNorm(config.width, EPS)
        self.fc1 = nn.Linear(config.width, config.mlp)
        self.fc2 = nn.Linear(config.mlp, config.width)

    def forward(self, x: Tensor) -> Tensor:
        """Apply attention and MLP to `x` (N, patches, width), each added to it."""
        y = self.layer_norm1(x)
        q, k, v = (
            p(y).unflatten(-1, (self.heads, -1)).transpose(1, 2) for p in (self.q_proj, self.k_proj, self.v_proj)
        )
        x = x + self.out_proj(attend(q, k, v, None))
        y = self.layer_norm2(x)
        return x + self.fc2(gelu(self.fc1(y)))


Rope = tuple[Tensor, Tensor]
KeysValues = tuple[Tensor, Tensor]  # each (B, kv_heads, P, head_dim)


def rope(positions: Tensor, head_dim: int) -> Rope:
    """Return cos and sin, each (B, 1, n, head_dim / 2) in fp32, for `positions` (B, n)."""
    exponent = torch.arange(0, head_dim, 2, device=positions.device, dtype=torch.float32) / head_dim
    angle = positions[:, None, :, None] / ROPE_BASE**exponent
    return angle.cos(), angle.sin()


def rotate(x: Tensor, rope: Rope) -> Tensor:
    """Apply the rotary embedding to x (B, heads, n, head_dim); the pairs are the two halves of the last dim."""
    cos, sin = rope
    a, b = x.float().chunk(2, dim=-1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], dim=-1).to(x.dtype)


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """Return softmax attention (B, n, heads · head_dim); k and v may have fewer heads than q.

    Heads that share a key become queries of one head, so that kernels without grouped-query attention work and nothing
    is repeated. So the additive `mask` is (B, 1, group · n or 1, keys).
    """
    B, heads, n, _ = q.shape
    group = heads // k.shape[1]
    q = q.unflatten(1, (-1, group)).flatten(2, 3)  # (B, kv heads, group · n, head_dim)
    out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    return out.view(B, heads, n, -1).transpose(1, 2).flatten(2)


def _additive(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """Return 0 where `mask` is true, −∞ elsewhere."""
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill(~mask, -math.inf)


def gelu(x: Tensor) -> Tensor:
    """Apply the tanh-GELU; compiled as x · σ(2z), whose exponential takes a fraction of a tanh's time on a CPU."""
    if torch.compiler.is_compiling():
        return x * torch.sigmoid(x * (1 + 0.044715 * x * x) * math.sqrt(8 / math.pi))
    return F.gelu(x, approximate="tanh")


def sincos(time: Tensor, width: int) -> Tensor:
    """Return the embedding (…, width) of times in [0, 1]: sines, then cosines, with periods from 4e-3 to 4.

    In fp32, as in the JAX model: the largest angles exceed 1,000, so that fp64 would differ visibly.
    """
    fraction = torch.linspace(0, 1, width // 2, device=time.device)
    period = MIN_PERIOD * (MAX_PERIOD / MIN_PERIOD) ** fraction
    angle = time.float()[..., None] * (1 / period * 2 * math.pi)
    return torch.cat([angle.sin(), angle.cos()], dim=-1)


def _expert_norm(config: ModelConfig) -> nn.Module:
    return AdaRMSNorm(config.expert.width) if config.variant == "pi05" else RMSNorm(config.expert.width)


def _add(x: Tensor, y: Tensor, gate: Tensor | None) -> Tensor:
    """Return x + y, or x + gate · y with `gate` (B, K, 1, width) for each draw."""
    if gate is None:
        return x + y
    return x + (y.unflatten(1, (gate.shape[1], -1)) * gate).flatten(1, 2)
