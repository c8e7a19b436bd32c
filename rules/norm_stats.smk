rule norm_stats:
    input:
        live=live("norm_stats"),
        config=ancient("results/{exp}/config.json"),
        datasets=ancient(datasets),
    output:
        update("results/{exp}/norm_stats.json"),
        update("results/{exp}/norm_stats.report.json"),
    log:
        "results/{exp}/logs/norm_stats.log",
    shell:
        "{PYTHON} scripts/norm_stats.py {input.config} 2>&1 | tee -i {log}"
