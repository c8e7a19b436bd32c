rule evaluate:
    input:
        stamp("evaluate"),
        config=needs("evaluate", "results/{exp}/config.json"),
        manifests=needs("evaluate", "data/{dataset}/manifest.json"),
        checkpoint=needs("evaluate", "results/{exp}/checkpoint.json"),
    output:
        update("results/{exp}/eval.json"),
    log:
        "results/{exp}/logs/evaluate.log",
    threads: 64
    resources:
        accelerator=1,
    shell:
        "python scripts/evaluate.py results/{wildcards.exp:q}/config.json --workers {threads} 2>&1 | tee -i {log:q}"
