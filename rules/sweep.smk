rule sweep:
    input:
        stamp("sweep"),
        evaluations=needs("sweep", "results/{exp}/eval.json"),
    output:
        table=report(
            update("results/sweeps/{sweep}/table.csv"),
            caption="../workflow/report/sweep.rst",
            category="Sweeps",
        ),
        runs=update("results/sweeps/{sweep}/runs.csv"),
    log:
        "results/sweeps/{sweep}/sweep.log",
    localrule: True
    shell:
        "python scripts/sweep.py {wildcards.sweep:q} 2>&1 | tee -i {log:q}"
