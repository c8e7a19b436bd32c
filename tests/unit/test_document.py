"""YAML is read as plain values, or refused in one line: soon, and in little memory."""

import resource

import pytest
import yaml
from pisft.config.base import load_yaml
from pisft.config.document import ConfigError, parse_yaml
from pisft.rlinf.hydra import compose
from typed_project import ROOT

BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10)
)
MERGES = "a0: &a0 {x: 1}\n" + "".join(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}]}}\n" for n in range(1, 10))
REFUSED = {
    "aliases without end": (BOMB, "more than 100,000 values"),
    "merges without end": (MERGES, "more than 100,000 values"),
    "an alias of itself": ("a: &a {b: *a}", "nested in itself"),
    "deep lists": ("a: " + "[" * 100_000, "levels deep"),
    "deep mappings": ("{a: " * 500, "levels deep"),
    "deep, but whole": ("[" * 65 + "]" * 65, "levels deep"),
    "deep by indent": ("".join(" " * n + "a:\n" for n in range(400)), "levels deep"),
    "a long number": ("a: " + "1" * 5000, "too large"),
    "a long hexadecimal": ("a: 0x" + "f" * 100_000, "too large"),
    "a number beyond any key": (f"a: {2**64}", "too large"),
    "no date": ("a: 2024-99-99", "is no timestamp"),
    "no number": ("a: !!int x", "is no int"),
    "an empty number": ("a: !!int ''", "is no int"),
    "no truth": ("a: !!bool maybe", "is no bool"),
    "an unhashable key": ("? [a]\n: b", "unhashable"),
    "Python": ("a: !!python/object/apply:os.system [id]", "could not determine a constructor"),
    "an unknown tag": ("a: !new x", "could not determine a constructor"),
    "Latin-1": ("a: größe".encode("latin-1"), r"is not UTF-8 \(byte 6\)"),
    "a control character": ("a: \x07", "(special|control) characters are not allowed"),
    "two documents": ("a: 1\n---\nb: 2\n", "expected a single document"),
    "a megabyte too many": (b"#" * (2 << 20), "is longer than"),
    "a key twice": ("a: 1\nb: {c: 1}\na: 2\n", "f.yaml: a: is given twice, on lines 1 and 3; keep one of them"),
    "a key twice, below": ("a:\n  b: 1\n  c: 1\n  b: 2\n", "f.yaml: a.b: is given twice, on lines 2 and 4"),
    "a key twice, on a line": ("a: [{b: 1, b: 1}]", "f.yaml: a.0.b: is given twice, on lines 1 and 1"),
    "a key twice, quoted": ("a: 1\n'a': 1", "f.yaml: a: is given twice, on lines 1 and 2"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_configuration_is_refused_in_one_line(name):
    content, reason = REFUSED[name]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ConfigError, match=reason) as error:
        parse_yaml(content, "f.yaml")
    assert "\n" not in str(error.value) and len(str(error.value)) < 500
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000, "KiB"


def test_what_is_one_is_read_as_ever():
    files = sorted(ROOT.glob("config/**/*.yaml"))
    assert len(files) > 60
    assert all(load_yaml(path) == yaml.safe_load(path.read_text()) for path in files)
    text = "a: &a {x: 1, y: 2}\nb: {<<: *a, x: 3}\nc: [*a, *a]\nd: 0x1f\n1: true\n~: null\n'1': off\n"
    assert parse_yaml(text, "f.yaml") == yaml.safe_load(text)
    assert parse_yaml(b"", "f.yaml") is None and parse_yaml(b"\xef\xbb\xbfa: 1", "f.yaml") == {"a": 1}


@pytest.mark.parametrize(
    "lines",
    [
        ["v0: xxxxxxxxxx", *(f"v{n}: {f'${{v{n - 1}}}' * 10}" for n in range(1, 12))],
        ["v0: [1, 2]", *(f"v{n}: [{', '.join([f'"${{v{n - 1}}}"'] * 10)}]" for n in range(1, 12))],
        ["v0: 1", *(f"v{n}: {{a: '${{v{n - 1}}}', b: '${{v{n - 1}}}'}}" for n in range(1, 60))],
        ["v0: 1", *(f"v{n}: '${{v{n - 1}}}'" for n in range(1, 3000))],
        ["v0: 1", *(f"v{n}: {{a: ['${{v{n - 1}}}']}}" for n in range(1, 50))],
    ],
)
def test_interpolations_without_end_are_refused_in_one_line(tmp_path, lines):
    path = tmp_path / "theirs.yaml"
    path.write_text("\n".join(reversed(lines)))
    with pytest.raises(ConfigError, match="expand to more than") as error:
        compose(path)
    assert "\n" not in str(error.value) and len(str(error.value)) < 1000


def test_what_is_typed_after_an_rlinf_file_is_read_as_strictly(tmp_path):
    path = tmp_path / "theirs.yaml"
    path.write_text("a: 1")
    for value in ("{x: 1, x: 2}", "1" * 5000, "[" * 1000, "2024-99-99"):
        with pytest.raises(ConfigError, match=r"theirs\.yaml"):
            compose(path, [f"a={value}"])
