"""The only reader of YAML: `parse_yaml(content, source)`, which returns plain values whatever a file contains.

It raises `ConfigError` for much that `yaml.safe_load` accepts: duplicate keys, aliases that expand without bound,
excessive nesting and numbers, and values that look like a number or a date but are not.
"""

from __future__ import annotations

from typing import Any

import yaml
from yaml.constructor import ConstructorError
from yaml.events import CollectionEndEvent, CollectionStartEvent
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from pisft.errors import PisftError
from pisft.names import shown

LARGEST = 1 << 20  # bytes; fifty times the longest file of this project
MOST = 100_000  # values, after expanding aliases
DEEPEST = 64
BITS = 64


class ConfigError(PisftError, ValueError):
    """A mistake in a configuration file, reported in one line."""


def parse_yaml(content: bytes | str, source: object) -> Any:
    """Return the plain values in `content`, which came from `source`; raises `ConfigError`."""
    if len(content) > LARGEST:
        raise ConfigError(f"{source}: is longer than {LARGEST:,} bytes; expected a configuration")
    try:
        text = content.decode() if isinstance(content, bytes) else content
    except UnicodeDecodeError as error:
        raise ConfigError(f"{source}: is not UTF-8 (byte {error.start + 1}); save it as UTF-8") from None
    try:
        depth = 0  # checked first, since libyaml follows any nesting and could overflow the stack
        for event in yaml.parse(text, Loader=_Loader):
            depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
            if depth > DEEPEST:
                raise _too_deep(source)
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _Measure(source).of(node, ())
        return loader.construct_document(node)
    except yaml.YAMLError as error:
        raise ConfigError(f"{source}: is not valid YAML: {' '.join(str(error).split())}") from error
    except RecursionError:
        raise _too_deep(source) from None


_Base: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Base):
    def construct_object(self, node: Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError) as error:
            what = shown(node.value) if isinstance(node, ScalarNode) else "this"
            kind = node.tag.rpartition(":")[2]
            raise ConstructorError(None, None, f"{what} is no {kind} ({error})", node.start_mark) from None

    def construct_yaml_int(self, node: ScalarNode) -> int:
        if len(node.value) > BITS + 2 or (number := super().construct_yaml_int(node)).bit_length() > BITS:
            raise ConstructorError(None, None, f"the number {shown(node.value, 30)} is too large", node.start_mark)
        return number


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)


class _Measure:
    """Counts the values and the depth of a node after expanding aliases, visiting each node once."""

    def __init__(self, source: object):
        self.source = source
        self.known: dict[int, tuple[int, int] | None] = {}

    def of(self, node: Node, at: tuple[str, ...]) -> tuple[int, int]:
        """Return (values, depth) of `node`, found at the keys `at`; raises `ConfigError` beyond the limits."""
        if id(node) in self.known:
            if (found := self.known[id(node)]) is None:
                raise ConfigError(
                    f"{self.source}: {'.'.join(at)}: is nested in itself (an anchor that holds its own alias)"
                )
            return found
        self.known[id(node)] = None
        parts: list[tuple[int, int]] = []
        if isinstance(node, MappingNode):
            self._each_once(node, at)
            for key, value in node.value:
                name = key.value if isinstance(key, ScalarNode) else "?"
                parts += [self.of(key, at), self.of(value, (*at, name))]
        elif isinstance(node, SequenceNode):
            parts = [self.of(item, (*at, str(place))) for place, item in enumerate(node.value)]
        count, depth = 1 + sum(n for n, _ in parts), 1 + max((d for _, d in parts), default=0)
        if depth > DEEPEST:
            raise _too_deep(self.source)
        if count > MOST:
            raise ConfigError(f"{self.source}: its aliases expand to more than {MOST:,} values; write the values out")
        self.known[id(node)] = count, depth
        return count, depth

    def _each_once(self, node: MappingNode, at: tuple[str, ...]) -> None:
        seen: dict[tuple[str, str], int] = {}
        for key, _ in node.value:
            if not isinstance(key, ScalarNode):
                continue
            line = key.start_mark.line + 1
            if (first := seen.get((key.tag, key.value))) is not None:
                name = ".".join((*at, key.value))
                raise ConfigError(
                    f"{self.source}: {name}: is given twice, on lines {first} and {line}; keep one of them"
                )
            seen[key.tag, key.value] = line


def _too_deep(source: object) -> ConfigError:
    return ConfigError(f"{source}: is nested more than {DEEPEST} levels deep; expected a configuration")
