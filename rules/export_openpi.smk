rule export_openpi:
    input:
        stamp("export_openpi"),
        config=needs("export_openpi", "results/{exp}/config.json"),
        checkpoint=needs("export_openpi", "results/{exp}/checkpoint.json"),
    output:
        update("results/{exp}/export/openpi/model.safetensors"),
    log:
        "results/{exp}/logs/export_openpi.log",
    shell:
        "python scripts/export_openpi.py results/{wildcards.exp:q}/config.json 2>&1 | tee -i {log:q}"
