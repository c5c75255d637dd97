"""``/ws/executions/{id}``: everything that happened in a run after ``?after=SEQ``, then what happens."""

from collections.abc import Sequence

from executions_app.models import Execution
from executions_app.selectors import event_message, events_after
from workflow_service.accounts.models import User
from workflow_service.accounts.policies import Action, allows
from workflow_service.accounts.selectors import list_workspaces
from workflow_service.live import FORBIDDEN, NOT_FOUND, FollowingConsumer, Numbered, Refused


class ExecutionConsumer(FollowingConsumer):
    """Sends the events of one execution to a member of its workspace, numbered by ``seq``."""

    def admit(self, user: User) -> Sequence[str]:
        """Return the group of the execution; a foreign one is refused like an unknown one."""
        found = Execution.objects.filter(public_id=self.public_id, workspace__in=list_workspaces(user))
        execution = found.select_related("workspace").first()
        if execution is None:
            raise Refused(NOT_FOUND)
        if not allows(user, execution.workspace, Action.EXECUTION_READ):
            raise Refused(FORBIDDEN)
        self.execution = execution
        return [f"execution.{self.public_id}"]

    def read(self, user: User, after: int, limit: int) -> Sequence[Numbered]:
        """Return the run's events after ``seq``."""
        events = events_after(self.execution, after, limit)
        return [(event.seq, event_message(event, self.public_id)) for event in events]

    @property
    def public_id(self) -> str:
        return str(self.scope["url_route"]["kwargs"]["execution_id"])
