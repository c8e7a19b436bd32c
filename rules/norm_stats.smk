rule norm_stats:
    input:
        stamp("norm_stats"),
        config=needs("norm_stats", "results/{exp}/config.json"),
        manifests=needs("norm_stats", "data/{dataset}/manifest.json"),
        of_base_weights=needs("norm_stats", "results/{base}/norm_stats.json"),
    output:
        stats=update("results/{exp}/norm_stats.json"),
        health=update("results/{exp}/norm_stats.report.json"),
        figure=report(
            update("results/{exp}/norm_stats.report.png"),
            caption="../workflow/report/norm_stats.rst",
            category="Statistics",
        ),
    log:
        "results/{exp}/logs/norm_stats.log",
    threads: 64
    shell:
        "python scripts/norm_stats.py results/{wildcards.exp:q}/config.json --workers {threads} 2>&1 | tee -i {log:q}"
