"""The workflow engine: pure decisions over values.

Nothing in this package reads a clock, draws a random number, makes an id or does I/O; it imports the standard
library, pydantic and lark only. Callers hand it values and apply the values it answers with.
"""
