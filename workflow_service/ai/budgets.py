"""Budgets, kept by reserving before every call what it may cost at most.

``spent + reserved <= limit`` holds for every account a call belongs to, at every commit, as long as no call is billed
above its estimate by more than the factor that is reserved. A call that does not fit is not made. What was reserved
becomes what was billed (``settle``); where nobody says what was billed, the whole reservation counts as spent:

    RESERVED --send--> CALLED --bill--> SETTLED     the bill replaces the reservation
       |                  +--no bill--> RELEASED    the provider refused before it worked
       |                  +--lease ran out, or the answer was lost--> ASSUMED    spent in full; a late bill mends it
       +--lease ran out, or given up--> RELEASED    nothing was sent

Accounts are locked in the order of their ids, always, and never while a provider is waited for.
"""

import random
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import ROUND_UP, Decimal

from django.db import transaction
from django.db.models import F, QuerySet
from django.db.models.functions import Greatest, Now
from django.utils import timezone

from workflow_service.accounts.models import User
from workflow_service.ai.errors import BudgetExceeded
from workflow_service.ai.models import Budget, BudgetAccount, LlmUsage, ModelOverrun
from workflow_service.ai.providers import Candidate
from workflow_service.settings.config import get_config

EPOCH = date(1970, 1, 1)
UNIT = Decimal("0.0000000001")
UNDER_WAY = (LlmUsage.State.RESERVED, LlmUsage.State.CALLED)
POLL_S, MAX_POLL_S = 0.1, 1.5
LEASE_GRACE_S = 1.0


@dataclass(frozen=True, slots=True)
class UsageContext:
    """For whom a call is made; ``user_id`` is the user's key, the other ids are public ones."""

    workspace_id: int
    user_id: int | None = None
    template_id: str | None = None
    execution_id: str | None = None
    block_id: str | None = None


@dataclass(frozen=True, slots=True)
class Purpose:
    """What a call is for, as its usage row says it; ``max_cost_usd`` bounds this one call."""

    operation: str
    prompt: str = ""
    max_cost_usd: Decimal | None = None


def lease_s(timeout_s: float) -> float:
    """Return how long a reservation is kept for a call of that timeout: nobody waits for an answer any longer."""
    return 2 * timeout_s + LEASE_GRACE_S


def reserve(
    context: UsageContext,
    purpose: Purpose,
    candidate: Candidate,
    estimate_usd: Decimal,
    *,
    timeout_s: float,
    wait_s: float,
) -> LlmUsage:
    """Reserve what a call may cost, in every budget it belongs to; returns its row, RESERVED.

    While only reservations of others stand in the way it waits, ``wait_s`` at most. Raises ``BudgetExceeded``.
    """
    amount = (estimate_usd * overrun_factor(candidate)).quantize(UNIT, ROUND_UP)
    if purpose.max_cost_usd is not None and amount > purpose.max_cost_usd:
        raise _exceeded("call", purpose.max_cost_usd, amount, Budget.Policy.DOWNGRADE)
    budgets = budgets_of(context)
    for budget in budgets:
        if budget.scope == Budget.Scope.CALL and amount > budget.limit_usd:
            raise _exceeded(budget.scope, budget.limit_usd, amount, budget.policy)
    waits_until = time.monotonic() + wait_s
    account_ids = _account_ids(budgets, context)
    while True:
        try:
            return _reserve(context, purpose, candidate, estimate_usd, amount, account_ids, timeout_s)
        except BudgetExceeded as refused:
            if not refused.waiting:
                raise
            _wait_for_room(account_ids, amount, waits_until, refused)


def _reserve(
    context: UsageContext,
    purpose: Purpose,
    candidate: Candidate,
    estimate_usd: Decimal,
    amount: Decimal,
    account_ids: Sequence[int],
    timeout_s: float,
) -> LlmUsage:
    # Durable: a reservation that is taken back with some outer transaction has let a call pass that it must not.
    with transaction.atomic(durable=True):
        for account in _locked(account_ids):
            _check_fits(account, amount)
        BudgetAccount.objects.filter(pk__in=account_ids).update(reserved_usd=F("reserved_usd") + amount)
        return LlmUsage.objects.create(
            **_origin(context, purpose, candidate),
            state=LlmUsage.State.RESERVED,
            estimated_usd=estimate_usd.quantize(UNIT, ROUND_UP),
            reserved_usd=amount,
            accounts=list(account_ids),
            lease_expires_at=Now() + timedelta(seconds=lease_s(timeout_s)),
        )


def _wait_for_room(
    account_ids: Sequence[int], amount: Decimal, until: float, refused: BudgetExceeded
) -> None:
    """Return when an amount fits, or never will; raises ``refused`` once ``until`` has come."""
    pause_s = POLL_S
    while not settle_expired(account_ids):
        if time.monotonic() >= until:
            raise refused
        time.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311
        pause_s = min(MAX_POLL_S, pause_s * 2)
        try:
            # Without locks: many may wait, and the few at work must not wait for them.
            for account in _accounts(account_ids):
                _check_fits(account, amount)
        except BudgetExceeded as still:
            if still.waiting:
                continue
        return


