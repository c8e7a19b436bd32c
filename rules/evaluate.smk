rule evaluate:
    input:
        unpack(ingredients("eval")),
    output:
        update("results/{exp}/eval.json"),
    log:
        "results/{exp}/logs/evaluate.log",
    threads: 64
    resources:
        gpu=1,
    shell:
        "python scripts/evaluate.py results/{wildcards.exp:q}/config.json --workers {threads} 2>&1 | tee -i {log:q}"
