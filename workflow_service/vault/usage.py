"""Which templates name a secret. Templates know that, and are above this app: they register themselves."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from workflow_service.accounts.models import Workspace


@dataclass(frozen=True, slots=True)
class User:
    """A template whose current version names a secret."""

    template_id: str
    name: str


UsageSource = Callable[[Workspace, Collection[str]], Mapping[str, Sequence[User]]]
_sources: list[UsageSource] = []


def register_usage_source(source: UsageSource) -> None:
    """Let ``source`` say who uses the secrets of a workspace, by their names."""
    _sources.append(source)


def users_of(workspace: Workspace, names: Collection[str]) -> dict[str, list[User]]:
    """Return who uses each of these secrets: a hint, for a name may stand in a text that is none."""
    found: dict[str, list[User]] = {name: [] for name in names}
    for source in _sources:
        for name, users in source(workspace, names).items():
            found[name] += users
    return found
