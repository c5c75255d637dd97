"""The values of a dry run: what was given stands, and what nobody has said is assumed where somebody could write it.

A value is assumed only in an output that was not given, or in an input that was not given; who gives nothing gets a
whole run, and who gives everything gets no invention. What nobody can have written is missing, as it would be in a run.
"""

from collections import ChainMap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import JsonValue

from workflow_service.engine.definition import JsonObject
from workflow_service.engine.expressions import ValuesScope
from workflow_service.engine.paths import Key, Path, Root
from workflow_service.engine.rehearsal.solver import ABSENT, Choice

Keys = frozenset[str] | None


@dataclass(slots=True)
class Values:
    """What expressions read in a dry run.

    ``writes`` are the keys that a block's output is known to have, None or no entry where it may have any. ``open``
    are the blocks that have run without a given output, the latest last; ``assumed_by`` says whose output an assumed
    context value is from.
    """

    input: JsonValue = None
    input_is_open: bool = False
    writes: Mapping[str, Keys] = field(default_factory=dict)
    mapped: Mapping[str, frozenset[str]] = field(default_factory=dict)
    context: ChainMap[str, Any] = field(default_factory=ChainMap)
    outputs: ChainMap[str, Any] = field(default_factory=ChainMap)
    answers: ChainMap[str, bool] = field(default_factory=ChainMap)
    given_answers: set[str] = field(default_factory=set)
    open: dict[str, None] = field(default_factory=dict)
    assumed_by: ChainMap[str, str] = field(default_factory=ChainMap)
    assumed_input: bool = False

    def trial(self) -> "Values":
        """Return values that can be changed without changing these."""
        return Values(
            self.input,
            self.input_is_open,
            self.writes,
            self.mapped,
            self.context.new_child(),
            self.outputs.new_child(),
            self.answers.new_child(),
            self.given_answers,
            self.open,
            self.assumed_by.new_child(),
            self.assumed_input,
        )

    def take_over(self, trial: "Values") -> None:
        """Make the changes of ``trial`` in these values."""
        self.input, self.assumed_input = trial.input, trial.assumed_input
        for name in ("context", "outputs", "answers", "assumed_by"):
            getattr(self, name).update(getattr(trial, name).maps[0])

    def scope(self, block_id: str | None = None, own: Mapping[str, JsonValue] | None = None) -> ValuesScope:
        """Return the scope of a block's conditions: its own output before the context."""
        output = self.outputs.get(block_id) if block_id is not None else None
        return ValuesScope(
            context_values=self.context,
            own=own if own is not None else output if isinstance(output, dict) else {},
            outputs=self.outputs,
            input=self.input,
            execution={"id": "dry-run"},
        )

    # What blocks write

    def begin_block(self, block_id: str) -> None:
        """Forget what was assumed of a block's earlier output: it runs again."""
        if block_id not in self.open:
            return
        del self.open[block_id]
        for name in [name for name, by in self.assumed_by.items() if by == block_id]:
            self.context.pop(name, None)
            del self.assumed_by[name]

    def put_output(self, block_id: str, output: JsonValue, *, is_open: bool) -> None:
        """Keep a block's output; where it is ``is_open`` more may be assumed of it."""
        self.outputs[block_id] = output
        if is_open:
            self.open[block_id] = None

    def merge(self, block_id: str, values: Mapping[str, JsonValue], *, is_open: bool) -> None:
        """Put values of a block into the context."""
        for name, value in values.items():
            self.context[name] = value
            self.assumed_by.pop(name, None)
            if is_open:
                self.assumed_by[name] = block_id

    # What may be assumed

    def is_free(self, path: Path, block_id: str | None, *, anew: bool) -> bool:
        """Tell whether a value may be assumed at ``path``, read in the scope of ``block_id``.

        Where there is a value already: only if it is assumed, and ``anew`` says that another may take its place.
        """
        match path.root:
            case Root.QUESTION:
                return path.name not in self.given_answers
            case Root.INPUT:
                there = has_value(self.input, path.keys)
                return self.input_is_open and bool(path.keys) and (not there or anew)
            case Root.OUTPUT:
                there = has_value(self.outputs.get(path.name), path.keys)
                return self._may_write(path.name, path.top) and (not there or anew)
            case Root.NAME | Root.CONTEXT:
                return self._is_free_name(path, block_id, anew=anew)
        return False

    def _is_free_name(self, path: Path, block_id: str | None, *, anew: bool) -> bool:
        own = self.outputs.get(block_id) if block_id is not None and path.root is Root.NAME else None
        own_writes = path.root is Root.NAME and block_id is not None and self._may_write(block_id, path.name)
        if isinstance(own, dict) and path.name in own:
            return own_writes and (anew or not has_value(own[path.name], path.keys))
        if path.name in self.context:
            if path.name not in self.assumed_by:
                return anew and own_writes
            there = has_value(self.context[path.name], path.keys)
            return not there or (anew and own_writes)
        return own_writes or self._writer_of(path.name) is not None

    def _may_write(self, block_id: str, key: str | None) -> bool:
        if block_id not in self.open or key is None:
            return False
        known = self.writes.get(block_id)
        return known is None or key in known

    def _writer_of(self, name: str) -> str | None:
        """Return the latest block whose output may have put ``name`` into the context: one known to, if there is."""
        able = [block_id for block_id in reversed(self.open) if self._may_reach_context(block_id, name)]
        sure = [block_id for block_id in able if name in (self.writes.get(block_id) or ())]
        return next(iter((*sure, *able)), None)

    def _may_reach_context(self, block_id: str, name: str) -> bool:
        mapped = self.mapped.get(block_id)
        return name in mapped if mapped else self._may_write(block_id, name)

    # Assuming

    def assume(self, choice: Choice, block_id: str | None) -> None:
        """Write the values chosen for paths that are free, the shorter paths first."""
        for path in sorted(choice, key=lambda path: (path.root, path.name, len(path.keys))):
            value = choice[path]
            if value is not ABSENT:
                self._assume(path, value, block_id)

    def _assume(self, path: Path, value: Any, block_id: str | None) -> None:
        match path.root:
            case Root.QUESTION:
                self.answers[path.name] = value is True
            case Root.INPUT:
                self.input, self.assumed_input = with_value(self.input, path.keys, value), True
            case Root.OUTPUT:
                self._assume_output(path.name, path.keys, value)
            case _:
                own = path.root is Root.NAME and block_id is not None and self._may_write(block_id, path.name)
                self._assume_name(path, value, block_id if own else None)

    def _assume_output(self, block_id: str, keys: tuple[Key, ...], value: Any) -> None:
        output = self.outputs[block_id] = with_value(self.outputs.get(block_id), keys, value)
        name = keys[0]
        # What a block maps itself is in the context by other names.
        if isinstance(name, str) and not self.mapped.get(block_id):
            self.context[name] = output[name]
            self.assumed_by[name] = block_id

    def _assume_name(self, path: Path, value: Any, own: str | None) -> None:
        writer = own or self.assumed_by.get(path.name) or self._writer_of(path.name)
        if writer is None:
            return
        if own is None and self.mapped.get(writer):
            self.context[path.name] = with_value(self.context.get(path.name), path.keys, value)
            self.assumed_by[path.name] = writer
        else:
            known = self.context.get(path.name) if self.assumed_by.get(path.name) == writer else None
            output = self.outputs.get(writer)
            if known is not None and isinstance(output, dict) and path.name not in output:
                self.outputs[writer] = {**output, path.name: known}
            self._assume_output(writer, (path.name, *path.keys), value)

    def assumptions(self) -> JsonObject:
        """Return what was assumed: ``input``, and ``outputs`` by block."""
        assumed: JsonObject = {
            block_id: self.outputs[block_id] for block_id in self.open if self.outputs.get(block_id)
        }
        found: JsonObject = {"outputs": assumed} if assumed else {}
        return {"input": self.input, **found} if self.assumed_input else found


def has_value(value: Any, keys: Iterable[Key]) -> bool:
    """Tell whether there is a value below ``value`` at ``keys``."""
    for key in keys:
        if isinstance(value, dict):
            inside = key in value
        else:
            inside = isinstance(value, list) and isinstance(key, int) and -len(value) <= key < len(value)
        if not inside:
            return False
        value = value[key]
    return value is not None


def with_value(container: Any, keys: tuple[Key, ...], value: Any) -> Any:
    """Return ``container`` with ``value`` at ``keys``; what stands in the way gives way."""
    if not keys:
        return value
    key, rest = keys[0], keys[1:]
    if isinstance(key, str):
        inside = container if isinstance(container, dict) else {}
        return {**inside, key: with_value(inside.get(key), rest, value)}
    items = list(container) if isinstance(container, list) else []
    position = key if key >= 0 else len(items) + key
    position = max(0, min(position, 100))
    items += [with_value(None, rest, value) for _ in range(position + 1 - len(items))]
    items[position] = with_value(items[position], rest, value)
    return items
