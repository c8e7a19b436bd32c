"""From a LeRobot dataset to model inputs, and from model outputs to robot actions."""

from pisft.data.errors import DataError
from pisft.data.transforms.format import Format

__all__ = ["DataError", "Format"]
