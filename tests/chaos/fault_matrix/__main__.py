"""The fault matrix: every row on a real stack, by what it declares, and beside it by retries alone.

    python -m tests.chaos.fault_matrix [--only api-500 ...] [--policies ladder retry-all]

Writes ``build/faults.json`` and ``build/faults.md``; exits with 1 where the ladder took a wrong action, or did harm
when a model misled it, or recovered less than ``LEAST_RECOVERED`` percent of what can be recovered.
"""

import argparse
import importlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from secrets import token_hex
from typing import Any

from tests.chaos.fault_matrix.blocks import MISLED, OURS, POLICIES, case_of
from tests.chaos.fault_matrix.judge import document, figures_of, table
from tests.chaos.fault_matrix.rows import Row, read_rows
from tests.chaos.fault_matrix.wire import ADVISER, Wire, serving
from tests.chaos.stack import BEAT_COMMAND, PROJECT_ROOT, ChaosStack, control_command, worker_command

LEAST_RECOVERED = 70.0
WORKERS = 2
MCP_SERVER = PROJECT_ROOT / "tests" / "mcp_server.py"


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="faults", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", nargs="*", default=[], help="ids of rows; all where none is named")
    parser.add_argument("--policies", nargs="*", default=list(POLICIES), choices=POLICIES)
    parser.add_argument("--report", type=Path, default=PROJECT_ROOT / "build" / "faults.json")
    parser.add_argument("--keep", action="store_true", help="keep the logs of all processes")
    return parser.parse_args()


def main() -> int:
    options = read_arguments()
    rows = [row for row in read_rows() if not options.only or row.id in options.only]
    data_dir = Path(tempfile.mkdtemp(prefix="workflow-service-faults-"))
    key = token_hex(8)
    mcp = subprocess.Popen(
        [sys.executable, str(MCP_SERVER), "http"],
        env={**os.environ, "MCP_TEST_KEY": key},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert mcp.stdout is not None
    try:
        port = int(mcp.stdout.readline())
        with serving(port, key) as wire:
            outcomes = _run(data_dir, wire, rows, options.policies)
    finally:
        mcp.kill()
        mcp.wait()
        mcp.stdout.close()
    found = document(outcomes) | {"adviser_was_asked": wire.advised}
    options.report.parent.mkdir(parents=True, exist_ok=True)
    options.report.write_text(json.dumps(found, indent=2) + "\n")
    options.report.with_suffix(".md").write_text(table(outcomes))
    sys.stdout.write(json.dumps(found["policies"], indent=2) + f"\n{options.report} written.\n")
    ours, misled = (
        figures_of([one for one in outcomes if one.policy == policy]) for policy in (OURS, MISLED)
    )
    recovered = all(one.recovery_rate >= LEAST_RECOVERED for one in (ours, misled) if one.rows)
    # A model may have a try wasted, within what the policy allows. It must not do harm.
    holds = recovered and ours.wrong == 0 and misled.harmed == 0
    if options.keep or not holds:
        sys.stdout.write(f"The logs are in {data_dir / 'logs'}.\n")
    else:
        shutil.rmtree(data_dir, ignore_errors=True)
    return 0 if holds or options.only else 1


def _run(data_dir: Path, wire: Wire, rows: list[Row], policies: list[str]) -> list[Any]:
    cases = [(case_of(row, policy), row) for policy in policies for row in rows]
    with ChaosStack(data_dir, _environment(data_dir, wire, cases)) as stack:
        stack.set_django_up()
        for number in range(WORKERS):
            stack.add(f"worker{number}", worker_command(f"worker{number}"))
        stack.add("control", control_command("control"))
        stack.add("beat", BEAT_COMMAND)
        # Only now is there a database for what imports models.
        run_on = importlib.import_module("tests.chaos.fault_matrix.campaign").run_on
        return list(run_on(stack, wire, rows, policies))


def _environment(data_dir: Path, wire: Wire, cases: list[tuple[str, Row]]) -> dict[str, str]:
    """Return the settings of the stack: defaults, but for where everything is."""
    servers: dict[str, Any] = {"mortal": {"command": sys.executable, "args": [str(MCP_SERVER), "stdio"]}}
    servers |= {case: {"url": wire.url(case, "mcp")} for case, row in cases if row.agent == "MCP"}
    file = data_dir / "mcp.json"
    file.write_text(json.dumps({"mcpServers": servers}))
    price = {"inputUsdPerMTok": "1", "outputUsdPerMTok": "4"}
    adviser = {"name": ADVISER, "url": f"{wire.url(ADVISER)}/v1", "models": [{"name": ADVISER, **price}]}
    # Whoever names no model is answered by the first provider.
    providers = [adviser | {"apiKey": "key"}] + [
        {"name": case, "url": f"{wire.url(case)}/v1", "apiKey": "key", "models": [{"name": case, **price}]}
        for case, row in cases
        if row.agent == "LLM"
    ]
    return {
        "USE_CASE_MODULES": "tests.chaos.fault_matrix.work",
        "EGRESS_ALLOW": "127.0.0.1",
        "MCP_SERVERS_FILE": str(file),
        "LLM_PROVIDERS": json.dumps(providers),
        "SCRIPT_ISOLATION": "best_effort",
    }


if __name__ == "__main__":
    sys.exit(main())
