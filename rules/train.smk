rule train:
    input:
        unpack(ingredients("checkpoint")),
    output:
        update("results/{exp}/checkpoint.json"),
    log:
        "results/{exp}/logs/train.log",
    localrule: True
    threads: 64
    resources:
        gpu=1,
        launcher="local",
    shell:
        "python scripts/train.py results/{wildcards.exp:q}/config.json --launcher {resources.launcher:q} 2>&1 | tee -i {log:q}"
