# pi-sft: dataset → norm_stats.json → checkpoint → eval.json → report, as files.
#   snakemake results/quickstart/report.html        on this machine
#   snakemake results/quickstart/eval.json --profile slurm


include: "rules/common.smk"
include: "rules/make_dataset.smk"
include: "rules/inspect_dataset.smk"
include: "rules/make_frames.smk"
include: "rules/resolve.smk"
include: "rules/norm_stats.smk"
include: "rules/convert.smk"
include: "rules/train.smk"
include: "rules/evaluate.smk"
include: "rules/report.smk"
include: "rules/export_lerobot.smk"
include: "rules/export_openpi.smk"
include: "rules/paper.smk"
include: "rules/sweep.smk"
include: "rules/diff.smk"


rule all:
    default_target: True
    input:
        "results/quickstart/report.html",
