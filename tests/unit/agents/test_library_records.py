"""The library's work on records, tables and documents."""

from pathlib import Path
from typing import Any

import pytest

from tests.library_caller import Library
from workflow_service.agents.configuration import configuration_errors
from workflow_service.engine.states import ErrorType, ToolType


@pytest.fixture
def call(tmp_path: Path) -> Library:
    return Library(tmp_path)


SALES: list[dict[str, Any]] = [
    {"region": "north", "amount": 3, "sku": "a", "when": None},
    {"region": "south", "amount": 4.5, "sku": "b"},
    {"region": "north", "amount": 5, "sku": "c", "tags": ["x"]},
]


def test_filter_parts_records(call: Library) -> None:
    found = call("data.filter", records=SALES, where="amount > 3 and region == 'north'")
    assert [one["sku"] for one in found["records"]] == ["c"]
    assert (found["count"], found["rejectedCount"]) == (1, 2)
    error = call.failure("data.filter", records=SALES, where="len(tags) > 0")
    assert error.error_type == ErrorType.VALIDATION_ERROR
    assert error.message.startswith("record 0: ")
    told = call("data.filter", records=SALES, where="len(tags) > 0", onError="report")
    assert (told["count"], told["badCount"], told["badRecords"][0]["index"]) == (1, 2, 0)
    assert call("data.filter", records=SALES, where="index == 2 and item.sku == 'c'")["count"] == 1


@pytest.mark.parametrize(
    "where", ["amount >", "__import__('os')", "item.__class__ == 1", "1 + 1", "open('x')"]
)
def test_a_condition_that_is_none_is_found_before_the_run(where: str) -> None:
    given: dict[str, Any] = {"useCase": "data.filter", "records": [], "where": where}
    if where == "item.__class__ == 1":
        assert configuration_errors(ToolType.USE_CASE, given) == []  # A field of that name might be there.
        return
    (problem,) = configuration_errors(ToolType.USE_CASE, given)
    assert problem.pointer == "/where"
    given["where"] = "${workflow.input.condition}"
    assert configuration_errors(ToolType.USE_CASE, given) == []


def test_no_attribute_is_read(call: Library) -> None:
    error = call.failure("data.filter", records=SALES, where="item.__class__ == 1")
    assert "__class__" in error.message


def test_map_computes_and_keeps(call: Library) -> None:
    fields = {"double": "amount * 2", "where": "upper(region)"}
    assert call("data.map", records=SALES[:1], fields=fields, keep=["sku"])["records"] == [
        {"sku": "a", "double": 6, "where": "NORTH"}
    ]
    assert call("data.map", records=SALES[:1], fields={"n": "index"}, keep="none")["records"] == [{"n": 0}]
    assert "record 1" in call.failure("data.map", records=[{"a": 1}, {}], fields={"b": "a + 1"}).message


def test_convert_reads_texts_strictly(call: Library) -> None:
    records = [
        {"n": " 12 ", "x": "1.5e2", "ok": "Yes", "day": "2026-03-31"},
        {"n": "", "x": "-.5", "ok": "0", "day": "2026-03-31"},
        {"n": "1.5", "x": "1", "ok": "no", "day": "2026-03-31"},
        {"n": "1", "x": "nan", "ok": "no", "day": "2026-03-31"},
        {"n": "1", "x": "1", "ok": "maybe", "day": "2026-03-31"},
        {"n": "1", "x": "1", "ok": "no", "day": "31.3.2026"},
        {"n": "٣", "x": "1", "ok": "no", "day": "2026-03-31"},
    ]
    types = {"n": "integer", "x": "number", "ok": "boolean", "day": "date"}
    told = call("data.convert", records=records, types=types)
    assert told["records"] == [
        {"n": 12, "x": 150.0, "ok": True, "day": "2026-03-31"},
        {"n": None, "x": -0.5, "ok": False, "day": "2026-03-31"},
    ]
    assert [one["index"] for one in told["badRecords"]] == [2, 3, 4, 5, 6]
    assert "'x': 'nan' is no number" in told["badRecords"][1]["reason"]


