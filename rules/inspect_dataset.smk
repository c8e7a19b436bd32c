rule inspect_dataset:
    input:
        stamp("inspect_dataset"),
        manifest=needs("inspect_dataset", "data/{dataset}/manifest.json"),
    output:
        page=update("data/{dataset}/inspection.html"),
        format=update("data/{dataset}/inspection.yaml"),
    log:
        "data/{dataset}/logs/inspect_dataset.log",
    shell:
        "python scripts/inspect_dataset.py data/{wildcards.dataset:q}/lerobot 2>&1 | tee -i {log:q}"
