"""Begin one episode in a simulator, to find out what it lacks before a long run.

python tools/try_simulator.py libero

Installs the simulator's own environment, if it has one that is not installed yet. Prints what a policy would observe.
"""

import argparse

from pisft.cli import run
from pisft.config.files import load_simulator
from pisft.simulators.episodes import begin
from pisft.simulators.pool import Pool


def main() -> None:
    """Begin an episode of the simulator's first task and print its observation: keys, dtypes, shapes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("simulator", help="name of a file in config/simulators/, without .yaml")
    name = parser.parse_args().simulator
    config = load_simulator(name, ".", "the command line", "simulator")
    task, seed = next(iter(config.tasks)), min(seeds.first for seeds in config.seeds.values())
    with Pool(config, 1) as pool:
        seen = pool.run(begin, {0: (task, seed)})[0]
    print(f"{name}: {task}, seed {seed}: begins")
    for key, value in seen.items():
        print(f"  {key}: {value if isinstance(value, str) else f'{value.dtype} {value.shape}'}")


if __name__ == "__main__":
    run(main)
