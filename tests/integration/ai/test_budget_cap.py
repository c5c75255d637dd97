"""The cap holds whatever happens: fifty runs, a provider that bills above its estimate, workers that die in a call."""

import json
import sys
from decimal import Decimal

import pytest

from tests.factories import make_workspace
from tests.farms import processes
from tests.llm_server import Scripted, llm_server
from tests.thoroughness import WHOLE
from workflow_service.ai.models import Budget, LlmUsage

CHILDREN, RUNS = 25, 2
# In the short form a call is estimated at 0.01 USD, reserved at 0.02 and billed at 0.018. Unspent stays less than one
# reservation; and of what the books assume, no more than a reservation for each process that died was never billed.
PRICE = Decimal(2)
BILLED = 1.8
TIMEOUT_MS = 1_000


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("max_tokens", "deaths"),
    [
        pytest.param(5_000, 3, id="short"),
        pytest.param(500, 12, id="long", marks=pytest.mark.skipif(not WHOLE, reason="CHAOS=full")),
    ],
)
def test_fifty_runs_and_dying_workers_keep_a_budget_and_use_it(
    monkeypatch: pytest.MonkeyPatch, max_tokens: int, deaths: int
) -> None:
    budget = Budget.objects.create(
        workspace=make_workspace(), limit_usd=1, period=Budget.Period.TOTAL, scope=Budget.Scope.WORKSPACE
    )
    each_run = Budget.objects.create(
        workspace=budget.workspace, limit_usd=1, period=Budget.Period.TOTAL, scope=Budget.Scope.RUN
    )
    model = {"name": "m", "inputUsdPerMTok": "0", "outputUsdPerMTok": str(PRICE)}
    answer = Scripted(delay_s=0.05, tokens=(10, int(max_tokens * BILLED)))
    with llm_server(otherwise=answer) as server:
        provider = {"name": "p", "url": server.url, "models": [model]}
        monkeypatch.setenv("LLM_PROVIDERS", json.dumps([provider]))
        monkeypatch.setenv("LLM_SERVICE_TIMEOUT_MS", str(TIMEOUT_MS))
        arguments = [str(number) for number in (budget.workspace_id, CHILDREN, RUNS, deaths, max_tokens)]
        with processes(sys.executable, "-m", "tests.llm_farm", *arguments) as farm:
            assert farm.wait(timeout=300) == 0
        billed = sum(completion for _, completion in server.bills) * PRICE / 1_000_000
    estimate = max_tokens * PRICE / 1_000_000
    account = budget.accounts.get()
    rows = LlmUsage.objects.filter(workspace=budget.workspace)
    died = rows.filter(outcome="worker_lost")
    states = {state: died.filter(state=state).count() for state in ("RELEASED", "ASSUMED")}
    # What the books say, and what the provider really bills.
    assert Decimal("0.9") <= account.spent_usd <= 1
    assert Decimal("0.9") <= billed <= account.spent_usd
    assert account.reserved_usd == 0
    assert account.spent_usd == sum(rows.values_list("cost_usd", flat=True))
    assert account.spent_usd == sum(each_run.accounts.values_list("spent_usd", flat=True))
    assert all(states.values()), "some died before a call and some in it"
    assert max(rows.filter(state="SETTLED").values_list("cost_usd", flat=True)) > estimate
