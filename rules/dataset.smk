rule dataset:
    input:
        unpack(ingredients("dataset")),
    output:
        update("data/{dataset}/manifest.json"),
    log:
        "data/{dataset}/logs/dataset.log",
    threads: 8
    shell:
        "python scripts/make_dataset.py {wildcards.dataset:q} --workers {threads} 2>&1 | tee -i {log:q}"
