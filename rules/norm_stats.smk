rule norm_stats:
    input:
        unpack(ingredients("norm_stats")),
    output:
        update("results/{exp}/norm_stats.json"),
        update("results/{exp}/norm_stats.report.json"),
        report(
            update("results/{exp}/norm_stats.report.png"),
            caption="../workflow/report/norm_stats.rst",
            category="Statistics",
        ),
    log:
        "results/{exp}/logs/norm_stats.log",
    threads: 64
    shell:
        "python scripts/norm_stats.py results/{wildcards.exp:q}/config.json --workers {threads} 2>&1 | tee -i {log:q}"
