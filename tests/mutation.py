"""Changes of code, one at a time, each of which makes another program. Start from `places` and `mutate`."""

from __future__ import annotations

import ast
import copy
import random

VALIDATORS = {"field_validator", "model_validator"}


def places(tree: ast.Module) -> list[tuple[str, str]]:
    """(kind, dotted name) of each function and method, module constant and class variable that can be changed: all but
    the fields of a configuration's type and what validates them, which show in the values."""
    return [(kind, name) for kind, name, _ in _places(tree)]


def mutate(tree: ast.Module, place: tuple[str, str], seed: int) -> ast.Module:
    """A copy of `tree` in which the code at `place` is another."""
    changed = copy.deepcopy(tree)
    (node,) = [node for kind, name, node in _places(changed) if (kind, name) == place][-1:]
    rng = random.Random(seed)
    if place[0] != "function":
        node.value = ast.Tuple([node.value, ast.Constant("changed")], ast.Load())
        return ast.fix_missing_locations(changed)
    constants = [inner for part in node.body for inner in ast.walk(part) if isinstance(inner, ast.Constant)]
    numbers = [c for c in constants if isinstance(c.value, (int, float))]
    compared = [inner for part in node.body for inner in ast.walk(part) if isinstance(inner, ast.Compare)]
    choices = [kind for kind, found in (("number", numbers), ("compare", compared), ("drop", node.body[1:])) if found]
    how = rng.choice([*choices, "return"])
    if how == "number":
        chosen = rng.choice(numbers)
        chosen.value = not chosen.value if isinstance(chosen.value, bool) else chosen.value + 1
    elif how == "compare":
        chosen = rng.choice(compared)
        chosen.ops[0] = ast.Eq() if isinstance(chosen.ops[0], ast.NotEq) else ast.NotEq()
    elif how == "drop":
        del node.body[rng.randrange(1, len(node.body))]
    else:
        node.body.insert(0, ast.Return(ast.Constant("changed")))
    return ast.fix_missing_locations(changed)


def _is_variable(node: ast.AnnAssign) -> bool:
    return "ClassVar" in ast.dump(node.annotation)


def _places(tree: ast.Module) -> list[tuple[str, str, ast.stmt]]:
    found = []

    def look(body: list[ast.stmt], prefix: str, fields: bool) -> None:
        for node in body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                names = {inner.id for deco in node.decorator_list for inner in ast.walk(deco) if hasattr(inner, "id")}
                if not names & VALIDATORS and "overload" not in names:
                    found.append(("function", f"{prefix}{node.name}", node))
            elif isinstance(node, ast.ClassDef):
                look(node.body, f"{prefix}{node.name}.", bool(node.bases) and not node.decorator_list)
            elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                found.append(("value", f"{prefix}{node.targets[0].id}", node))
            elif isinstance(node, ast.AnnAssign) and node.value is not None and isinstance(node.target, ast.Name):
                found.extend([("value", f"{prefix}{node.target.id}", node)] if not fields or _is_variable(node) else [])

    look(tree.body, "", False)
    return found
