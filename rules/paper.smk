rule paper:
    input:
        stamp("paper"),
        evaluations=needs("paper", "results/{exp}/eval.json"),
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
