"""The code that a script's result depends on: a hash of every file of `pisft` that it imports, however indirectly.

Start from `code_hashes(script)`. The hash is over the syntax tree without docstrings, comments and layout, so that
only code that may act differently counts. `pisft.config`, `pisft.provenance` and `pisft.errors` are left out: what
configuration code does shows in the resolved values, which have their own place in a key. So are the picture of the
statistics' health and where a job runs: no number depends on them.
"""

from __future__ import annotations

import ast
import hashlib
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
LEFT_OUT = ("pisft.config", "pisft.provenance", "pisft.errors", "pisft.cli", "pisft.cluster", "pisft.report.health")
# Imported name → package, of those whose change may change a result; of others, only how it is told.
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


def code_hashes(script: Path, *modules: str) -> dict[str, str]:
    """sha256 of `script` (as `scripts/<name>`) and of each file of the package in its import closure, by path.

    `modules` are those that it imports by a name which only its arguments tell.
    """
    hashes, _ = _closure(script.resolve(), modules)
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


@cache
def _closure(script: Path, modules: tuple[str, ...]) -> tuple[dict[str, str], frozenset[str]]:
    hashes = {f"scripts/{script.name}": _hash_source(script)}
    external: set[str] = set()
    queue = [*_imports(script, None), *modules]
    seen: set[str] = set()
    while queue:
        name = queue.pop()
        if name in seen:
            continue
        seen.add(name)
        if name.split(".")[0] != "pisft":
            external.add(name.split(".")[0])
            continue
        if name.startswith(LEFT_OUT):
            continue
        path = _module_file(name)
        if path is None:
            continue
        parent = name.rpartition(".")[0]
        if parent:
            queue.append(parent)
        hashes[_label(path)] = _hash_source(path)
        if path.name == "__init__.py":
            for data in sorted(path.parent.iterdir()):
                if data.suffix in DATA_SUFFIXES:
                    hashes[_label(data)] = hashlib.sha256(data.read_bytes()).hexdigest()
        queue += _imports(path, name)
    return hashes, frozenset(external)


def _label(path: Path) -> str:
    return f"pisft/{path.relative_to(PACKAGE).as_posix()}"


def _module_file(name: str) -> Path | None:
    base = PACKAGE.parent.joinpath(*name.split("."))
    if (base / "__init__.py").is_file():
        return base / "__init__.py"
    path = base.with_suffix(".py")
    return path if path.is_file() else None


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_bytes(), filename=path.name)


def _imports(path: Path, module: str | None) -> set[str]:
    """Absolute names of all modules that may be imported anywhere in the file, lazily inside functions too."""
    names: set[str] = set()
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
                base = ".".join([*package[: len(package) - node.level + 1], *([base] if base else [])])
            names.add(base)
            # `from package import module` names a module too; what is no module is dropped when looked up
            if base.split(".")[0] == "pisft":
                names |= {f"{base}.{alias.name}" for alias in node.names}
    return names


@cache
def _hash_source(path: Path) -> str:
    tree = _tree(path)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and ast.get_docstring(
            node
        ):
            node.body = node.body[1:] or [ast.Pass()]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()
