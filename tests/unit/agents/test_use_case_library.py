import hashlib
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.invocations import make_invocation, make_limits
from workflow_service.agents.errors import ToolError
from workflow_service.agents.runtimes import invoke
from workflow_service.agents.use_cases import load_use_cases
from workflow_service.engine.states import ErrorType, ToolType

load_use_cases()


@pytest.fixture
def files(tmp_path: Path) -> Path:
    directory = tmp_path / "files" / "ws_1"
    directory.mkdir(parents=True)
    return directory


def call(tmp_path: Path, name: str, **values: Any) -> Any:
    invocation = make_invocation(ToolType.USE_CASE, {"useCase": name, "input": values})
    return invoke(invocation, make_limits(tmp_path))


def failure(tmp_path: Path, name: str, **values: Any) -> ToolError:
    with pytest.raises(ToolError) as caught:
        call(tmp_path, name, **values)
    return caught.value


def test_text_template(tmp_path: Path) -> None:
    values = {"name": "Ada", "order": {"lines": [{"sku": "a"}], "paid": True, "note": None}}
    text = "Dear $name, ${order.lines[0].sku} for $$5. Paid: $order.paid.$order.note $order.lines"
    expected = 'Dear Ada, a for $5. Paid: true. [{"sku": "a"}]'
    assert call(tmp_path, "text.template", template=text, values=values) == {"text": expected}


def test_text_template_knows_no_attributes(tmp_path: Path) -> None:
    error = failure(tmp_path, "text.template", template="$name.__class__", values={"name": "Ada"})
    assert error.error_type == ErrorType.VALIDATION_ERROR
    assert "name is not an object" in error.message


def test_text_template_missing_names(tmp_path: Path) -> None:
    assert "has no 'nme'" in failure(tmp_path, "text.template", template="$nme", values={"name": 1}).message
    assert call(tmp_path, "text.template", template="[$nme]", missing="empty") == {"text": "[]"}


def test_text_template_stray_dollar(tmp_path: Path) -> None:
    assert (
        "line 2: a $ that begins no name" in failure(tmp_path, "text.template", template="a\n5 $ b").message
    )


def test_text_template_is_bounded(tmp_path: Path) -> None:
    error = failure(tmp_path, "text.template", template="$a" * 2_000, values={"a": "x" * 1_000})
    assert "longer than" in error.message


def test_json_select(tmp_path: Path) -> None:
    value = {"user": {"id": 3, "tags": ["a", "b"]}}
    paths = {"id": "user.id", "last": "user.tags[-1]"}
    assert call(tmp_path, "json.select", value=value, paths=paths) == {"id": 3, "last": "b"}
    assert (
        "user has no 'name'"
        in failure(tmp_path, "json.select", value=value, paths={"n": "user.name"}).message
    )
    assert call(tmp_path, "json.select", value=value, paths={"n": "user.name"}, missing="null") == {"n": None}


def test_csv_read_tells_bad_rows(tmp_path: Path, files: Path) -> None:
    files.joinpath("sales.csv").write_bytes(
        b'\xef\xbb\xbfid,name\r\n1,"a, b"\r\n2\r\n\r\n3,c,d\r\n4,\xc3\xa4\r\n'
    )
    assert call(tmp_path, "csv.read", file="sales.csv") == {
        "columns": ["id", "name"],
        "rows": [{"id": "1", "name": "a, b"}, {"id": "4", "name": "ä"}],
        "rowCount": 2,
        "badRows": [
            {"line": 3, "reason": "1 cells, but the header has 2"},
            {"line": 5, "reason": "3 cells, but the header has 2"},
        ],
        "badRowCount": 2,
        "more": False,
    }


def test_csv_read_of_text_with_limit(tmp_path: Path) -> None:
    read = call(tmp_path, "csv.read", text="a;b\n1;2\n3;4\n", delimiter=";", limit=1)
    assert read["rows"] == [{"a": "1", "b": "2"}]
    assert read["more"] is True
    assert call(tmp_path, "csv.read", text="a;b\n1;2\n", delimiter=";", limit=1)["more"] is False
    assert call(tmp_path, "csv.read", text="")["columns"] == []


def test_csv_read_refuses_what_is_no_table(tmp_path: Path, files: Path) -> None:
    files.joinpath("latin.csv").write_bytes(b"a\n\xe4\n")
    assert failure(tmp_path, "csv.read", file="latin.csv").error_type == ErrorType.VALIDATION_ERROR
    assert call(tmp_path, "csv.read", file="latin.csv", encoding="latin-1")["rows"] == [{"a": "ä"}]
    assert "line 2 is not CSV" in failure(tmp_path, "csv.read", text='a\n"x" y\n').message
    assert "same name" in failure(tmp_path, "csv.read", text="a,a\n").message
    assert "either 'file' or 'text'" in failure(tmp_path, "csv.read").message


@pytest.mark.parametrize("name", ["../ws_2/secret.csv", "/etc/passwd", "link", "no.csv", "", "a\x00b", "."])
def test_files_of_others_are_not_there(tmp_path: Path, files: Path, name: str) -> None:
    other = files.parent / "ws_2"
    other.mkdir()
    other.joinpath("secret.csv").write_text("a\n")
    files.joinpath("link").symlink_to(other / "secret.csv")
    for use_case in ("csv.read", "file.hash"):
        assert failure(tmp_path, use_case, file=name).error_type == ErrorType.RESOURCE_NOT_FOUND


def test_file_hash(tmp_path: Path, files: Path) -> None:
    files.joinpath("a.bin").write_bytes(b"abc" * 100_000)
    digest = hashlib.sha256(b"abc" * 100_000).hexdigest()
    expected = {"algorithm": "sha256", "digest": digest, "bytes": 300_000}
    assert call(tmp_path, "file.hash", file="a.bin") == expected
    assert failure(tmp_path, "file.hash", file="a.bin", algorithm="md5").problems[0].pointer == "/algorithm"


@pytest.mark.parametrize(("n", "value"), [(0, 0), (1, 1), (2, 1), (10, 55), (90, 2880067194370816120)])
def test_math_fib(tmp_path: Path, n: int, value: int) -> None:
    assert call(tmp_path, "math.fib", n=n) == {"n": n, "value": value}


def test_math_fib_is_bounded(tmp_path: Path) -> None:
    assert failure(tmp_path, "math.fib", n=1_001).problems[0].pointer == "/n"


def test_time_now(tmp_path: Path) -> None:
    told = call(tmp_path, "time.now", timezone="Europe/Berlin")
    moment = datetime.fromisoformat(told["iso"])
    assert moment.timestamp() == pytest.approx(told["epochMs"] / 1_000, abs=0.002)
    assert told["iso"].startswith(told["date"])
    assert "no time zone 'Mars/Base'" in failure(tmp_path, "time.now", timezone="Mars/Base").message
    assert (
        "no time zone '../../etc/passwd'"
        in failure(tmp_path, "time.now", timezone="../../etc/passwd").message
    )
