"""How scripts are isolated on this host: said by health and by ``manage.py check --deploy``."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from django.core import checks

from workflow_service.agents.limits import tool_limits
from workflow_service.agents.script_process import probe_fences, required_fences


@dataclass(frozen=True, slots=True)
class Isolation:
    """``fences`` that stand on this host, and those ``missing`` without which scripts are refused."""

    fences: frozenset[str]
    missing: frozenset[str]

    @property
    def is_whole(self) -> bool:
        """Whether files, system calls and the network each have a fence."""
        return {"files", "calls", "network"} <= self.fences

    def __str__(self) -> str:
        standing = ", ".join(sorted(self.fences)) or "none"
        if self.missing:
            return (
                f"scripts are refused: no fence for {', '.join(sorted(self.missing))}; standing: {standing}"
            )
        return f"fences: {standing}"


@cache
def isolation() -> Isolation:
    """Return how scripts are isolated here; the kernel is asked once."""
    limits = tool_limits()
    fences = probe_fences(limits)
    return Isolation(fences, required_fences(limits) - fences)


def check_isolation(app_configs: Sequence[Any] | None, **options: Any) -> list[checks.CheckMessage]:
    """Say what holds, and warn of what does not."""
    found = isolation()
    if found.missing:
        hint = "Use a kernel with Landlock and seccomp, or accept less with SCRIPT_ISOLATION=best_effort."
        return [checks.Warning(f"On this host {found}.", hint=hint, id="agents.W001")]
    if not found.is_whole and tool_limits().script.isolation == "best_effort":
        return [checks.Warning(f"On this host scripts run all the same; {found}.", id="agents.W002")]
    return [checks.Info(f"Scripts are isolated; {found}.", id="agents.I001")]
