"""π₀ and π₀.₅. Start from `Pi0(ModelConfig.from_yaml(path))`."""

from pisft.arithmetic import on_cpu
from pisft.config.model import ModelConfig
from pisft.model import products
from pisft.model.pi0 import Observation, Pi0
from pisft.model.weights import WeightsError, load_weights, save_weights

__all__ = ["ModelConfig", "Observation", "Pi0", "WeightsError", "load_weights", "save_weights"]

if on_cpu() == "portable":
    products.replace()