def _check_fits(account: BudgetAccount, amount: Decimal) -> None:
    budget = account.budget
    if account.spent_usd + amount > budget.limit_usd:
        raise _exceeded(budget.scope, budget.limit_usd, amount, budget.policy)
    if account.spent_usd + account.reserved_usd + amount > budget.limit_usd:
        raise _exceeded(budget.scope, budget.limit_usd, amount, budget.policy, waiting=True)


def _exceeded(
    scope: str, limit: Decimal, amount: Decimal, policy: str, *, waiting: bool = False
) -> BudgetExceeded:
    why = "what others have reserved may use up" if waiting else "too little is left of"
    message = f"a call may cost {amount:.6f} USD, and {why} the budget of {limit:.6f} USD for the {scope}"
    ask = policy == Budget.Policy.ASK
    return BudgetExceeded(
        message,
        scope=scope,
        limit_usd=limit,
        ask=ask,
        waiting=waiting,
        downgrade=policy == Budget.Policy.DOWNGRADE,
    )


def mark_called(usage: LlmUsage) -> bool:
    """Note that the provider is about to be called; False if the reservation has been given back meanwhile."""
    return _move(usage, (LlmUsage.State.RESERVED,), LlmUsage.State.CALLED)


def settle(
    usage: LlmUsage,
    candidate: Candidate,
    *,
    prompt_tokens: int,
    completion_tokens: int,
    outcome: str,
    latency_ms: int,
) -> Decimal:
    """Replace the reservation by what was billed, all of it even where it is more than was reserved; returns it."""
    cost = candidate.cost_usd(prompt_tokens, completion_tokens).quantize(UNIT, ROUND_UP)
    if usage.estimated_usd and cost > usage.estimated_usd:
        _learn_overrun(candidate, cost / usage.estimated_usd)
    _end(
        usage,
        LlmUsage.State.SETTLED,
        cost,
        outcome,
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
        latency_ms=latency_ms,
    )
    return cost


def release(usage: LlmUsage, outcome: str, latency_ms: int = 0) -> None:
    """Give a reservation back: the provider did no work for it."""
    _end(usage, LlmUsage.State.RELEASED, Decimal(0), outcome, latency_ms=latency_ms)


def assume_spent(usage: LlmUsage, outcome: str, latency_ms: int = 0) -> Decimal:
    """Book a reservation in full: the provider may have worked, and nobody knows what it bills."""
    cost: Decimal = usage.reserved_usd
    _end(usage, LlmUsage.State.ASSUMED, cost, outcome, latency_ms=latency_ms)
    return cost


def track_llm_call(
    context: UsageContext, purpose: Purpose, candidate_key: tuple[str, str], *, latency_ms: int
) -> None:
    """Write down an answer that came from the cache: it cost nothing."""
    provider, model = candidate_key
    LlmUsage.objects.create(
        **_origin(context, purpose, None),
        provider=provider,
        model=model,
        state=LlmUsage.State.SETTLED,
        outcome="cached",
        cached=True,
        latency_ms=latency_ms,
    )


def settle_expired(account_ids: Iterable[int] | None = None, *, limit: int = 100) -> int:
    """End the reservations whose leases ran out, because their workers are gone; returns how many.

    Where nothing was sent they are given back; where something may have been, they are spent in full.
    """
    expired = LlmUsage.objects.filter(state__in=UNDER_WAY, lease_expires_at__lt=Now())
    if account_ids is not None:
        expired = expired.filter(accounts__overlap=list(account_ids))
    ended = 0
    for usage in expired.order_by("id")[:limit]:
        called = usage.state == LlmUsage.State.CALLED
        state = LlmUsage.State.ASSUMED if called else LlmUsage.State.RELEASED
        cost = usage.reserved_usd if called else Decimal(0)
        ended += _end(usage, state, cost, "worker_lost", only_from=(usage.state,))
    return ended


def check_budget_limit(context: UsageContext) -> bool:
    """Say whether any of the context's budgets has something left; a call may still be too large for it."""
    accounts = _accounts(_account_ids(budgets_of(context), context))
    return all(one.spent_usd < one.budget.limit_usd for one in accounts)


def budgets_of(context: UsageContext) -> tuple[Budget, ...]:
    """Return the budgets that a call in ``context`` is charged to, in the order of their ids."""
    subjects = _subjects(context)
    rows = Budget.objects.filter(workspace_id=context.workspace_id).order_by("id")
    return tuple(
        budget
        for budget in rows
        if budget.scope in (Budget.Scope.CALL, Budget.Scope.WORKSPACE)
        or (subjects[budget.scope] and budget.subject in ("", subjects[budget.scope]))
    )