def test_group_sums_up(call: Library) -> None:
    aggregate = {
        "orders": {"function": "count"},
        "total": {"function": "sum", "of": "amount"},
        "mean": {"function": "average", "of": "amount"},
        "first": {"function": "first", "of": "sku"},
        "most": {"function": "max", "of": "amount"},
        "all": {"function": "list", "of": "sku"},
    }
    north, south = call("data.group", records=SALES, by=["region"], aggregate=aggregate)["groups"]
    assert north == {
        "region": "north", "orders": 2, "total": 8, "mean": 4.0, "first": "a", "most": 5, "all": ["a", "c"]
    }  # fmt: skip
    assert south["orders"] == 1
    (whole,) = call("data.group", records=[], aggregate={"n": {"function": "count"}, "m": aggregate["mean"]})[
        "groups"
    ]
    assert whole == {"n": 0, "m": None}
    bad = call.failure("data.group", records=[{"a": "x"}], aggregate={"s": {"function": "sum", "of": "a"}})
    assert "only numbers can be summed" in bad.message
    assert (
        "needs 'of'" in call.failure("data.group", records=[], aggregate={"s": {"function": "sum"}}).message
    )


def test_sort_puts_null_last_either_way(call: Library) -> None:
    records = [{"a": 2}, {"a": None}, {"a": 1}, {"b": 1}, {"a": 2, "b": 0}]
    assert [one.get("a") for one in call("data.sort", records=records, by=["a"])["records"]] == [
        1,
        2,
        2,
        None,
        None,
    ]
    turned = call("data.sort", records=records, by=["-a", "b"], limit=2)["records"]
    assert turned == [{"a": 2, "b": 0}, {"a": 2}]
    assert "no order beside" in call.failure("data.sort", records=[{"a": 1}, {"a": "x"}], by=["a"]).message
    assert call("data.sort", records=[{"a": {"b": 2}}, {"a": {"b": 1}}], by=["a.b"])["records"][0] == {
        "a": {"b": 1}
    }


def test_distinct_knows_one_from_true(call: Library) -> None:
    found = call("data.distinct", records=[{"a": 1}, {"a": True}, {"a": 1.0}, {"a": "1"}])
    assert (found["count"], found["duplicates"]) == (3, [{"a": 1.0}])


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("inner", [{"id": 1, "n": "a", "right_n": "x"}]),
        ("left", [{"id": 1, "n": "a", "right_n": "x"}, {"id": 2, "n": "b"}, {"id": None, "n": "c"}]),
        ("anti", [{"id": 2, "n": "b"}, {"id": None, "n": "c"}]),
    ],
)
def test_join(call: Library, how: str, expected: list[Any]) -> None:
    left = [{"id": 1, "n": "a"}, {"id": 2, "n": "b"}, {"id": None, "n": "c"}]
    right = [{"id": 1, "n": "x"}, {"id": 3, "n": "y"}, {"id": None, "n": "z"}]
    joined = call("data.join", left=left, right=right, on=["id"], how=how)
    assert joined["records"] == expected
    assert (joined["matched"], joined["unmatchedLeft"], joined["unmatchedRight"]) == (1, 2, 2)


def test_a_join_that_explodes_is_stopped(call: Library) -> None:
    same = [{"k": 1}] * 2_000
    assert (
        "more than 1000 records"
        in call.failure("data.join", left=same, right=same, on=["k"], limit=1_000).message
    )
    assert (
        "equally many"
        in call.failure("data.join", left=[], right=[], leftOn=["a"], rightOn=["b", "c"]).message
    )


def test_diff_tells_field_by_field(call: Library) -> None:
    before = [{"id": 1, "a": 1, "t": 1}, {"id": 2, "a": 1}]
    after = [{"id": 1, "a": 2, "t": 2}, {"id": 3, "a": 1}]
    told = call("data.diff", before=before, after=after, key=["id"], ignore=["t"])
    assert told["changed"] == [{"key": {"id": 1}, "fields": {"a": {"before": 1, "after": 2}}}]
    assert (told["added"], told["removed"], told["same"]) == ([{"id": 3, "a": 1}], [{"id": 2, "a": 1}], False)
    assert (
        "another one has the same id"
        in call.failure("data.diff", before=before * 2, after=[], key=["id"]).message
    )


