rule report:
    input:
        live=live("report"),
        config=ancient("results/{exp}/config.json"),
        norm_stats=ancient("results/{exp}/norm_stats.json"),
        checkpoint=ancient("results/{exp}/checkpoint.json"),
        eval=ancient("results/{exp}/eval.json"),
    output:
        report(
            update("results/{exp}/report.html"),
            caption="../workflow/report/experiment.rst",
            category="Experiments",
        ),
    log:
        "results/{exp}/logs/report.log",
    shell:
        "{PYTHON} scripts/report.py {input.config} 2>&1 | tee -i {log}"
