rule evaluate:
    input:
        live=live("eval"),
        config=ancient("results/{exp}/config.json"),
        checkpoint=ancient("results/{exp}/checkpoint.json"),
        datasets=ancient(datasets),
    output:
        update("results/{exp}/eval.json"),
    log:
        "results/{exp}/logs/evaluate.log",
    threads: 64
    resources:
        gpu=1,
    shell:
        "{PYTHON} scripts/evaluate.py {input.config} --workers {threads} 2>&1 | tee -i {log}"
