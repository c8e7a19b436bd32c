rule train:
    input:
        stamp("train"),
        config=needs("train", "results/{exp}/config.json"),
        manifests=needs("train", "data/{dataset}/manifest.json"),
        norm_stats=needs("train", "results/{exp}/norm_stats.json"),
        base_weights=needs("train", "data/base/{model}/model.safetensors"),
        base_checkpoint=needs("train", "results/{base}/checkpoint.json"),
        frames=needs("train", "data/{view}/index.json"),
    output:
        update("results/{exp}/checkpoint.json"),
    log:
        "results/{exp}/logs/train.log",
    localrule: True  # it starts the job itself, on as many nodes as the experiment says
    threads: 64
    resources:
        accelerator=1,  # a token: on one machine, one job at a time uses its GPUs
        launcher="local",  # where the processes run; the profile slurm says "slurm"
    shell:
        "python scripts/train.py results/{wildcards.exp:q}/config.json --launcher {resources.launcher:q} 2>&1 | tee -i {log:q}"