def test_compute_split_concat(call: Library) -> None:
    fields = {"total": "sum(costs)", "over": "total > budget"}
    assert call("data.compute", values={"costs": [1, 2], "budget": 2}, fields=fields) == {
        "total": 3,
        "over": True,
    }
    assert "over: " in call.failure("data.compute", fields={"over": "missing > 1"}).message
    assert call("data.split", items=[1, 2, 3], size=2) == {"parts": [[1, 2], [3]], "count": 2}
    assert call("data.concat", lists=[[1], [], [2]]) == {"items": [1, 2], "count": 2}


def test_validate_parts_valid_records(call: Library) -> None:
    schema = {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer", "minimum": 1}}}
    told = call("data.validate", records=[{"n": 1}, {"n": 0}, {}], schema=schema)
    assert (told["valid"], told["validCount"], told["invalidCount"]) == (False, 1, 2)
    assert told["invalid"][0]["problems"][0]["pointer"] == "/n"
    call.put("n.json", b'{"minProperties": 1}')
    assert call("data.validate", records=[{"n": 1}], schemaFile="n.json")["valid"] is True


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({"type": "no such"}, "the schema is not right"),
        ({"$ref": "http://127.0.0.1/schema.json"}, "cannot be used"),
        ({"$ref": "file:///etc/passwd"}, "cannot be used"),
    ],
)
def test_a_schema_reaches_nothing_outside(call: Library, schema: Any, message: str) -> None:
    assert message in call.failure("data.validate", records=[{"n": 1}], schema=schema).message


def test_csv_types_and_writing(call: Library) -> None:
    text = "id;amount\n1;2,5\n2;x\n3;4\n"
    told = call("csv.read", text=text, delimiter=";", types={"id": "integer", "amount": "number"})
    assert told["rows"] == [{"id": 3, "amount": 4}]
    assert [one["line"] for one in told["badRows"]] == [2, 3]
    assert "does not have: nope" in call.failure("csv.read", text="a\n", types={"nope": "number"}).message
    assert call("csv.read", text="1,2\n", columns=["a", "b"])["rows"] == [{"a": "1", "b": "2"}]
    written = call(
        "csv.write", records=[{"a": '=1+"x"', "b": None, "c": True, "d": -1.5}], columns=["a", "b", "c", "d"]
    )
    assert call.files.text(written["artifact"]) == 'a,b,c,d\r\n"\'=1+""x""",,true,-1.5\r\n'
    back = call("csv.read", file=written["artifact"])
    assert back["rows"][0]["d"] == "-1.5"
    assert "list or an object" in call.failure("csv.write", records=[{"a": [1]}]).message
    assert (
        "that the first has not (b)"
        in call.failure("csv.write", records=[{"a": 1}, {"a": 1, "b": 2}]).message
    )


def test_json_files_and_queries(call: Library) -> None:
    written = call("json.write", value={"items": [{"n": 1}, {"n": 2}]})
    assert call("json.read", file=written["artifact"]["artifactId"], path="items")["count"] == 2
    lines = call("json.write", value=[1, {"a": 2}], lines=True, name="x.ndjson")
    assert call.files.text(lines["artifact"]) == '1\n{"a": 2}\n'
    assert call("json.read", file=lines["artifact"], lines=True)["value"] == [1, {"a": 2}]
    call.put("bad.json", b'{"a": [1,\n 2,}')
    assert "line 2, column" in call.failure("json.read", file="bad.json").message
    call.put("twice.json", b'{"a": 1, "a": 2}')
    assert "given twice" in call.failure("json.read", file="twice.json").message
    value = {"orders": [{"lines": [{"sku": "a"}, {"sku": "b"}]}, {"lines": [{"sku": "c"}, {"no": 1}]}]}
    found = call("json.query", value=value, path="orders.*.lines.*.sku")
    assert (found["values"], found["first"]) == (["a", "b", "c"], "a")
    assert call("json.query", value=value, path="orders.*.lines[0].sku")["values"] == ["a", "c"]
    assert call("json.query", value=[1, 2], path="*")["values"] == [1, 2]
    assert call("json.query", value=value, path="nothing.here", default=0)["first"] == 0


