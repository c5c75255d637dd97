"""The question about what a block made (document A section 3.4): its output waits until somebody has looked at it."""

from workflow_service.engine.definition import JsonObject

# A schema within another has a name of its own, so that what it refers to is looked for in itself.
SCHEMA_ID = "urn:workflow-service:reviewed-output"


def reviewed_schema(input_schema: JsonObject | None) -> JsonObject:
    """Return the JSON schema of a review's answer: nothing, or an ``output`` in place of what the block made."""
    output: JsonObject = {} if input_schema is None else {"$id": SCHEMA_ID, **input_schema}
    return {"type": "object", "properties": {"output": output}, "additionalProperties": False}
