"""The values of a run: what a condition or a ``${...}`` may look up, fetched by name and only when needed."""

import json
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import JsonValue

from executions_app.transaction import EngineTransaction
from workflow_service.engine.expressions import References

_MISSING = object()
_INPUT_CACHE_ENTRIES = 256
_INPUT_CACHE_BYTES = 65_536
_inputs: OrderedDict[int, JsonValue] = OrderedDict()

CONTEXT_STATEMENT = """
    SELECT DISTINCT ON (key) key, value::text AS value FROM executions_app_contextvalue
    WHERE execution_id = %s AND key = ANY(%s) AND NOT superseded ORDER BY key, seq DESC
"""
OUTPUT_STATEMENT = """
    SELECT DISTINCT ON (block_id) block_id, value::text AS value FROM executions_app_blockoutput
    WHERE execution_id = %s AND block_id = ANY(%s) AND NOT superseded ORDER BY block_id, block_execution_id DESC
"""
INPUT_STATEMENT = "SELECT input::text AS value FROM executions_app_executioninput WHERE execution_id = %s"


class RunValues:
    """Input, outputs and context of one run, as seen by one transaction. What it wrote itself comes first."""

    def __init__(self, tx: EngineTransaction, execution_id: int, public_id: str) -> None:
        self._tx = tx
        self._execution_id = execution_id
        self._context: dict[str, Any] = {}
        self._outputs: dict[str, Any] = {}
        self.execution: Mapping[str, Any] = {"id": public_id}

    def put_output(self, block_id: str, value: JsonValue) -> None:
        self._outputs[block_id] = value

    def put_context(self, key: str, value: JsonValue) -> None:
        self._context[key] = value

    def prefetch(self, references: Iterable[References]) -> None:
        """Load everything that these expressions may read, in one round trip."""
        keys: set[str] = set()
        blocks: set[str] = set()
        for reference in references:
            keys |= reference.context
            blocks |= reference.outputs
        self._load(sorted(keys - self._context.keys()), sorted(blocks - self._outputs.keys()))

    def context(self, key: str) -> Any:
        """Return the context's value; raises ``KeyError``."""
        if key not in self._context:
            self._load([key], [])
        return self._found(self._context, key)

    def output(self, block_id: str) -> Any:
        """Return a block's output; raises ``KeyError``."""
        if block_id not in self._outputs:
            self._load([], [block_id])
        return self._found(self._outputs, block_id)

    @property
    def input(self) -> Any:
        if self._execution_id in _inputs:
            _inputs.move_to_end(self._execution_id)
            return _inputs[self._execution_id]
        text = self._tx.one(INPUT_STATEMENT, (self._execution_id,)).value
        value = json.loads(text)
        # The input never changes; a small one is kept for the run's next steps in this process.
        if len(text) <= _INPUT_CACHE_BYTES:
            _inputs[self._execution_id] = value
            if len(_inputs) > _INPUT_CACHE_ENTRIES:
                _inputs.popitem(last=False)
        return value

    def scope(self, own: Mapping[str, JsonValue] | JsonValue = None) -> "RunScope":
        """Return a scope in which ``own``, if it is an object, is looked up before the context."""
        return RunScope(self, own if isinstance(own, Mapping) else {})

    def _load(self, keys: list[str], blocks: list[str]) -> None:
        context = self._tx.run(CONTEXT_STATEMENT, (self._execution_id, keys)) if keys else None
        outputs = self._tx.run(OUTPUT_STATEMENT, (self._execution_id, blocks)) if blocks else None
        self._context.update(dict.fromkeys(keys, _MISSING))
        self._outputs.update(dict.fromkeys(blocks, _MISSING))
        if context is not None:
            self._context.update((row.key, json.loads(row.value)) for row in context)
        if outputs is not None:
            self._outputs.update((row.block_id, json.loads(row.value)) for row in outputs)

    @staticmethod
    def _found(values: Mapping[str, Any], key: str) -> Any:
        value = values[key]
        if value is _MISSING:
            raise KeyError(key)
        return value


class RunScope:
    """The engine's ``Scope`` over a run's values."""

    def __init__(self, values: RunValues, own: Mapping[str, JsonValue]) -> None:
        self._values = values
        self._own = own
        self.execution = values.execution

    @property
    def input(self) -> Any:
        return self._values.input

    def name(self, name: str) -> Any:
        return self._own[name] if name in self._own else self._values.context(name)

    def context(self, key: str) -> Any:
        return self._values.context(key)

    def output(self, block_id: str) -> Any:
        return self._values.output(block_id)

    def secret(self, name: str) -> Any:
        raise KeyError(name)
