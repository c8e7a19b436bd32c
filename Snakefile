# pi-sft: dataset → norm_stats.json → checkpoint → eval.json → report, as files.
#   snakemake results/quickstart/report.html        on this machine
#   snakemake results/quickstart/eval.json --profile slurm


include: "rules/common.smk"
include: "rules/dataset.smk"
include: "rules/inspect.smk"
include: "rules/frames.smk"
include: "rules/config.smk"
include: "rules/norm_stats.smk"
include: "rules/convert.smk"
include: "rules/train.smk"
include: "rules/evaluate.smk"
include: "rules/report.smk"
include: "rules/export.smk"
include: "rules/paper.smk"
include: "rules/diff.smk"


rule all:
    default_target: True
    input:
        "results/quickstart/report.html",
