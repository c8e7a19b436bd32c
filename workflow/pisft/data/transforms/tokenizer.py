"""Turns prompts into token ids: start from `load_tokenizer(model.tokenizer, model.max_token_len)`.

Two kinds: `bytes`, one token a byte, for tiny models that work offline; `paligemma`, which published weights use.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import lru_cache
from pathlib import Path
from typing import override

import numpy as np

from pisft.config.model import TokenizerConfig
from pisft.data.errors import DataError
from pisft.data.sources.hub import fetch_file

PAD = 0  # pads on the right; the same id in both kinds
STATE_BINS = 256

PALIGEMMA_REPO = "google/paligemma-3b-pt-224"
HOW_TO_GET = (
    f"PaliGemma's tokenizer is gated: accept its licence at https://huggingface.co/{PALIGEMMA_REPO} and run "
    "`hf auth login`, or set tokenizer.path to a local paligemma_tokenizer.model (openpi's public copy: "
    "gs://big_vision/paligemma_tokenizer.model) or tokenizer.json"
)


class Tokenizer(ABC):
    """Text → ids, in the two prompt formats of openpi's `PaligemmaTokenizer`."""

    def __init__(self, max_token_len: int):
        self.max_token_len = max_token_len

    @abstractmethod
    def ids(self, text: str) -> list[int]:
        """Return the ids of a text, without BOS."""

    @property
    @abstractmethod
    def bos(self) -> int:
        """The id that begins every prompt."""

    def encode(self, prompt: str, state: np.ndarray | None = None) -> list[int]:
        """Return the ids of a clean prompt; raises `DataError` for more than `max_token_len`.

        Without `state` in π₀'s format, the text and a separately tokenised newline; with the normalised, unpadded state
        (S,) in π₀.₅'s, `Task: {text}, State: {bins};\\nAction: `.
        """
        if state is None:
            ids = [self.bos, *self.ids(prompt), *self.ids("\n")]
        else:
            bins = " ".join(map(str, state_bins(state)))
            ids = [self.bos, *self.ids(f"Task: {prompt}, State: {bins};\nAction: ")]
        if len(ids) > self.max_token_len:
            raise DataError(
                f"the prompt '{prompt}'{'' if state is None else ' with its state'} has {len(ids)} tokens; "
                f"max_token_len is {self.max_token_len}: raise it in config/models/, or shorten the prompt"
            )
        return ids


class BytesTokenizer(Tokenizer):
    """0 pads, 1 is BOS, 2 + b is the UTF-8 byte b: a vocabulary of 258."""

    @property
    @override
    def bos(self) -> int:
        return 1

    @override
    def ids(self, text: str) -> list[int]:
        return [2 + byte for byte in text.encode()]


class SentencePieceTokenizer(Tokenizer):
    """A SentencePiece file, read by the `sentencepiece` package."""

    def __init__(self, path: Path, max_token_len: int):
        super().__init__(max_token_len)
        try:
            import sentencepiece
        except ImportError:
            raise DataError(
                f"{path}: reading a SentencePiece file needs the package sentencepiece (`uv pip install "
                "sentencepiece`); a tokenizer.json of the same tokenizer works without it"
            ) from None
        try:
            self._processor = sentencepiece.SentencePieceProcessor(model_file=str(path))
        except (OSError, RuntimeError) as error:
            raise DataError(f"{path}: is not a SentencePiece model ({error}). {HOW_TO_GET}") from error

    @property
    @override
    def bos(self) -> int:
        return self._processor.bos_id()

    @override
    def ids(self, text: str) -> list[int]:
        return self._processor.encode(text)


class JsonTokenizer(Tokenizer):
    """A Hugging Face tokenizer.json, read by the `tokenizers` package."""

    def __init__(self, path: Path, max_token_len: int):
        super().__init__(max_token_len)
        from tokenizers import Tokenizer as Backend

        try:
            self._backend = Backend.from_file(str(path))
        except Exception as error:  # `tokenizers` raises plain Exception
            raise DataError(f"{path}: is not a tokenizer.json ({error}). {HOW_TO_GET}") from error
        if self._backend.token_to_id("<bos>") is None:
            raise DataError(f"{path}: has no token <bos>; expected PaliGemma's tokenizer. {HOW_TO_GET}")

    @property
    @override
    def bos(self) -> int:
        return self._backend.token_to_id("<bos>")

    @override
    def ids(self, text: str) -> list[int]:
        return self._backend.encode(text, add_special_tokens=False).ids


def state_bins(state: np.ndarray) -> list[int]:
    """Return the bin (of 256 in [-1, 1]) of each dim of a normalised state; below −1 is bin −1, above 1 is bin 255."""
    return (np.digitize(state, np.linspace(-1, 1, STATE_BINS + 1)[:-1]) - 1).tolist()


@lru_cache(maxsize=2)
def load_tokenizer(config: TokenizerConfig, max_token_len: int) -> Tokenizer:
    """Return the tokenizer that `config` names; raises `DataError` that says how to get it if it is not available."""
    if config.kind == "bytes":
        return BytesTokenizer(max_token_len)
    path = Path(config.path) if config.path is not None else _download()
    if not path.is_file():
        raise DataError(f"{path}: there is no such file, which tokenizer.path names. {HOW_TO_GET}")
    kind = JsonTokenizer if path.suffix == ".json" else SentencePieceTokenizer
    return kind(path, max_token_len)


def _download() -> Path:
    try:
        return fetch_file(PALIGEMMA_REPO, "tokenizer.json")
    except Exception as error:  # gated, offline or a mirror that is down: the same remedy for all
        raise DataError(
            f"tokenizer: {PALIGEMMA_REPO} cannot be fetched ({type(error).__name__}). {HOW_TO_GET}"
        ) from error
