"""How recovery strategies fare, as people read it in the admin: counts, what to expect, and how sure that is."""

from django.contrib import admin
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.text import Truncator

from executions_app.models import RecoveryPattern, RecoveryStatistic
from executions_app.recovery_patterns import StrategyRecord, records_of
from workflow_service.accounts.admin_policies import PolicyAdmin
from workflow_service.accounts.policies import Action
from workflow_service.engine.recovery_advice import DOES_THE_WORK, Experience, SuccessRate
from workflow_service.engine.states import ErrorClass, RecoveryStrategy
from workflow_service.plurals import counted
from workflow_service.templatetags.workflow_service import moment

# Of an example in the list; its page has the whole.
SHOWN_CHARACTERS = 90


class StrategyRecordAdmin(PolicyAdmin):
    """Rows that are counts of one strategy; looked at, not edited."""

    view_action = Action.EXECUTION_READ
    list_select_related = ("workspace",)
    list_per_page = 50
    show_full_result_count = False

    def record_of(self, row: RecoveryPattern | RecoveryStatistic) -> StrategyRecord:
        """Return what is known of the row's strategy."""
        strategy = RecoveryStrategy(row.strategy)
        own = {strategy: SuccessRate(row.succeeded, row.failed)}
        known = Experience(own)
        if isinstance(row, RecoveryPattern):
            of_class = SuccessRate(
                getattr(row, "class_succeeded", 0) or 0, getattr(row, "class_failed", 0) or 0
            )
            known = Experience({strategy: of_class}, own)
        return records_of(known, ErrorClass(row.error_class), [strategy])[0]

    @admin.display(description="Worked", ordering="succeeded")
    def worked(self, row: RecoveryPattern | RecoveryStatistic) -> str:
        """Say how often it worked; of what does no work again, how often it came to that."""
        tries = row.succeeded + row.failed
        if row.strategy not in DOES_THE_WORK:
            return f"came to it {counted(tries, 'time')}"
        return f"{row.succeeded} of {tries}"

    @admin.display(description="Expected, with 90 % certainty")
    def expected(self, row: RecoveryPattern | RecoveryStatistic) -> str:
        record = self.record_of(row)
        if record.expected is None:
            return "—"
        return f"{record.expected:.0%} ({record.low:.0%} to {record.high:.0%})".replace("%", "\u00a0%")


@admin.register(RecoveryStatistic)
class RecoveryStatisticAdmin(StrategyRecordAdmin):
    """How often each strategy worked for errors of a class."""

    when_empty = (
        "When a block fails, what is done about it is counted here, for each class of error. No block "
        "has failed yet."
    )
    list_display = ("workspace", "error_class", "strategy", "worked", "expected")
    list_filter = ("error_class", "strategy")
    ordering = ("workspace", "error_class", "strategy")


@admin.register(RecoveryPattern)
class RecoveryPatternAdmin(StrategyRecordAdmin):
    """How often each strategy worked for errors that are alike."""

    when_empty = (
        "When blocks fail with errors that are alike, what helped against them is counted here. No "
        "block has failed lately."
    )
    list_display = ("error", "strategy", "worked", "expected", "last_seen")
    list_filter = ("error_class", "error_type", "strategy", "last_seen_at")
    search_fields = ("fingerprint", "example")
    search_help_text = "Fingerprint or words of the message"
    ordering = ("-last_seen_at", "fingerprint", "-succeeded")
    readonly_fields = ("expected",)

    @admin.display(description="Error", ordering="error_type")
    def error(self, row: RecoveryPattern) -> str:
        return f"{row.error_type}: {Truncator(row.example).chars(SHOWN_CHARACTERS)}"

    @admin.display(description="Last seen", ordering="last_seen_at")
    def last_seen(self, row: RecoveryPattern) -> SafeString | str:
        return moment(row.last_seen_at)

    def get_queryset(self, request: HttpRequest) -> "QuerySet[RecoveryPattern]":
        of_class = RecoveryStatistic.objects.filter(
            workspace=OuterRef("workspace"),
            error_class=OuterRef("error_class"),
            strategy=OuterRef("strategy"),
        )
        counts = {f"class_{name}": Subquery(of_class.values(name)[:1]) for name in ("succeeded", "failed")}
        rows: QuerySet[RecoveryPattern] = super().get_queryset(request)
        return rows.annotate(**counts)
