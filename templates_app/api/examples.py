"""Bodies that the API's documentation shows: small, whole, and valid as they are (a test posts them)."""

from drf_spectacular.utils import OpenApiExample

BLOCKS = {
    "name": "Two greetings",
    "tags": ["example"],
    "metadata": {"estimatedDuration": 5, "complexity": "low", "category": "examples"},
    "blocks": [
        {"blockId": "greet", "toolType": "NOOP", "configuration": {"output": {"greeting": "Hello"}}},
        {
            "blockId": "answer",
            "toolType": "NOOP",
            "configuration": {"output": {"answer": "${blocks.greet.output.greeting} yourself"}},
            "dependencies": ["greet"],
        },
    ],
    "inputSchema": {"type": "object", "properties": {"who": {"type": "string"}}},
    "globalSettings": {"timeout": 60000, "maxParallelBlocks": 2},
}
DSL = {
    "name": "A choice",
    "dsl": "start->measure;\nmeasure->high:value>10;\nmeasure->low:else;\nhigh->end;\nlow->end;\n",
    "states": {
        "measure": {"toolType": "NOOP", "configuration": {"output": {"value": 12}}},
        "high": {"toolType": "NOOP"},
        "low": {"toolType": "NOOP"},
    },
}

TEMPLATE_EXAMPLES = [
    OpenApiExample("Blocks", value=BLOCKS, request_only=True),
    OpenApiExample("DSL with states", value=DSL, request_only=True),
]
