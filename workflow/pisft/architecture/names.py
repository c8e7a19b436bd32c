"""The names of parameters: ours, and openpi's, which files have. Start from `file_name`."""

from __future__ import annotations

import re

VLM = "paligemma_with_expert.paligemma"
EXPERT = "paligemma_with_expert.gemma_expert"
VISION = f"{VLM}.model.vision_tower.vision_model"

# Our name → openpi's, by prefix; names that match no rule (the top-level projections) are the same in both.
RULES = [
    (r"vision\.(patch|position)_embedding\.", rf"{VISION}.embeddings.\1_embedding."),
    (r"vision\.layers\.(\d+)\.(q_proj|k_proj|v_proj|out_proj)\.", rf"{VISION}.encoder.layers.\1.self_attn.\2."),
    (r"vision\.layers\.(\d+)\.(fc1|fc2)\.", rf"{VISION}.encoder.layers.\1.mlp.\2."),
    (r"vision\.layers\.(\d+)\.", rf"{VISION}.encoder.layers.\1."),
    (r"vision\.post_layernorm\.", f"{VISION}.post_layernorm."),
    (r"projector\.", f"{VLM}.model.multi_modal_projector.linear."),
    (r"embed_tokens\.", f"{VLM}.lm_head."),
    (r"vlm_norm\.", f"{VLM}.model.language_model.norm."),
    (r"expert_norm\.", f"{EXPERT}.model.norm."),
    *(
        (rf"layers\.(\d+)\.{side}\.{names}\.", rf"{stack}.layers.\1.{group}\2.")
        for side, stack in (("vlm", f"{VLM}.model.language_model"), ("expert", f"{EXPERT}.model"))
        for names, group in (
            (r"(q_proj|k_proj|v_proj|o_proj)", "self_attn."),
            (r"(gate_proj|up_proj|down_proj)", "mlp."),
            (r"(input_layernorm|post_attention_layernorm)", ""),
        )
    ),
]
# In the files but unused: the expert has no vocabulary.
IGNORED = f"{EXPERT}.lm_head.weight"
EMBEDDING = f"{VLM}.model.language_model.embed_tokens.weight"


def file_name(ours: str) -> str:
    """Return openpi's name of our parameter `ours`."""
    for pattern, replacement in RULES:
        name, count = re.subn(rf"^{pattern}", replacement, ours)
        if count:
            return name
    return ours


EMBED = file_name("embed_tokens.weight")


def module_name(ours: str) -> str:
    """Return openpi's name of the module `ours` of `Pi0`."""
    return file_name(f"{ours}.").removesuffix(".")