def overrun_factor(candidate: Candidate) -> Decimal:
    """Return how many times its estimate is reserved for a call: LLM_OVERRUN_FACTOR, or more where more was billed."""
    provider, model = candidate.key
    seen = (
        ModelOverrun.objects.filter(provider=provider, model=model).values_list("factor", flat=True).first()
    )
    return max(get_config().llm_overrun_factor, seen or Decimal(1))


def period_start(period: str, today: date) -> date:
    """Return the first day of the period that ``today`` is in."""
    match period:
        case Budget.Period.MONTH:
            return today.replace(day=1)
        case Budget.Period.DAY:
            return today
        case _:
            return EPOCH


def _subjects(context: UsageContext) -> dict[str, str]:
    user_id = context.user_id
    user = "" if user_id is None else User.objects.values_list("public_id", flat=True).get(pk=user_id)
    return {
        Budget.Scope.RUN: context.execution_id or "",
        Budget.Scope.WORKFLOW: context.template_id or "",
        Budget.Scope.USER: user,
        Budget.Scope.WORKSPACE: "",
    }


def _account_ids(budgets: Sequence[Budget], context: UsageContext) -> tuple[int, ...]:
    """Return the accounts of today, made where they are missing: outside of the transaction that locks them."""
    today = timezone.now().date()
    subjects = _subjects(context)
    wanted = [
        BudgetAccount(budget=one, subject=subjects[one.scope], period_start=period_start(one.period, today))
        for one in budgets
        if one.scope != Budget.Scope.CALL
    ]
    found = [_account_id(one) for one in wanted]
    if None in found:
        BudgetAccount.objects.bulk_create(wanted, ignore_conflicts=True)
        found = [_account_id(one) for one in wanted]
    return tuple(sorted(pk for pk in found if pk is not None))


def _account_id(one: BudgetAccount) -> int | None:
    rows = BudgetAccount.objects.filter(
        budget_id=one.budget_id, subject=one.subject, period_start=one.period_start
    )
    return rows.values_list("pk", flat=True).first()


def _accounts(account_ids: Sequence[int]) -> QuerySet[BudgetAccount]:
    return BudgetAccount.objects.filter(pk__in=account_ids).select_related("budget").order_by("id")


def _locked(account_ids: Sequence[int]) -> list[BudgetAccount]:
    return list(_accounts(account_ids).select_for_update(of=("self",)))


def _end(
    usage: LlmUsage,
    state: LlmUsage.State,
    cost: Decimal,
    outcome: str,
    *,
    only_from: Sequence[str] = (*UNDER_WAY, LlmUsage.State.ASSUMED),
    **fields: int,
) -> bool:
    """End a call and charge its accounts; a bill that comes after the lease ran out replaces what was assumed."""
    with transaction.atomic(durable=True):
        accounts = _locked(usage.accounts)
        row = LlmUsage.objects.select_for_update().filter(pk=usage.pk, state__in=only_from).first()
        if row is None:
            return False
        reserved = row.reserved_usd if row.state in UNDER_WAY else Decimal(0)
        before = row.cost_usd if row.state == LlmUsage.State.ASSUMED else Decimal(0)
        BudgetAccount.objects.filter(pk__in=[one.pk for one in accounts]).update(
            reserved_usd=Greatest(F("reserved_usd") - reserved, Decimal(0)),
            spent_usd=F("spent_usd") + cost - before,
        )
        values = {"state": state, "cost_usd": cost, "outcome": outcome, "lease_expires_at": None, **fields}
        LlmUsage.objects.filter(pk=usage.pk).update(**values)
    for name, value in values.items():
        setattr(usage, name, value)
    return True


def _move(usage: LlmUsage, old: Sequence[str], new: LlmUsage.State) -> bool:
    moved = LlmUsage.objects.filter(pk=usage.pk, state__in=old).update(state=new)
    if moved:
        usage.state = new
    return bool(moved)


def _learn_overrun(candidate: Candidate, factor: Decimal) -> None:
    if factor <= overrun_factor(candidate):
        return
    provider, model = candidate.key
    values = {"factor": factor.quantize(Decimal("0.0001"), ROUND_UP), "seen_at": timezone.now()}
    _, made = ModelOverrun.objects.get_or_create(provider=provider, model=model, defaults=values)
    if not made:
        lower = ModelOverrun.objects.filter(provider=provider, model=model, factor__lt=values["factor"])
        lower.update(**values)


def _origin(context: UsageContext, purpose: Purpose, candidate: Candidate | None) -> dict[str, object]:
    origin: dict[str, object] = {
        "workspace_id": context.workspace_id,
        "user_id": context.user_id,
        "template_id": context.template_id or "",
        "execution_id": context.execution_id or "",
        "block_id": context.block_id or "",
        "operation": purpose.operation,
        "prompt": purpose.prompt,
        "created_at": Now(),
    }
    if candidate is not None:
        origin |= {"provider": candidate.provider.name, "model": candidate.model.name}
    return origin
