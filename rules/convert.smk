rule convert:
    input:
        stamp("convert"),
    output:
        update("data/base/{model}/model.safetensors"),
    log:
        "data/base/{model}/logs/convert.log",
    threads: 8
    shell:
        "python scripts/convert.py {wildcards.model:q} 2>&1 | tee -i {log:q}"
