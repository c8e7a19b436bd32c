rule make_frames:
    input:
        stamp("make_frames"),
        manifest=needs("make_frames", "data/{dataset}/manifest.json"),
    output:
        update("data/{view}/index.json"),
    log:
        "data/{view}.log",
    threads: 16
    shell:
        "python scripts/make_frames.py data/{wildcards.view:q} --workers {threads} 2>&1 | tee -i {log:q}"
