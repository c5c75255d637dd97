"""YAML as JSON data, read with the place of every value: for files that people write by hand.

Only what JSON can say is read, by YAML 1.2's rules (``on`` and ``no`` are texts, dates stay texts). Repeated keys,
tags and keys that are no texts are refused. Anchors may be used, but not to grow a small file into a huge value.
What ``write_yaml`` writes is read back as it was.
"""

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import yaml
from pydantic import JsonValue

from workflow_service.engine.errors import Problem, WorkflowError
from workflow_service.engine.json_values import json_pointer

MAX_VALUES = 200_000
MAX_DEPTH = 100

_NULL = re.compile(r"|~|null|Null|NULL")
_BOOL = re.compile(r"true|True|TRUE|false|False|FALSE")
_INT = re.compile(r"[-+]?[0-9]{1,300}", re.ASCII)
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]{1,3})?", re.ASCII)
# YAML takes these for ends of lines, or leaves them out, unless they are escaped.
_BREAKS = re.compile("[\r\x85\u2028\u2029\ufeff]")
_PLAIN_TAGS = frozenset(
    f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "int", "float", "str", "timestamp")
)
_PLAIN_TAGS |= {"tag:yaml.org,2002:value", "tag:yaml.org,2002:merge"}


class YamlInvalid(WorkflowError):
    """A text cannot be read as YAML that says JSON data; its problem carries line and column."""

    code = "YAML_INVALID"


@dataclass(frozen=True)
class PlacedDocument:
    """A value, and the text that says it, in YAML or in JSON (which is YAML too, but for tabs)."""

    value: JsonValue
    text: str

    def place_of(self, pointer: str) -> tuple[int | None, int | None]:
        """Return line and column (from 1) of what a JSON pointer leads to, or of the nearest that is there."""
        place = node = self._root
        for part in pointer.split("/")[1:]:
            found = _member_of(node, part.replace("~1", "/").replace("~0", "~"))
            if found is None:
                break
            place, node = found
        return (place.start_mark.line + 1, place.start_mark.column + 1) if place else (None, None)

    @cached_property
    def _root(self) -> yaml.Node | None:
        try:
            return _compose(self.text.replace("\t", " "))
        except YamlInvalid:
            return None


def _member_of(node: yaml.Node | None, step: str) -> tuple[yaml.Node, yaml.Node] | None:
    """Return where a member is named, and the member."""
    match node:
        case yaml.MappingNode():
            return next(((key, value) for key, value in node.value if key.value == step), None)
        case yaml.SequenceNode() if step.isdecimal() and int(step) < len(node.value):
            return node.value[int(step)], node.value[int(step)]
    return None


def read_yaml(text: str) -> PlacedDocument:
    """Return the one document of ``text``; raises ``YamlInvalid``."""
    return PlacedDocument(_Reader().read(_compose(text), ()), text)


def write_yaml(value: JsonValue) -> str:
    """Return ``value`` as a document that people can read: fields in their order, texts of several lines as blocks."""
    return yaml.dump(value, Dumper=_Writer, sort_keys=False, allow_unicode=True, width=100)


class _Writer(yaml.SafeDumper):
    """Writes what ``read_yaml`` reads: quotes every text that it would take for something else, and no anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def text(self, value: str) -> yaml.ScalarNode:
        if _looks_otherwise(value) or _BREAKS.search(value):
            return self.represent_scalar("tag:yaml.org,2002:str", value, style='"')
        # A block is for texts of lines; one that begins or ends with space is written in quotes.
        in_lines = "\n" in value and value.strip() and value[0] not in " \t\n" and "\t" not in value
        return self.represent_scalar("tag:yaml.org,2002:str", value, style="|" if in_lines else None)


_Writer.add_representer(str, _Writer.text)


def _looks_otherwise(text: str) -> bool:
    return any(pattern.fullmatch(text) for pattern in (_NULL, _BOOL, _INT, _FLOAT))


def _compose(text: str) -> yaml.Node:
    try:
        root: yaml.Node | None = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        what = ": ".join(part for part in (error.context, error.problem) if part) or "is not YAML"
        raise _invalid(what, "", error.problem_mark or error.context_mark) from None
    except yaml.YAMLError as error:
        raise _invalid(f"is not YAML: {error}", "", None) from None
    except RecursionError:
        raise _invalid("is nested too deep", "", None) from None
    if root is None:
        raise _invalid("is empty", "", None)
    return root


def _invalid(message: str, pointer: str, mark: yaml.Mark | None, suggestion: str = "") -> YamlInvalid:
    line, column = (mark.line + 1, mark.column + 1) if mark else (None, None)
    return YamlInvalid(
        message, [Problem("YAML_INVALID", message, pointer, suggestion, line=line, column=column)]
    )


class _Reader:
    """Turns nodes into values, counting them: one node may stand in many places."""

    def __init__(self) -> None:
        self.left = MAX_VALUES

    def read(self, node: yaml.Node, path: tuple[str | int, ...]) -> JsonValue:
        self.left -= 1
        if self.left < 0:
            raise self._refused(node, path, f"the document says more than {MAX_VALUES:,} values")
        if len(path) > MAX_DEPTH:
            raise self._refused(node, path[:8], f"is nested deeper than {MAX_DEPTH} levels, or holds itself")
        match node:
            case yaml.MappingNode(tag="tag:yaml.org,2002:map"):
                return self._mapping(node, path)
            case yaml.SequenceNode(tag="tag:yaml.org,2002:seq"):
                return [self.read(item, (*path, index)) for index, item in enumerate(node.value)]
            case yaml.ScalarNode() if node.tag in _PLAIN_TAGS:
                return self._scalar(node, path)
        raise self._refused(node, path, f"the tag {node.tag} is not read", "leave it out")

    def _mapping(self, node: yaml.MappingNode, path: tuple[str | int, ...]) -> dict[str, JsonValue]:
        members: dict[str, JsonValue] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise self._refused(key, path, "a key must be a text")
            if key.tag == "tag:yaml.org,2002:merge" and key.style is None:
                raise self._refused(
                    key, path, "'<<' is not read", "write the fields out, or use the anchor as it is"
                )
            if key.value in members:
                raise self._refused(key, (*path, key.value), f"the key '{key.value[:100]}' is given twice")
            members[key.value] = self.read(value, (*path, key.value))
        return members

    def _scalar(self, node: yaml.ScalarNode, path: tuple[str | int, ...]) -> JsonValue:
        text: str = node.value
        if node.style is not None:
            return text
        if _NULL.fullmatch(text):
            return None
        if _BOOL.fullmatch(text):
            return text.lower() == "true"
        if _INT.fullmatch(text):
            return int(text)
        if _FLOAT.fullmatch(text):
            return self._float(node, path)
        return text

    def _float(self, node: yaml.ScalarNode, path: tuple[str | int, ...]) -> float:
        value = float(node.value)
        if value in (float("inf"), float("-inf")):
            raise self._refused(node, path, f"the number {node.value} is too large")
        return value

    def _refused(
        self, node: yaml.Node, path: tuple[str | int, ...], message: str, suggestion: str = ""
    ) -> YamlInvalid:
        return _invalid(message, json_pointer(*path), node.start_mark, suggestion)
