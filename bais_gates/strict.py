"""Read JSON and YAML of people and programs, and refuse what two readers could understand differently.

Refused are duplicate keys (one reader takes the first, another the last), NaN and infinity, deep nesting, and
aliases, by which a short text stands for a huge or endless value.
"""

from __future__ import annotations

import functools
import json
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    import yaml


def parse_json(content: bytes | str, **how: Any) -> Any:
    """Return the value of a JSON text; ``how`` are further options of :func:`json.loads`.

    Raises ValueError with the reason, which never has a value of the text.
    """
    try:
        text = content.decode() if isinstance(content, bytes) else content
        return json.loads(text, object_pairs_hook=_distinct, parse_constant=_refuse_constant, **how)
    except UnicodeDecodeError:
        raise ValueError("not UTF-8") from None
    except json.JSONDecodeError as e:
        raise ValueError(f"line {e.lineno}, column {e.colno}: {e.msg}") from None
    except RecursionError:
        raise ValueError("nested too deeply") from None


def parse_yaml(text: str) -> Any:
    """Return the value of a YAML (or JSON) text, with its dates and times; raise ValueError as for JSON."""
    import yaml  # noqa: PLC0415 - loaded by gates that read records

    try:
        return yaml.load(text, Loader=_yaml_loader())  # noqa: S506 - a SafeLoader
    except yaml.MarkedYAMLError as e:
        line = f" in line {e.problem_mark.line + 1}" if e.problem_mark is not None else ""
        raise ValueError(f"not valid YAML{line} ({e.problem})") from None
    except (yaml.YAMLError, RecursionError):
        raise ValueError("not valid YAML") from None
    except (ValueError, ArithmeticError, LookupError, AttributeError, TypeError):  # from a constructor
        raise ValueError("not valid YAML (it has a date, number or tag that can't be read)") from None


@functools.cache
def _yaml_loader() -> type[yaml.SafeLoader]:
    import yaml  # noqa: PLC0415 - as above

    class Loader(yaml.SafeLoader):
        """A SafeLoader that refuses duplicate keys and aliases."""

        def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
            if self.check_event(yaml.AliasEvent):
                mark = self.peek_event().start_mark  # type: ignore[no-untyped-call] # the library has no types
                raise yaml.composer.ComposerError(None, None, "an alias: write the value out", mark)
            return super().compose_node(parent, index)

        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002 - as the library calls it
            names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
            if len(set(names)) != len(names):
                twice = next(name for name in names if names.count(name) > 1)
                raise yaml.constructor.ConstructorError(None, None, f"duplicate key {twice}", node.start_mark)
            return super().construct_mapping(node, deep=deep)

    return Loader


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    distinct = dict(pairs)
    if len(distinct) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"duplicate key {next(name for name in names if names.count(name) > 1)}")
    return distinct


def _refuse_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a JSON number")
