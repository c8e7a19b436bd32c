rule inspect:
    input:
        unpack(ingredients("inspection")),
    output:
        update("data/{dataset}/inspection.html"),
        update("data/{dataset}/inspection.yaml"),
    log:
        "data/{dataset}/logs/inspect.log",
    shell:
        "python scripts/inspect_dataset.py data/{wildcards.dataset:q}/lerobot 2>&1 | tee -i {log:q}"
