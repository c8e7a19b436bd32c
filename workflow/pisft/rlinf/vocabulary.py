"""RLinf's keys: the table in docs/import_rlinf.md, and the keys that may be read.

Start from `VOCABULARY`. What RLinf's trainer does with a key was read in its code (rlinf/runners/sft_runner.py,
rlinf/hybrid_engines/fsdp, rlinf/models), not in the comments of its YAML files.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

How = Literal["carried", "translated", "checked", "left out"]


class Word(NamedTuple):
    """A key of RLinf's (`.*`: all below it), our key, and how the two differ."""

    theirs: str
    how: How
    ours: str
    remark: str


def _carried(theirs: str, ours: str, remark: str = "") -> Word:
    return Word(theirs, "carried", ours, remark)


def _translated(theirs: str, ours: str, remark: str = "") -> Word:
    return Word(theirs, "translated", ours, remark)


def _checked(theirs: str, expected: str) -> Word:
    return Word(theirs, "checked", "", expected)


def _left_out(theirs: str, reason: str) -> Word:
    return Word(theirs, "left out", "", reason)


VOCABULARY = [
    _checked("runner.task_type", "`sft`; anything else is refused"),
    _translated("runner.max_steps", "train.steps", "−1: by `max_epochs`"),
    _translated(
        "runner.max_epochs",
        "train.steps",
        "only without `max_steps`, and as steps: what an epoch was in RLinf when its recipes gave it alone. Where it "
        "is a pass over the dataset, give `runner.max_steps=<n>`",
    ),
    _translated(
        "runner.save_interval",
        "train.save_every",
        "states to resume from, of which two are kept; `train.keep_every` keeps weights for good. −1: the default",
    ),
    _translated("runner.val_check_interval", "train.validate_every", "−1: the default"),
    _carried("runner.log_interval", "train.log_every"),
    _translated(
        "runner.logger.logger_backends",
        "logging.tensorboard, logging.wandb",
        "`wandb` is online there, so here; there is no swanlab. `metrics.csv` is always written",
    ),
    _left_out("runner.logger.*", "everything lies in `results/<experiment>/`, and that is its name"),
    _left_out("runner.resume_dir", "the same command resumes where it was stopped"),
    _left_out("runner.early_stop.*", "`eval: {checkpoint: best}` takes the weights of the least val_loss"),
    _carried("cluster.num_nodes", "cluster.num_nodes"),
    _translated(
        "cluster.component_placement.*",
        "cluster.gpus",
        "the actor's; RLinf counts GPUs over all nodes, pi-sft per node. `all` is no number: set it by hand",
    ),
    _left_out("cluster.*", "which machines is a matter of `--profile slurm`"),
    _translated(
        "data.train_data_paths",
        "datasets",
        "a folder becomes `config/datasets/<name>.yaml`; a hub id needs a revision, `<org>/<name>@<commit or tag>`, "
        "unless a dataset of ours has it; a placeholder, as in RLinf's own files, stands for the dataset of the "
        "experiment that is called like the format. Of a list, RLinf's openpi loader reads the first entry only; here "
        "all are read",
    ),
    _translated("data.data_paths", "datasets", "its older name"),
    _translated("data.data_path", "datasets", "its oldest name"),
    _left_out("data.repo_id", "give the dataset's own folder as `data.train_data_paths`"),
    _translated("data.num_workers", "cluster.workers", "processes there, threads here. 0: the default"),
    _left_out("data.seed", "`train.seed` draws the order too"),
    _left_out("data.*", "for loaders that these formats do not need"),
    _carried("actor.micro_batch_size", "cluster.micro_batch_size", "memory only: the result does not depend on it"),
    _carried(
        "actor.global_batch_size",
        "train.global_batch_size",
        "a multiple of the processes; RLinf wants one of micro_batch_size · processes",
    ),
    _left_out("actor.eval_batch_size", "`eval.closed_loop.batch_size`"),
    _carried("actor.seed", "train.seed"),
    _carried("actor.optim.lr", "train.peak_lr"),
    _carried("actor.optim.weight_decay", "train.weight_decay", "0.01 where absent, as there"),
    _carried("actor.optim.clip_grad", "train.clip_grad_norm"),
    _translated(
        "actor.optim.lr_scheduler",
        "train.end_lr, train.decay_steps",
        "`constant` (and absent): end_lr = peak_lr. `openpi_cosine`, `cosine`: to min_lr at total_training_steps. "
        "`torch_constant`, `torch_cosine`: no warm-up. A warm-up starts at peak / (steps + 1), as `openpi_cosine`'s; "
        "those of `constant` and `cosine` start at 0 there",
    ),
    _translated("actor.optim.total_training_steps", "train.decay_steps", "of a cosine; the warm-up ratio is of it"),
    _translated("actor.optim.min_lr", "train.end_lr", "of a cosine; 0 where absent, as there"),
    _translated("actor.optim.min_lr_rate", "train.end_lr", "times the peak; goes before min_lr"),
    _translated("actor.optim.lr_warmup_steps", "train.warmup_steps", "absent or −1: by the ratio"),
    _translated("actor.optim.lr_warmup_steps_ratio", "train.warmup_steps", "0 where absent: no warm-up, as there"),
    _checked("actor.optim.num_cycles", "0.5"),
    _left_out("actor.optim.warmup_style", "nothing in RLinf reads it: `lr_scheduler` decides"),
    _checked("actor.optim.adam_beta1", "0.9"),
    _checked("actor.optim.adam_beta2", "0.95"),
    _checked("actor.optim.adam_eps", "1e-8"),
    _left_out("actor.optim.value_lr", "fine-tuning has no value head"),
    _left_out("actor.optim.critic_warmup_steps", "fine-tuning has no critic"),
    _translated(
        "actor.model.model_path",
        "model",
        "a folder with `model.safetensors` becomes `config/models/<name>.yaml`; a hub id needs a revision, "
        "`<org>/<name>@<commit>`; a placeholder stands for `pi0_base` or `pi05_base`. The names in it must be openpi's "
        "(`paligemma_with_expert.…`): of a checkpoint in RLinf's own layout (`llm.…`, `img.…`), take the one that it "
        "was converted from",
    ),
    _translated("actor.model.pi05", "model", "absent: by the name of the format"),
    _checked("actor.model.model_type", "openpi, openpi_rlinf or openpi_pytorch; anything else is refused"),
    _translated(
        "actor.model.precision",
        "train.precision",
        "where FSDP's `param_dtype` and `amp_autocast` say nothing; null is bf16. Trained weights are always fp32 here",
    ),
    _translated("actor.model.is_lora", "finetune", "`{method: lora, targets: rlinf}`"),
    _translated("actor.model.lora_rank", "finetune.rank, finetune.alpha", "one number for both; 32 is the preset's"),
    _translated("actor.model.lora_path", "finetune.adapter", "a folder in PEFT's format"),
    _left_out("actor.model.num_action_chunks", "how many actions are executed: `eval.closed_loop.replan_steps`"),
    _left_out("actor.model.action_dim", "the format's"),
    _left_out("actor.model.num_steps", "inference takes 10 steps of Euler"),
    _left_out("actor.model.use_proprio", "the format says what the policy sees of the state"),
    _left_out("actor.model.add_value_head", "fine-tuning has no value head"),
    _translated(
        "actor.model.openpi.config_name",
        "format",
        "the file of that name in `config/formats/`. What RLinf's registry says under it on training, nothing reads",
    ),
    _checked("actor.model.openpi.task", "`sft`: only RLinf's own π₀ has it"),
    _translated(
        "actor.model.openpi.train_expert_only",
        "finetune.freeze",
        "true: `[vision, vlm]`, unless `task: sft`, under which RLinf does not read it. RLinf's template `model/pi0_5` "
        "says true, as `model/pi0` did until January 2026",
    ),
    _checked("actor.model.openpi.action_horizon", "the format's"),
    _checked("actor.model.openpi.discrete_state_input", "the format's"),
    _checked("actor.model.openpi.num_images_in_input", "the number of the format's cameras"),
    _translated("actor.model.openpi.max_token_len", "model", "in `config/models/`, where it is not the base's"),
    _translated("actor.model.openpi.model_action_dim", "model", "in `config/models/`, where it is not the base's"),
    _checked("actor.model.openpi.paligemma_variant", "gemma_2b"),
    _checked("actor.model.openpi.action_expert_variant", "gemma_300m"),
    _left_out("actor.model.openpi.assets_dir", "statistics are computed from the dataset"),
    _left_out("actor.model.openpi.asset_id", "statistics are computed from the dataset"),
    _left_out("actor.model.openpi.use_rlt", "RL tokens are no part of π₀ here"),
    _left_out("actor.model.openpi.*", "noise, critics and rollouts of reinforcement learning"),
    _left_out(
        "actor.model.openpi_data.norm_stats_path",
        "statistics are computed from the dataset; `norm_stats: {from: base}` takes those beside the base weights",
    ),
    _left_out("actor.model.openpi_data.default_prompt", "`prompt: {default: …}` in a copy of the format"),
    _left_out("actor.model.openpi_data.*", "a copy of the format is where data is described"),
    _carried("actor.fsdp_config.gradient_checkpointing", "cluster.activation_checkpointing"),
    _translated("actor.fsdp_config.mixed_precision.param_dtype", "train.precision", "goes before `model.precision`"),
    _translated("actor.fsdp_config.amp_autocast.precision", "train.precision", "where `amp_autocast.enabled`"),
    _left_out("actor.fsdp_config.*", "FSDP2 by blocks, fp32 masters and reduction; one process needs none"),
    _left_out("actor.training_backend", "FSDP2 always"),
    _left_out("actor.group_name", "there are no worker groups"),
    _left_out("actor.enable_offload", "nothing shares the GPU with training"),
    _left_out("algorithm.*", "reinforcement learning"),
    _left_out("reward.*", "reinforcement learning"),
    _left_out("critic.*", "reinforcement learning"),
    _left_out("rollout.*", "reinforcement learning"),
    _left_out("env.*", "rollouts: `eval.closed_loop`"),
    _left_out("hydra.*", "Hydra's own"),
]
WORDS = {word.theirs: word for word in VOCABULARY}


def table() -> str:
    """Return the vocabulary as a Markdown table."""
    rows = ["| RLinf | pi-sft | | |", "|---|---|---|---|"]
    for theirs, how, ours, remark in VOCABULARY:
        names = ", ".join(f"`{name}`" for name in ours.split(", ")) if ours else "–"
        rows.append(f"| `{theirs}` | {names} | {how} | {remark} |")
    return "\n".join(rows) + "\n"
