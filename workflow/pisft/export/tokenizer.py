"""Exports the `bytes` tokenizer in the Hugging Face format: start from `write_bytes_tokenizer`."""

from __future__ import annotations

from pathlib import Path

from pisft.canonical import write_json, write_text


def write_bytes_tokenizer(folder: Path, with_state: bool) -> None:
    """Write the `bytes` tokenizer to `folder` in the Hugging Face format.

    For π₀ (not `with_state`) it also cleans prompts and adds their newline; π₀.₅'s prompts arrive complete.
    """
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    alphabet = _byte_characters()
    vocabulary = {"<pad>": 0, "<bos>": 1} | {character: 2 + byte for byte, character in enumerate(alphabet)}
    newline = alphabet[ord("\n")]
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    if not with_state:
        cleaning = [normalizers.Strip(), normalizers.Replace("_", " "), normalizers.Replace("\n", " ")]
        tokenizer.normalizer = normalizers.Sequence(cleaning)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A" if with_state else f"<bos> $A {newline}",
        special_tokens=[("<bos>", 1), (newline, vocabulary[newline])],
    )
    folder.mkdir()
    write_text(folder / "tokenizer.json", tokenizer.to_str(pretty=True))
    write_json(
        folder / "tokenizer_config.json",
        {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "<pad>", "bos_token": "<bos>"},
    )


def _byte_characters() -> list[str]:
    """Return the character for each byte in byte-level vocabularies: itself if printable, else one from U+0100 on.

    Source: GPT-2's vocabulary, whose mapping is built into the `tokenizers` package.
    """
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    return [chr(byte) if byte in printable else chr(next(others)) for byte in range(256)]
