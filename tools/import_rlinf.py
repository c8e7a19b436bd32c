"""Write an experiment from an RLinf configuration of supervised fine-tuning, and report what became of each key.

python tools/import_rlinf.py RLinf/examples/sft/config/libero_sft_openpi.yaml --name my_libero
python tools/import_rlinf.py their.yaml data.train_data_paths=~/datasets/mine runner.max_steps=5000

The file may be followed by Hydra's overrides, as RLinf's train_vla_sft.py takes them: see docs/import_rlinf.md.
"""

import argparse
from pathlib import Path

from pisft.canonical import write_text
from pisft.cli import run
from pisft.config import ConfigError
from pisft.rlinf.experiment import check, translate
from pisft.rlinf.vocabulary import table


def main() -> None:
    """Write the experiment and print what became of each key; raises `ConfigError` before overwriting other files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path, nargs="?", help="RLinf's YAML")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="what differs from it")
    parser.add_argument("--name", help="of the experiment; default: that of --out, or of RLinf's file")
    parser.add_argument("--out", type=Path, help="default: config/experiments/<name>.yaml")
    parser.add_argument("--force", action="store_true", help="overwrite files that exist")
    parser.add_argument("--vocabulary", action="store_true", help="print what is known of RLinf's keys, in Markdown")
    args = parser.parse_intermixed_args()
    if args.vocabulary:
        print(table(), end="")
        return
    if args.config is None:
        parser.error("the following arguments are required: config")
    if args.out and args.name not in (None, args.out.stem):
        parser.error(f"--name {args.name} is not the name of --out {args.out}; one of the two will do")

    result = translate(args.config, args.name or (args.out or args.config).stem, overrides=args.overrides)
    print(*result.lines, sep="\n")
    check(result)
    experiment = Path(f"config/experiments/{result.name}.yaml")
    files = {args.out if args.out and path == experiment else path: text for path, text in result.files.items()}
    for path, text in files.items():
        if path.exists() and path.read_text() != text and not args.force:
            raise ConfigError(f"{path}: exists and is another; nothing is written: give another --name, or --force")
    for path, text in files.items():
        write_text(path, text)
    print(f"written: {', '.join(map(str, files))}\nnext: snakemake results/{result.name}/checkpoint.json")


if __name__ == "__main__":
    run(main)
