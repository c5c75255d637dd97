"""Two lists of records joined by the fields they share."""

from typing import Literal

from pydantic import Field, model_validator

from workflow_service.agents.library.records import Keys, field_of, identity
from workflow_service.agents.library.shapes import Output, Params, Record, Records
from workflow_service.agents.use_cases import use_case


class JoinInput(Params):
    """``on`` are fields both have; or give ``left_on`` and ``right_on``. Null joins nothing.

    ``how``: inner keeps pairs only, left and full also what has no partner, anti only the left ones without.
    Fields that both have, but for those joined on, get ``prefix`` on the right side.
    """

    left: Records
    right: Records
    on: Keys | None = None
    left_on: Keys | None = None
    right_on: Keys | None = None
    how: Literal["inner", "left", "full", "anti"] = "inner"
    prefix: str = Field("right_", min_length=1, max_length=50)
    limit: int = Field(200_000, ge=1, le=1_000_000)

    @model_validator(mode="after")
    def joined_on(self) -> "JoinInput":
        if (self.on is None) == (self.left_on is None) or (self.left_on is None) != (self.right_on is None):
            raise ValueError("give either 'on', or both 'leftOn' and 'rightOn'")
        if self.left_on is not None and len(self.left_on) != len(self.right_on or []):
            raise ValueError("'leftOn' and 'rightOn' must name equally many fields")
        return self


class JoinOutput(Output):
    """``matched`` counts the left records that have a partner, the others have none."""

    records: list[Record]
    count: int
    matched: int
    unmatched_left: int
    unmatched_right: int


@use_case("data.join")
def join_records(params: JoinInput) -> JoinOutput:
    """Join two lists of records by the fields they share."""
    left_on, right_on = params.on or params.left_on or [], params.on or params.right_on or []
    partners: dict[str, list[int]] = {}
    for position, record in enumerate(params.right):
        key = _key(record, right_on)
        if key is not None:
            partners.setdefault(key, []).append(position)
    records: list[Record] = []
    used: set[int] = set()
    matched = 0
    for record in params.left:
        key = _key(record, left_on)
        found = partners.get(key, []) if key is not None else []
        matched += bool(found)
        used.update(found)
        if params.how == "anti":
            records += [] if found else [record]
        else:
            records += [_merged(record, params.right[position], params) for position in found]
            records += [record] if not found and params.how != "inner" else []
        if len(records) > params.limit:
            raise ValueError(
                f"the join makes more than {params.limit} records; are the fields it joins on unique?"
            )
    if params.how == "full":
        rest = (record for position, record in enumerate(params.right) if position not in used)
        records += [_merged({}, record, params) for record in rest]
    return JoinOutput(
        records=records,
        count=len(records),
        matched=matched,
        unmatched_left=len(params.left) - matched,
        unmatched_right=len(params.right) - len(used),
    )


def _key(record: Record, paths: list[str]) -> str | None:
    values = [field_of(record, path) for path in paths]
    return None if None in values else identity(values)


def _merged(left: Record, right: Record, params: JoinInput) -> Record:
    shared = set(params.on or ())
    return left | {
        (params.prefix + name if name in left and name not in shared else name): value
        for name, value in right.items()
        if not (name in shared and name in left)
    }
