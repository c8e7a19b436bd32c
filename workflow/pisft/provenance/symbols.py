"""The names that a module defines at its top level, each with a hash and with what it uses. Start from `symbols`.

For code that is used in parts: a stage takes one type of the configuration and none of what reads and checks the files.
"""

from __future__ import annotations

import ast
import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

VALIDATORS = {"field_validator", "model_validator"}
# What pydantic is told of a value: what these do shows in the values themselves.
CHECKS = {"AfterValidator", "BeforeValidator", "Field"}


@dataclass(frozen=True)
class Symbol:
    """A function, class or constant; `names` are those that its code uses, `(a, "b")` for `a.b`."""

    sha256: str
    names: frozenset[str | tuple[str, str]]
    imports: tuple[tuple[str, str | None], ...]


@dataclass(frozen=True)
class Module:
    """`symbols` by name, with "" for statements that define no name; `aliases` are imported: name → (module, name)."""

    symbols: dict[str, Symbol]
    aliases: dict[str, tuple[str, str | None]]


@cache
def tree(path: Path) -> ast.Module:
    """The syntax tree of a file without docstrings: with comments and layout, what code may not act differently by."""
    parsed = ast.parse(path.read_bytes(), filename=path.name)
    for node in ast.walk(parsed):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and ast.get_docstring(
            node
        ):
            node.body = node.body[1:] or [ast.Pass()]
    return parsed


@cache
def symbols(path: Path, module: str) -> Module:
    """Of the file at `path`, which is imported as `module`."""
    found: dict[str, list[ast.stmt]] = {}
    aliases: dict[str, tuple[str, str | None]] = {}
    for node in tree(path).body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            for name, target in imported(node, module, path):
                aliases[name] = target
        else:
            for name in _defined(node):
                found.setdefault(name, []).append(node)
    return Module({name: _symbol(nodes, module, path) for name, nodes in found.items()}, aliases)


def imported(
    node: ast.Import | ast.ImportFrom, module: str | None, path: Path
) -> list[tuple[str, tuple[str, str | None]]]:
    """Each name that an import statement binds, and the (module, name) that it stands for; None for a whole module."""
    if isinstance(node, ast.Import):
        return [(alias.asname or alias.name.split(".")[0], (alias.name, None)) for alias in node.names]
    base = node.module or ""
    if node.level and module:
        package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
        base = ".".join([*package[: len(package) - node.level + 1], *([base] if base else [])])
    return [(alias.asname or alias.name, (base, alias.name)) for alias in node.names]


def syntax_hash(*nodes: ast.AST) -> str:
    """sha256 of the syntax of `nodes`."""
    return hashlib.sha256("\n".join(map(ast.dump, nodes)).encode()).hexdigest()


def _defined(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    names = [name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name)]
    return names or [""]


def _symbol(nodes: list[ast.stmt], module: str, path: Path) -> Symbol:
    kept = [_without_declarations(node) for node in nodes]
    names: set[str | tuple[str, str]] = set()
    imports: list[tuple[str, str | None]] = []
    for node in nodes:
        for inner in _used(node):
            if isinstance(inner, ast.Name):
                names.add(inner.id)
            elif isinstance(inner, ast.Attribute) and isinstance(inner.value, ast.Name):
                names.add((inner.value.id, inner.attr))
            elif isinstance(inner, ast.Import | ast.ImportFrom):
                imports += [target for _, target in imported(inner, module, path)]
    return Symbol(syntax_hash(*kept), frozenset(names), tuple(imports))


def _used(node: ast.AST):
    """All nodes below `node` but those of validators and of what pydantic is told."""
    if _is_validator(node) or (
        isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in CHECKS
    ):
        return
    yield node
    for child in ast.iter_child_nodes(node):
        yield from _used(child)


def _without_declarations(node: ast.stmt) -> ast.stmt:
    """A class of the configuration without its fields and validators; anything else as it is."""
    if not isinstance(node, ast.ClassDef) or not node.bases or _is_plain(node):
        return node
    body = [part for part in node.body if not _is_field(part) and not _is_validator(part)]
    return ast.ClassDef(
        node.name, node.bases, node.keywords, body or [ast.Pass()], node.decorator_list, node.type_params
    )


def _is_plain(node: ast.ClassDef) -> bool:
    """Whether the fields of a class are no configuration, but values that code gives it."""
    names = {base.id for base in node.bases if isinstance(base, ast.Name)}
    return bool(names & {"NamedTuple", "Enum", "Exception", "ValueError"}) or bool(node.decorator_list)


def _is_field(node: ast.stmt) -> bool:
    return isinstance(node, ast.AnnAssign) and "ClassVar" not in ast.dump(node.annotation)


def _is_validator(node: ast.AST) -> bool:
    return isinstance(node, ast.FunctionDef) and any(
        isinstance(name, ast.Name) and name.id in VALIDATORS for deco in node.decorator_list for name in ast.walk(deco)
    )
