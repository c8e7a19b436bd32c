rule paper:
    input:
        unpack(ingredients("paper")),
    output:
        table=update("results/papers/{paper}/table.csv"),
        page=report(
            update("results/papers/{paper}/report.html"),
            caption="../workflow/report/paper.rst",
            category="Papers",
        ),
    log:
        "results/papers/{paper}/paper.log",
    localrule: True
    shell:
        "python scripts/paper.py {wildcards.paper:q} --write 2>&1 | tee -i {log:q}"


rule sweep:
    input:
        unpack(ingredients("sweep")),
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
