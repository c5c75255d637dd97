"""What the pipeline's blocks take and give; paths are those of a run's files, money is US dollars."""

from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from examples.sales_etl.cleaning import Fault, Rules
from examples.sales_etl.reporting import Quality


class Values(BaseModel):
    """Camel case outside, as document A writes it; unknown fields are refused."""

    model_config = ConfigDict(
        alias_generator=to_camel, validate_by_name=True, serialize_by_alias=True, extra="forbid", frozen=True
    )


class Work(Values):
    """When and where a block worked, measured inside it; times are the machine's clock, UTC."""

    started_at: datetime
    finished_at: datetime
    process_id: int
    cpu_ms: float


class Rejection(Values):
    """One line of ``rejected.jsonl``: a row of the CSV that was not loaded, as it stood, and every reason."""

    line: int
    faults: tuple[Fault, ...]
    values: dict[str, Any]


class ExtractedInput(Values):
    extracted_path: Path


class ProfileOutput(Values):
    profile_path: Path
    profiled_rows: int
    profile_work: Work


class ValidateInput(ExtractedInput):
    columns: tuple[str, ...]
    rules: Rules | None = None


class ValidateOutput(Values):
    invalid_path: Path
    valid_rows: int
    invalid_rows: int
    validate_work: Work


class DeduplicateOutput(Values):
    duplicates_path: Path
    compared_rows: int
    repeated_orders: int
    suspected_pairs: int
    deduplicate_work: Work


class AssessInput(ExtractedInput):
    invalid_path: Path
    duplicates_path: Path


class AssessOutput(Values):
    """``bad_percent`` is 0-100 and not rounded; ``quality_summary`` says it all in one sentence."""

    rejected_path: Path
    good_rows: int
    bad_rows: int
    bad_percent: float
    reasons: dict[str, int]
    quality_summary: str
    assess_work: Work


class TransformInput(ExtractedInput):
    rejected_path: Path
    rules: Rules | None = None


class TransformOutput(Values):
    transformed_path: Path
    transformed_rows: int
    mended_rows: int
    transform_work: Work


class LoadInput(Values):
    transformed_path: Path


class LoadOutput(Values):
    """``loaded_revenue`` is US dollars, as text so that no cent is lost."""

    loaded_rows: int
    loaded_days: int
    loaded_revenue: Decimal
    times_loaded: int
    load_work: Work


class ReportInput(Values):
    csv_path: str
    rejected_path: Path
    rows: int
    bad_rows: int
    mended_rows: int = 0
    reasons: dict[str, int]
    suspected_pairs: int
    approved: bool | None = None
    comments: str | None = None

    def quality(self) -> Quality:
        """Return what the report says about the rows."""
        return Quality(
            csv_path=self.csv_path,
            rows=self.rows,
            bad_rows=self.bad_rows,
            mended_rows=self.mended_rows,
            reasons=self.reasons,
            rejected_path=str(self.rejected_path),
            suspected_pairs=self.suspected_pairs,
            approved_bad_rows=bool(self.approved),
        )


class ReportOutput(Values):
    report_path: Path
    chart_path: Path | None = None
    report_work: Work
