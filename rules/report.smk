rule report:
    input:
        stamp("report"),
        config=needs("report", "results/{exp}/config.json"),
        manifests=needs("report", "data/{dataset}/manifest.json"),
        norm_stats=needs("report", "results/{exp}/norm_stats.json"),
        checkpoint=needs("report", "results/{exp}/checkpoint.json"),
        evaluation=needs("report", "results/{exp}/eval.json"),
    output:
        report(
            update("results/{exp}/report.html"),
            caption="../workflow/report/experiment.rst",
            category="Experiments",
        ),
    log:
        "results/{exp}/logs/report.log",
    shell:
        "python scripts/report.py results/{wildcards.exp:q}/config.json 2>&1 | tee -i {log:q}"
