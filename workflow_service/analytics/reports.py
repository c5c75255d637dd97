"""What is answered about how runs went: of templates (document B section 7.1), and of a workspace."""

from collections.abc import Mapping
from dataclasses import dataclass

from workflow_service.analytics.figures import ErrorAnalysis, Point, StatePerformance, Statistics
from workflow_service.analytics.insights import Insight
from workflow_service.analytics.time_ranges import Granularity, TimeRange


@dataclass(frozen=True, slots=True)
class WorkflowAnalytics:
    """How the runs of some templates, or of one version, went; blocks that took the most time come first."""

    time_range: TimeRange
    granularity: Granularity
    statistics: Statistics
    error_analysis: ErrorAnalysis
    state_performance: tuple[StatePerformance, ...]
    series: tuple[Point, ...]
    insights: tuple[Insight, ...]

    @property
    def ai_insights(self) -> tuple[str, ...]:
        """The sentences of the insights, under document B's name; rules write them."""
        return tuple(insight.text for insight in self.insights)


@dataclass(frozen=True, slots=True)
class Overview:
    """How the runs of a workspace went, in all and by template (primary key), the busiest first."""

    time_range: TimeRange
    granularity: Granularity
    statistics: Statistics
    error_analysis: ErrorAnalysis
    templates: Mapping[int, Statistics]
    series: tuple[Point, ...]
