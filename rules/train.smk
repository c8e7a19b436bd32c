rule train:
    input:
        live=live("checkpoint"),
        config=ancient("results/{exp}/config.json"),
        norm_stats=ancient("results/{exp}/norm_stats.json"),
        datasets=ancient(datasets),
    output:
        update("results/{exp}/checkpoint.json"),
    log:
        "results/{exp}/logs/train.log",
    threads: 64
    resources:
        gpu=1,
    shell:
        "{PYTHON} scripts/train.py {input.config} 2>&1 | tee -i {log}"
