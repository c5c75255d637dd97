"""The scenarios by name, in the order in which they run: the last ones leave the database changed.

Each is a module's function, imported when it is wanted: the modules need Django to be set up, the names do not.
"""

from importlib import import_module

from benchmarks.bench import Scenario

SCENARIOS = {
    "sequential": "sequential.measure",
    "fan_out": "fan_out.measure",
    "one_block": "one_block.measure",
    "diamonds": "concurrent.measure_diamonds",
    "concurrent": "concurrent.measure_named_loads",
    "states": "concurrent.measure_states",
    "growth": "growth.measure",
    "worker_memory": "worker_memory.measure",
    "live": "live.measure",
    "approval_sockets": "approval_sockets.measure",
    "approval_inbox": "approval_inbox.measure",
    "api": "api.measure",
    "outage": "outage.measure",
    "advisor_gain": "advisor_gain.measure",
    "analytics_million": "analytics_million.measure",
    "million_rows": "million_rows.measure",
}


def load_scenario(name: str) -> Scenario:
    """Return the function that measures a scenario."""
    module, function = SCENARIOS[name].split(".")
    found: Scenario = getattr(import_module(f"{__name__}.{module}"), function)
    return found