def test_xml_becomes_json(call: Library) -> None:
    text = '<shelf><book id="1"><title>A</title></book><book id="2"><title>B</title><by>x</by><by>y</by></book></shelf>'
    told = call("xml.read", text=text, records="book")
    assert told["records"] == [{"@id": "1", "title": "A"}, {"@id": "2", "title": "B", "by": ["x", "y"]}]
    assert call("xml.read", text="<a>1</a>")["document"] == "1"
    assert "line 1, column" in call.failure("xml.read", text="<a>").message


BOMB = '<!DOCTYPE a [<!ENTITY b "x"><!ENTITY c "&b;&b;&b;&b;">]><a>&c;</a>'
OUTSIDE = '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>'


@pytest.mark.parametrize("text", [BOMB, OUTSIDE, '<!DOCTYPE a SYSTEM "http://127.0.0.1/x"><a/>'])
def test_xml_with_a_document_type_is_not_read(call: Library, text: str) -> None:
    assert "document type" in call.failure("xml.read", text=text).message


def test_xml_is_bounded(call: Library) -> None:
    assert "more than 50 in one another" in call.failure("xml.read", text="<a>" * 60 + "</a>" * 60).message


def test_statistics(call: Library) -> None:
    told = call("stats.describe", values=[1, 2, 3, 4, None])["fields"]["values"]
    assert (told["count"], told["missing"], told["mean"], told["median"], told["p25"]) == (
        4,
        1,
        2.5,
        2.5,
        1.75,
    )
    fields = call("stats.describe", records=SALES, fields=["region", "amount"])["fields"]
    assert fields["region"]["top"] == [{"value": "north", "count": 2}, {"value": "south", "count": 1}]
    assert fields["amount"]["sum"] == 12.5
    fit = call("stats.fit", x=[0, 1, 2, 3], y=[1, 3, 5, 7], predict=[10], holdout=0.25)
    assert (fit["slope"], fit["intercept"], fit["predictions"], fit["trained"]) == (2.0, 1.0, [21.0], 3)
    assert "no line fits" in call.failure("stats.fit", x=[1, 1], y=[1, 2]).message
    outliers = call("stats.outliers", values=[1.0] * 20 + [100.0])
    assert [one["index"] for one in outliers["outliers"]] == [20]
    assert call("stats.outliers", values=[])["count"] == 0


def test_numbers_and_times(call: Library) -> None:
    assert call("numbers.round", value=2.675, digits=2) == {"value": 2.68, "text": "2.68"}
    assert call("numbers.round", value=1250, digits=-2)["value"] == 1300
    assert call("numbers.range", stop=5, step=2)["values"] == [0, 2, 4]
    assert "at most" in call.failure("numbers.range", stop=10**9).message
    friday = "2026-03-27T12:00:00Z"
    assert call("time.shift", at=friday, workdays=1)["date"] == "2026-03-30"
    # The clocks go forward that night: a day of the calendar is not 24 hours.
    assert call("time.shift", at=friday, days=2, timezone="Europe/Berlin")["iso"].startswith(
        "2026-03-29T13:00"
    )
    assert call("time.shift", at=friday, hours=48, timezone="Europe/Berlin")["iso"].startswith(
        "2026-03-29T14:00"
    )
    assert call("time.between", start=friday, end="2026-03-28T00:00:00Z")["hours"] == 12
    assert call("time.format", at=friday, format="%d.%m.", timezone="Asia/Tokyo") == {
        "text": "27.03.", "weekday": 5, "weekend": False
    }  # fmt: skip
    assert "beyond the calendar" in call.failure("time.shift", at="9999-12-31T00:00:00Z", days=2).message
    assert call.failure("time.shift", at="2026-03-27T12:00:00").problems[0].pointer == "/at"
