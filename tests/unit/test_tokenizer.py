"""Prompts become openpi's token sequences, and a tokenizer that cannot be had says how to get it."""

import numpy as np
import pytest
from pisft.config.model import TokenizerConfig
from pisft.data import DataError
from pisft.data.transforms.tokenizer import load_tokenizer, state_bins


def bytes_tokenizer(max_token_len=200):
    return load_tokenizer(TokenizerConfig(kind="bytes"), max_token_len)


def text_of(ids):
    return bytes(i - 2 for i in ids[1:]).decode()


def test_a_pi0_prompt_is_bos_text_and_newline():
    ids = bytes_tokenizer().encode("é b")
    assert ids[0] == 1
    assert text_of(ids) == "é b\n"
    assert max(ids) < 258


def test_a_pi05_prompt_holds_the_state_as_bins():
    ids = bytes_tokenizer().encode("pick", np.array([-1.0, 0.0, 0.9999, 1.0, 5.0, -1.01]))
    assert text_of(ids) == "Task: pick, State: 0 128 255 255 255 -1;\nAction: "


def test_bins_are_the_definition():
    values = np.random.default_rng(0).normal(size=50)
    edges = np.linspace(-1, 1, 257)[:-1]
    assert state_bins(values) == [int((edges <= v).sum()) - 1 for v in values]


def test_a_prompt_that_is_too_long_names_itself_and_the_limit():
    assert len(bytes_tokenizer(8).encode("123456")) == 8
    with pytest.raises(DataError, match="the prompt '1234567' has 9 tokens; max_token_len is 8"):
        bytes_tokenizer(8).encode("1234567")


def test_a_missing_local_file_says_how_to_get_it(tmp_path):
    path = tmp_path / "paligemma_tokenizer.model"
    with pytest.raises(DataError, match=rf"{path}: there is no such file.*hf auth login"):
        load_tokenizer(TokenizerConfig(kind="paligemma", path=str(path)), 48)


def test_the_gated_tokenizer_says_how_to_get_it(monkeypatch, tmp_path):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(DataError, match=r"paligemma-3b-pt-224 cannot be fetched.*accept its licence"):
        load_tokenizer(TokenizerConfig(kind="paligemma"), 48)


def test_a_tokenizer_json_is_read_and_newline_is_tokenised_by_itself(tmp_path):
    from tokenizers import Tokenizer, models, normalizers

    pieces = ["<pad>", "<eos>", "<bos>", "<unk>", "a", "▁", "b", "\n", "b\n"]
    backend = Tokenizer(models.BPE({p: i for i, p in enumerate(pieces)}, [("b", "\n")], unk_token="<unk>"))
    backend.normalizer = normalizers.Replace(" ", "▁")
    backend.save(str(tmp_path / "tokenizer.json"))
    tokenizer = load_tokenizer(TokenizerConfig(kind="paligemma", path=str(tmp_path / "tokenizer.json")), 48)
    assert tokenizer.encode("a b") == [2, 4, 5, 6, 7]
    assert tokenizer.ids("b\n") == [8]


@pytest.mark.parametrize("content", ["{", '{"version": "1.0"}'])
def test_a_broken_tokenizer_json_is_named(tmp_path, content):
    path = tmp_path / "tokenizer.json"
    path.write_text(content)
    with pytest.raises(DataError, match=rf"{path}: is not a tokenizer.json"):
        load_tokenizer(TokenizerConfig(kind="paligemma", path=str(path)), 48)


def test_a_sentencepiece_file_without_its_package_says_what_to_install(tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "sentencepiece", None)
    path = tmp_path / "paligemma_tokenizer.model"
    path.write_bytes(b"")
    with pytest.raises(DataError, match="needs the package sentencepiece"):
        load_tokenizer(TokenizerConfig(kind="paligemma", path=str(path)), 48)


def test_a_sentencepiece_file_is_read(tmp_path):
    sentencepiece = pytest.importorskip("sentencepiece")
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("pick up the red block\nput the block down\n" * 20)
    sentencepiece.SentencePieceTrainer.train(
        input=str(corpus), model_prefix=str(tmp_path / "small"), vocab_size=300, model_type="bpe",
        pad_id=0, eos_id=1, bos_id=2, unk_id=3, byte_fallback=True, add_dummy_prefix=False,
        user_defined_symbols=["\n"], hard_vocab_limit=False,
    )  # fmt: skip
    processor = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "small.model"))
    tokenizer = load_tokenizer(TokenizerConfig(kind="paligemma", path=str(tmp_path / "small.model")), 48)
    text = "pick the block"
    assert tokenizer.encode(text) == processor.encode(text, add_bos=True) + processor.encode("\n")
    whole = "Task: pick, State: 128;\nAction: "
    assert tokenizer.encode("pick", np.zeros(1)) == processor.encode(whole, add_bos=True)
