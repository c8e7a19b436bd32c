rule make_dataset:
    input:
        stamp("make_dataset"),
    output:
        update("data/{dataset}/manifest.json"),
    log:
        "data/{dataset}/logs/make_dataset.log",
    threads: 8
    shell:
        "python scripts/make_dataset.py {wildcards.dataset:q} --workers {threads} 2>&1 | tee -i {log:q}"
