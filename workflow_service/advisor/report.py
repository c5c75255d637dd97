"""What an analysis answers: a score with its parts, and the suggestions that are open."""

from dataclasses import dataclass
from datetime import datetime

from templates_app.models import Template, TemplateVersion
from workflow_service.advisor.models import OptimizationRecord
from workflow_service.advisor.scoring import Score


@dataclass(frozen=True, slots=True)
class Report:
    """The analysis of one version by ``runs`` of its runs that began from ``since`` on.

    ``potential_score`` is the score if all that is suggested were done. ``model`` is the language model that ranked
    and worded, empty where rules did; ``notes`` say what the analysis could not see, for people.
    """

    template: Template
    version: TemplateVersion
    since: datetime
    runs: int
    score: Score
    potential_score: int
    suggestions: tuple[OptimizationRecord, ...]
    model: str = ""
    notes: tuple[str, ...] = ()
