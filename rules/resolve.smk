rule resolve:
    input:
        stamp("resolve"),
    output:
        update("results/{exp}/config.json"),
    log:
        "results/{exp}/logs/resolve.log",
    localrule: True
    shell:
        "python scripts/resolve.py {wildcards.exp:q} 2>&1 | tee -i {log:q}"
