"""Who does the work of a block: one runtime per tool type, behind ``runtimes.invoke``.

Tools know nothing of executions, tables or the broker: they are handed an ``Invocation`` and answer with JSON
or raise a ``ToolError``.
"""
