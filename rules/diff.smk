rule diff:
    input:
        stamp("diff"),
        configs=needs("diff", "results/{exp}/config.json"),
        norm_stats=needs("diff", "results/{exp}/norm_stats.json"),
        checkpoints=needs("diff", "results/{exp}/checkpoint.json"),
        evaluations=needs("diff", "results/{exp}/eval.json"),
    output:
        json=update("results/diff/{a}..{b}/diff.json"),
        html=report(
            update("results/diff/{a}..{b}/diff.html"),
            caption="../workflow/report/diff.rst",
            category="Comparisons",
        ),
    log:
        "results/diff/{a}..{b}/diff.log",
    wildcard_constraints:
        a=r"[^/]+?",
        b=r"[^/]+",
    shell:
        "python scripts/diff.py {wildcards.a:q} {wildcards.b:q} --write --exit-zero 2>&1 | tee -i {log:q}"
