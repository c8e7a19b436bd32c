rule diff:
    input:
        "results/{a}/checkpoint.json",
        "results/{a}/eval.json",
        "results/{b}/checkpoint.json",
        "results/{b}/eval.json",
    output:
        json="results/diff/{a}..{b}/diff.json",
        html=report(
            "results/diff/{a}..{b}/diff.html",
            caption="../workflow/report/diff.rst",
            category="Comparisons",
        ),
    log:
        "results/diff/{a}..{b}/diff.log",
    wildcard_constraints:
        a=r"[^/]+?",
        b=r"[^/]+",
    shell:
        "python scripts/diff.py {wildcards.a} {wildcards.b} --json {output.json} --html {output.html} --exit-zero"
        " 2>&1 | tee -i {log}"
