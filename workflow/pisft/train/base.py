"""Where the weights lie that training starts from. Start from `base_path`."""

from pathlib import Path

from pisft.config.model import BaseWeights
from pisft.train.errors import TrainingError


def base_path(base: BaseWeights) -> Path:
    """The file or folder that `base` names; from the hub only model.safetensors is fetched, into its own cache."""
    if base.path is not None:
        return Path(base.path).expanduser()
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(hf_hub_download(base.repo, "model.safetensors", revision=base.revision))
    except (HfHubHTTPError, LocalEntryNotFoundError) as error:
        raise TrainingError(
            f"model.base: model.safetensors of {base.repo} at {base.revision} cannot be fetched: "
            f"{' '.join(str(error).split())[:300]}; log in with `hf auth login` if it is gated, or download it and "
            "name its folder as model.base.path"
        ) from error
