rule norm_stats:
    input:
        unpack(ingredients("norm_stats")),
    output:
        update("results/{exp}/norm_stats.json"),
        update("results/{exp}/norm_stats.report.json"),
    log:
        "results/{exp}/logs/norm_stats.log",
    shell:
        "python scripts/norm_stats.py results/{wildcards.exp}/config.json 2>&1 | tee -i {log}"
