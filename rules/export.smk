rule export_lerobot:
    input:
        unpack(ingredients("export_lerobot")),
    output:
        update("results/{exp}/export/lerobot/config.json"),
    log:
        "results/{exp}/logs/export_lerobot.log",
    shell:
        "python scripts/export.py results/{wildcards.exp:q}/config.json --to lerobot 2>&1 | tee -i {log:q}"


rule export_openpi:
    input:
        unpack(ingredients("export_openpi")),
    output:
        update("results/{exp}/export/openpi/model.safetensors"),
    log:
        "results/{exp}/logs/export_openpi.log",
    shell:
        "python scripts/export.py results/{wildcards.exp:q}/config.json --to openpi 2>&1 | tee -i {log:q}"
