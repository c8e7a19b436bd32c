rule report:
    input:
        unpack(ingredients("report")),
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
