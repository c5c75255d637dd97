"""The workflow of each row: one block that does the work by its agent, and declares what the row says."""

import time
from typing import Any

from tests.chaos.fault_matrix.rows import Row
from tests.chaos.fault_matrix.wire import Wire
from workflow_service.engine.states import ErrorType

OURS = "ladder"
# As a task queue does whose author named the errors that pass: those are tried again, some times.
RETRY_PASSING = "retry-passing"
# As a task queue does by default: whatever failed is tried again, some times.
RETRY_ALL = "retry-all"
# The ladder with a language model's advice, from one that gives the worst that it can.
MISLED = "misled"
POLICIES = (OURS, RETRY_PASSING, RETRY_ALL, MISLED)
RETRY_EVERYTHING = {"retryConditions": [one.value for one in ErrorType]}
FALLBACK = {"toolType": "NOOP", "configuration": {"output": {"done": True, "by": "fallback"}}}

SCRIPTS = {
    "exit": "sys.exit(given['code'])",
    "crash": "os.kill(os.getpid(), 9)",
    "sleep": "time.sleep(10)",
    "memory": "x = bytearray(8_000_000_000)",
    "bug": "given['no such key']",
    "print": "print('it is done'); sys.exit(0)",
    "network": "socket.create_connection(('192.0.2.1', 80), 2)",
}
SCRIPT = """
import json, os, socket, sys, time
given = json.load(sys.stdin)["input"]
if not given["until"] or time.time() < given["until"]:
    {fault}
print(json.dumps({{"done": True}}))
"""


def case_of(row: Row, policy: str) -> str:
    return f"{policy}.{row.id}"


def stand_in_of(row: Row, policy: str) -> str:
    """Return the id of the agent that may take over."""
    return f"{case_of(row, policy)}.other"


def block_of(row: Row, policy: str, wire: Wire, *, port: int | None = None) -> dict[str, Any]:
    """Return the block of a row under a policy; ``port`` is where it is to knock instead of at the wire."""
    tool, configuration = _work(row, policy, wire, port)
    block: dict[str, Any] = {"blockId": "work", "configuration": configuration}
    if tool:
        block["toolType"] = tool
    if row.agent == "REMOTE" or row.declared.get("stand_in"):
        block["agentId"] = case_of(row, policy)
    if "timeout" in row.declared:
        block["timeout"] = row.declared["timeout"]
    if policy in (RETRY_PASSING, RETRY_ALL):
        retries = {"retryPolicy": RETRY_EVERYTHING} if policy == RETRY_ALL else {}
        return block | {"recovery": {"strategies": ["retry"]}} | retries
    recovery: dict[str, Any] = {
        name: row.declared[name] for name in ("idempotent", "queueDelay") if name in row.declared
    }
    if policy == MISLED:
        recovery["advice"] = "model"
    if row.declared.get("fallback"):
        recovery["fallback"] = FALLBACK
    if row.declared.get("stand_in"):
        recovery["agents"] = [stand_in_of(row, policy)]
    return block | {"recovery": recovery} | ({"optional": True} if row.declared.get("optional") else {})


def _work(row: Row, policy: str, wire: Wire, port: int | None) -> tuple[str, dict[str, Any]]:
    case = case_of(row, policy)
    match row.agent:
        case "API":
            return "API", _request(row, wire.url(case), port)
        case "SCRIPT":
            return "SCRIPT", _script(row)
        case "USE_CASE":
            if row.fault == "unknown":
                return "USE_CASE", {"useCase": "faults.wrok", "input": {}}
            return "USE_CASE", {"useCase": "faults.work", "input": {"url": wire.url(case)}}
        case "MCP":
            tool, arguments = row.wire.get("tool", "add"), row.wire.get("arguments", {"numbers": [1, 2]})
            server = "mortal" if tool == "die" else case
            return "MCP", {"server": server, "tool": tool, "arguments": {} if tool == "die" else arguments}
        case "LLM":
            asked = {"type": "object", "properties": {"word": {"type": "string"}}, "required": ["word"]}
            limit = {"maxCostUsd": "0.000000001"} if row.fault == "budget" else {}
            return "LLM", {"prompt": "Say done.", "model": case, "schema": asked, "cache": False, **limit}
        case "REMOTE":
            return "", {"theme": "rain"}
    raise LookupError(row.agent)


def _request(row: Row, url: str, port: int | None) -> dict[str, Any]:
    method = {"read": "GET", "write": "POST", "delete": "DELETE"}[row.work]
    endpoint = {
        "no_host": "http://nowhere.invalid/",
        "inside": "http://10.0.0.1:80/",
        "no_url": "http://[",
        "refuse": f"http://127.0.0.1:{port}/",
    }.get(row.fault, url)
    configuration: dict[str, Any] = {"method": method}
    if not row.declared.get("stand_in"):
        # Else each agent has its own.
        configuration["endpoint"] = endpoint
    if row.work == "write":
        configuration["body"] = {"amount": 12}
    if row.fault == "wrong_shape":
        configuration["responseMapping"] = {"done": "$.body.done"}
    return configuration


def _script(row: Row) -> dict[str, Any]:
    if row.fault == "missing":
        return {"script": "nowhere.py", "input": {}}
    until = time.time() + row.for_s if row.for_s else 0
    return {
        "code": SCRIPT.format(fault=SCRIPTS[row.fault]),
        "input": {"until": until, "code": row.wire.get("code")},
    }
