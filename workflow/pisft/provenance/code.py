"""The code that a stage's result depends on. Start from `code_hashes(script)`.

A hash of every file of `pisft` that its script imports, however indirectly; of the packages in `IN_PARTS`, which all
stages share, of each function, class and constant that those files use, however indirectly. Of a configuration's type,
its methods and class variables count: its fields, and the validators that check them, show in the resolved values,
which have their own place in a key. What else is left out stands in `LEFT_OUT`, with the reason.
"""

from __future__ import annotations

import ast
import hashlib
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pisft.provenance.symbols import imported, symbols, syntax_hash, tree

PACKAGE = Path(__file__).parents[1]
IN_PARTS = ("pisft.config", "pisft.provenance", "pisft.stages", "pisft.cluster")
READS = "it reads or checks configuration files; what comes of that shows in the resolved values"
WHERE = "it is about where a job runs"
LEFT_OUT = {
    "pisft.errors": "how an error is reported",
    "pisft.cli": "a script's arguments, and how its errors are reported",
    "pisft.process": "which process this is, and when it ends",
    "pisft.lease": "who may write",
    "pisft.report.health": "the figure of the statistics' health: no number is made from it",
    "pisft.config.base": READS,
    "pisft.config.document": READS,
    "pisft.config.site": WHERE,
    "pisft.config.files": READS,
    "pisft.config.resolution": READS,
    "pisft.config.checks": READS,
    "pisft.config.paper:load_paper": READS,
    "pisft.config.simulators:AnySimulator": "of a stage's own simulator, the type is given to `code_hashes`",
    "pisft.cluster.launch:train_in_job": WHERE,
    "pisft.slurm": WHERE,
    "pisft.stages": "it says what a key holds and where files lie, which shows in the key",
    "pisft.provenance": "it computes a key or keeps a record",
}
# Imported name → package, of those whose change may change a result; of others, only how it is reported.
PACKAGES_THAT_MATTER = {
    "PIL": "pillow",
    "av": "av",
    "lerobot": "lerobot",
    "numpy": "numpy",
    "peft": "peft",
    "scipy": "scipy",
    "sentencepiece": "sentencepiece",
    "tokenizers": "tokenizers",
    "torch": "torch",
    "transformers": "transformers",
}
DATA_SUFFIXES = frozenset({".css", ".html", ".j2", ".js", ".json"})


def code_hashes(script: Path, *implied: str) -> dict[str, str]:
    """sha256 of `script` (as `scripts/<name>`), of each file of the package in its import closure, by path, and of each
    part of `IN_PARTS` that those use, as `<path>:<name>`.

    `implied` are modules that it imports by a name which only its arguments tell, and types (`module:class`) whose
    values it is given.
    """
    hashes, _ = _closure(script.resolve(), implied)
    return dict(sorted(hashes.items()))


def package_versions(script: Path) -> dict[str, str]:
    """Installed versions of the packages that matter among those that the closure of `script` imports."""
    _, external = _closure(script.resolve(), ())
    versions = {}
    for name in sorted(PACKAGES_THAT_MATTER[module] for module in external & PACKAGES_THAT_MATTER.keys()):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "absent"
    return versions


def of_simulator(simulator: Any) -> tuple[str, str]:
    """What a stage that runs `simulator` implies: the module that does, and the type of its configuration."""
    kind = type(simulator)
    return simulator.implementation.partition(":")[0], f"{kind.__module__}:{kind.__qualname__}"


@cache
def _closure(script: Path, implied: tuple[str, ...]) -> tuple[dict[str, str], frozenset[str]]:
    hashes = {f"scripts/{script.name}": _file_hash(script)}
    external: set[str] = set()
    queue = [*_imports(script, None)]
    queue += [(module, name or None) for module, _, name in (one.partition(":") for one in implied)]
    seen: set[tuple[str, str | None]] = set()
    while queue:
        module, name = one = queue.pop()
        if one in seen or is_left_out(module, name):
            continue
        seen.add(one)
        if module.split(".")[0] != "pisft":
            external.add(module.split(".")[0])
        elif name and _module_file(f"{module}.{name}"):
            queue.append((f"{module}.{name}", None))
            queue += [] if module.startswith(IN_PARTS) else [(module, None)]
        elif module.startswith(IN_PARTS):
            queue += _part(module, name, hashes)
        elif path := _module_file(module):
            hashes[_label(path)] = _file_hash(path)
            queue += [(module.rpartition(".")[0], None)] if "." in module else []
            queue += _imports(path, module)
            if path.name == "__init__.py":
                for data in sorted(path.parent.iterdir()):
                    if data.suffix in DATA_SUFFIXES:
                        hashes[_label(data)] = hashlib.sha256(data.read_bytes()).hexdigest()
    return hashes, frozenset(external)


def is_left_out(module: str, name: str | None) -> bool:
    """Whether the module, a package that it is in, or `name` in it stands in `LEFT_OUT`."""
    parts = module.split(".")
    packages = (".".join(parts[:count]) for count in range(1, len(parts) + 1))
    return f"{module}:{name}" in LEFT_OUT or any(package in LEFT_OUT for package in packages)


def _part(module: str, name: str | None, hashes: dict[str, str]) -> list[tuple[str, str | None]]:
    """Hash what `name` is in `module` into `hashes`; what that uses. None for `name` stands for all that is there."""
    path = _module_file(module)
    if path is None:
        return []
    content = symbols(path, module)
    if name is None:
        return [(module, each) for each in content.symbols]
    if name in content.aliases:
        return [content.aliases[name]]
    if name not in content.symbols:
        return []
    symbol = content.symbols[name]
    hashes[f"{_label(path)}:{name}"] = symbol.sha256
    used: list[tuple[str, str | None]] = [(module, ""), *symbol.imports]
    for each in symbol.names:
        first, attribute = each if isinstance(each, tuple) else (each, None)
        if first in content.symbols:
            used.append((module, first))
        elif first in content.aliases:
            base, inner = content.aliases[first]
            whole = f"{base}.{inner}" if inner else base
            used.append((whole, attribute) if attribute and _module_file(whole) else (base, inner))
    return used


def _label(path: Path) -> str:
    return f"pisft/{path.relative_to(PACKAGE).as_posix()}"


@cache
def _module_file(name: str) -> Path | None:
    base = PACKAGE.parent.joinpath(*name.split("."))
    if (base / "__init__.py").is_file():
        return base / "__init__.py"
    path = base.with_suffix(".py")
    return path if path.is_file() else None


@cache
def _file_hash(path: Path) -> str:
    return syntax_hash(tree(path))


@cache
def _imports(path: Path, module: str | None) -> set[tuple[str, str | None]]:
    """(module, name) of all that may be imported anywhere in the file, lazily inside functions too."""
    nodes = (node for node in ast.walk(tree(path)) if isinstance(node, ast.Import | ast.ImportFrom))
    return {target for node in nodes for _, target in imported(node, module, path)}
