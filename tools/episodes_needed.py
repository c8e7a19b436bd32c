"""Compute how many episodes two policies must run to distinguish their success rates by Fisher's exact test.

python tools/episodes_needed.py 0.90 0.95
python tools/episodes_needed.py 0.90 0.95 --power 0.9 --alpha 0.01
"""

import argparse

from pisft.cli import run
from pisft.errors import PisftError
from pisft.evaluate.intervals import episodes_needed, power


def rate(text: str) -> float:
    """Parse a rate from 0 to 1; raises `argparse.ArgumentTypeError`."""
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"found {text}; expected a rate from 0 to 1")
    return value


def main() -> None:
    """Print the episodes that each policy must run, and the power that they give."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rates", type=rate, nargs=2, help="the two success rates")
    parser.add_argument("--power", type=rate, default=0.8, help="probability of telling them apart (default: 0.8)")
    parser.add_argument("--alpha", type=rate, default=0.05, help="probability of telling equal ones apart (0.05)")
    args = parser.parse_args()
    try:
        episodes = episodes_needed(*args.rates, args.power, args.alpha)
    except ValueError as error:
        raise PisftError(str(error)) from None
    found = power(*args.rates, episodes, args.alpha)
    print(f"{episodes} episodes of each: power {found:.3f} at alpha {args.alpha:g}")


if __name__ == "__main__":
    run(main)
