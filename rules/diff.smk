rule diff:
    input:
        unpack(ingredients("diff")),
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
