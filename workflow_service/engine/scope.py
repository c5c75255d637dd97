"""Where expressions find their values, and what they say they will read."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from workflow_service.engine.errors import ExpressionError


class MissingValue(ExpressionError):
    """A name, key or index that an expression reads is not there; exists() and default() allow for it."""


class Scope(Protocol):
    """Where an expression finds its values. Look-ups raise ``KeyError`` for what does not exist."""

    @property
    def input(self) -> Any:
        """The input of the run."""

    @property
    def execution(self) -> Mapping[str, Any]:
        """Facts about the run: ``id``."""

    def name(self, name: str) -> Any:
        """Return a bare name: from the block's own output, ``item`` or ``index`` of a map, or the context."""

    def context(self, key: str) -> Any:
        """Return one entry of the run's context."""

    def output(self, block_id: str) -> Any:
        """Return the output of a block."""

    def secret(self, name: str) -> Any:
        """Return the value of a secret."""


@dataclass(frozen=True)
class ValuesScope:
    """A scope over values that are all at hand: for tests and dry runs."""

    context_values: Mapping[str, Any] = field(default_factory=dict)
    own: Mapping[str, Any] = field(default_factory=dict)
    outputs: Mapping[str, Any] = field(default_factory=dict)
    input: Any = None
    execution: Mapping[str, Any] = field(default_factory=dict)
    secrets: Mapping[str, Any] = field(default_factory=dict)

    def name(self, name: str) -> Any:
        return self.own[name] if name in self.own else self.context_values[name]

    def context(self, key: str) -> Any:
        return self.context_values[key]

    def output(self, block_id: str) -> Any:
        return self.outputs[block_id]

    def secret(self, name: str) -> Any:
        return self.secrets[name]


@dataclass(frozen=True, slots=True)
class References:
    """What an expression reads: context keys and bare names, outputs of blocks, the run's input, secrets."""

    context: frozenset[str] = frozenset()
    outputs: frozenset[str] = frozenset()
    input: bool = False
    secrets: frozenset[str] = frozenset()

    def __or__(self, other: "References") -> "References":
        return References(
            self.context | other.context,
            self.outputs | other.outputs,
            self.input or other.input,
            self.secrets | other.secrets,
        )
