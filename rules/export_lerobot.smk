rule export_lerobot:
    input:
        stamp("export_lerobot"),
        config=needs("export_lerobot", "results/{exp}/config.json"),
        checkpoint=needs("export_lerobot", "results/{exp}/checkpoint.json"),
    output:
        update("results/{exp}/export/lerobot/config.json"),
    log:
        "results/{exp}/logs/export_lerobot.log",
    shell:
        "python scripts/export_lerobot.py results/{wildcards.exp:q}/config.json 2>&1 | tee -i {log:q}"
