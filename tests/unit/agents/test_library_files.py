"""The library's work on texts and files, and what it does about hostile ones."""

import gzip
import hashlib
import io
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.library_caller import Library
from tests.memory_files import MemoryFiles
from workflow_service.engine.states import ErrorType


@pytest.fixture
def call(tmp_path: Path) -> Library:
    return Library(tmp_path)


def test_files_of_the_workspace(call: Library) -> None:
    call.put("in/a.csv", b"a\n1\n")
    assert call("file.copy", file="in/a.csv", to="out/2026/b.csv") == {"file": "out/2026/b.csv", "size": 4}
    assert [one["name"] for one in call("file.list", pattern="*.csv")["files"]] == [
        "in/a.csv",
        "out/2026/b.csv",
    ]
    assert call("file.list", limit=1)["more"] is True
    assert (
        "is there already"
        in call.failure("file.copy", file="in/a.csv", to="out/2026/b.csv", overwrite=False).message
    )
    assert call("file.move", file="in/a.csv", to="done/a.csv")["moved"] is True
    # Tried again after it was done.
    assert call("file.move", file="in/a.csv", to="done/a.csv")["moved"] is False
    assert call.failure("file.move", file="no.csv", to="x.csv").error_type == ErrorType.RESOURCE_NOT_FOUND
    assert call("file.delete", file="done/a.csv")["deleted"] is True
    assert call("file.delete", file="done/a.csv")["deleted"] is False
    assert call("file.read", file="out/2026/b.csv") == {"text": "a\n1\n", "lines": 2}
    assert not list(call.home.rglob("*.part"))


def test_files_become_artifacts_and_files_again(call: Library) -> None:
    call.put("in/a.csv", b"a\n")
    stored = call("file.store", file="in/a.csv")["artifact"]
    assert (stored["name"], stored["size"], stored["contentType"]) == ("a.csv", 2, "text/csv")
    assert call("file.copy", file=stored, to="again.csv")["size"] == 2
    assert call("file.read", file=call("file.write", text="x", name="n.txt")["artifact"])["text"] == "x"
    assert call.failure("file.read", file="art_none").error_type == ErrorType.RESOURCE_NOT_FOUND


@pytest.mark.parametrize(
    "name", ["../ws_2/x", "/etc/x", "a/../../x", "link/x", "a\\b", "a\nb", "", ".", "a//b", "\u202egnp.exe"]
)
def test_no_name_leads_out(call: Library, name: str) -> None:
    other = call.home.parent / "ws_2"
    other.mkdir()
    (other / "x").write_text("theirs")
    (call.home / "link").symlink_to(other)
    call.put("mine", b"mine")
    for use_case, values in (
        ("file.copy", {"file": "mine", "to": name}),
        ("file.move", {"file": "mine", "to": name}),
        ("file.move", {"file": name, "to": "stolen"}),
        ("file.delete", {"file": name}),
        ("file.write", {"text": "x", "name": name}),
    ):
        if (use_case, name) in (("file.write", "link/x"), ("file.delete", "link/x")):
            continue
        assert call.failure(use_case, **values).error_type in (
            ErrorType.VALIDATION_ERROR,
            ErrorType.RESOURCE_NOT_FOUND,
            ErrorType.SYSTEM_ERROR,
        )
    assert (other / "x").read_text() == "theirs"
    assert sorted(path.name for path in other.iterdir()) == ["x"]
    assert call("file.list")["count"] == 1


def test_archives_are_made_alike_and_unpacked(call: Library) -> None:
    call.put("a.txt", b"a" * 1_000)
    call.put("sub/b.txt", b"b")
    for name in ("all.zip", "all.tar.gz"):
        files = ["a.txt", {"file": "sub/b.txt", "name": "in/b.txt"}]
        made = call("archive.create", files=files, name=name)
        assert (made["count"], made["bytes"]) == (2, 1_001)
        assert call("archive.create", files=files, name=name)["artifact"] == made["artifact"]
        unpacked = call("archive.extract", archive=made["artifact"], prefix="new/")
        assert [one["name"] for one in unpacked["files"]] == ["new/a.txt", "new/in/b.txt"]
        assert call("archive.extract", archive=made["artifact"], only=["a.txt"])["count"] == 1
    assert "two files would be 'a.txt'" in call.failure("archive.create", files=["a.txt", "a.txt"]).message
    assert call.failure("archive.create", files=["a.txt"], name="x.rar").problems[0].pointer == "/name"


def zip_with(*names: str, size: int = 1) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(zipfile.ZipInfo(name), b"0" * size, zipfile.ZIP_DEFLATED)
    return target.getvalue()


def tar_with(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w:gz") as archive:
        entry = tarfile.TarInfo(name)
        entry.type, entry.linkname = kind, link
        archive.addfile(entry, io.BytesIO())
    return target.getvalue()


def tar_claiming(kind: bytes, size: int) -> bytes:
    """Return a tar whose first header says that so many bytes of a name or of further headers follow."""
    entry = tarfile.TarInfo("x")
    entry.type, entry.size = kind, size
    return gzip.compress(entry.tobuf(tarfile.GNU_FORMAT) + b"0" * 4_000_000)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (tar_claiming(tarfile.XHDTYPE, 3_000_000), "a header of 3000000 bytes"),
        (tar_claiming(tarfile.GNUTYPE_LONGNAME, 3_000_000), "a header of 3000000 bytes"),
        (tar_with("a", tarfile.GNUTYPE_SPARSE), "a sparse file"),
        (zip_with("../evil"), "relative and plain"),
        (zip_with("/etc/passwd"), "relative and plain"),
        (zip_with("a\\..\\b"), "holds a character"),
        (tar_with("../evil"), "relative and plain"),
        (tar_with("a", tarfile.SYMTYPE, "/etc/passwd"), "a link or a device"),
        (tar_with("a", tarfile.LNKTYPE, "/etc/passwd"), "a link or a device"),
        (tar_with("a", tarfile.CHRTYPE), "a link or a device"),
        (zip_with("a", "b").replace(b"b", b"a"), "twice"),
        (zip_with("bomb", size=3_000_000), "than 'maxBytes' allows"),
        (gzip.compress(b"x" * 3_000_000), "cannot be read"),
        (b"not an archive", "cannot be read"),
        (zip_with("a")[:-30], "cannot be read"),
    ],
    ids=range(15),
)
def test_hostile_archives_are_refused(call: Library, content: bytes, message: str) -> None:
    call.put("x.bin", content)
    error = call.failure("archive.extract", archive="x.bin", maxBytes=1_000_000)
    assert error.error_type == ErrorType.VALIDATION_ERROR
    assert message in error.message


def test_hashes_and_ids(call: Library) -> None:
    call.put("a", b"abc")
    digest = hashlib.sha256(b"abc").hexdigest()
    for source in ({"text": "abc"}, {"file": "a"}):
        assert call("hash.compute", **source, expected=digest.upper())["matches"] is True
    assert call("hash.compute", value={"b": 1, "a": 2}) == call("hash.compute", value={"a": 2, "b": 1})
    assert call("hash.compute", text="abc", key="k")["digest"] != digest
    assert "give one of" in call.failure("hash.compute").message
    ids = call("id.generate", count=3, prefix="order-")["ids"]
    assert len(set(ids)) == 3
    assert call("id.generate", count=3, prefix="order-")["ids"] == ids
    assert call("id.generate", kind="short")["id"] != call("id.generate")["id"]
    assert call("id.generate", kind="random") != call("id.generate", kind="random")


def test_templates_are_rendered_and_sandboxed(call: Library) -> None:
    values = {"orders": [{"id": 1}, {"id": 2}], "name": "<b>"}
    text = "{% for o in orders %}{{ o.id }};{% endfor %}{{ name }}"
    assert call("template.render", template=text, values=values)["text"] == "1;2;<b>"
    page = call("template.render", template=text, values=values, format="html", saveAs="page.html")
    assert page["text"] == "1;2;&lt;b&gt;"
    assert page["artifact"]["contentType"] == "text/html"
    assert call("template.render", template="[{{ no }}]", missing="empty")["text"] == "[]"


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{ no }}", "'no' is undefined"),
        ("{{ ''.__class__.__mro__ }}", "unsafe"),
        ("{{ cycler.__init__.__globals__.os.popen('id') }}", "unsafe"),
        ("{% include '/etc/passwd' %}", "no loader"),
        ("a\n{% if %}", "line 2"),
        ("{% for i in range(100000) %}{{ 'x' * 1000 }}{% endfor %}", "longer than"),
        ("{{ 'x' * 10000000000 }}", "memory"),
        ("{% for i in range(10**9) %}{% endfor %}", "Range too big"),
    ],
)
def test_hostile_templates_are_refused(call: Library, template: str, message: str) -> None:
    error = call.failure("template.render", template=template)
    assert error.error_type == ErrorType.VALIDATION_ERROR
    assert message in error.message


def test_costly_work_is_ended(call: Library) -> None:
    call.timeout_s = 1.0
    loop = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
    assert "longer than" in call.failure("template.render", template=loop).message
    costly = call.failure("text.extract", text="a" * 40 + "!", pattern="(a+)+$")
    assert "too costly for its input" in costly.message


def test_markdown_is_safe_html(call: Library) -> None:
    text = "# A\n\n| a |\n|---|\n| 1 |\n\n<script>x</script> [l](javascript:x) [ok](https://a.b)"
    html = call("markdown.render", text=text, page=True, title="<t>", saveAs="a.html")["text"]
    assert "<h1>A</h1>" in html
    assert "<table>" in html
    assert "&lt;script&gt;" in html
    assert 'href="javascript' not in html
    assert '<a href="https://a.b">' in html
    assert "<title>&lt;t&gt;</title>" in html


def test_patterns(call: Library) -> None:
    found = call("text.extract", text="order 12, order 34", pattern=r"order (?P<id>\d+)")
    assert (found["first"], found["count"], found["matches"][1]["named"]) == ("12", 2, {"id": "34"})
    assert call("text.extract", text="x", pattern="y")["first"] is None
    replaced = call("text.replace", text="a1b2", pattern=r"(\d)", replacement=r"<\1>", limit=1)
    assert replaced == {"text": "a<1>b2", "count": 1}
    assert call("text.replace", text="a.b", pattern=".", replacement="", literal=True)["text"] == "ab"
    assert call("text.split", text="a, b;c", pattern=r"[,;]\s*")["parts"] == ["a", "b", "c"]
    assert call("text.split", text="abc", pattern="x*")["parts"] == ["abc"]
    assert "pattern is not right" in call.failure("text.extract", text="", pattern="(").message
    wrong = call.failure("text.replace", text="a", pattern="a", replacement=r"\2")
    assert "replacement is not right" in wrong.message


def test_texts(call: Library) -> None:
    assert call("text.clean", text="  Crème  Brûlée! ", slug=True)["text"] == "creme-brulee"
    assert call("text.clean", text=" a  b ", collapseSpaces=True, case="upper", maxLength=2)["text"] == "A "
    rules = {"billing": ["invoice", "refund my money"], "login": ["password", "sign in"]}
    told = call(
        "text.classify", text="Please REFUND my money: the invoice is wrong; password ok", rules=rules
    )
    assert (told["label"], told["scores"]) == ("billing", {"billing": 2, "login": 1})
    assert told["found"]["billing"] == ["invoice", "refund my money"]
    assert call("text.classify", text="passwords", rules=rules)["label"] == "other"
    counted = call("text.count", text="One two. Two!\nthree", top=1)
    assert (counted["words"], counted["lines"], counted["sentences"]) == (4, 2, 2)
    assert counted["topWords"] == [{"word": "two", "count": 2}]
    assert call("text.compare", one="the quick fox", other="The quick dog")["similarity"] == 0.6667
    diff = call("text.diff", before="a\nb", after="a\nc")
    assert (diff["added"], diff["removed"], diff["same"]) == (1, 1, False)
    assert call("text.join", parts=["a", None, 1, True])["text"] == "a, 1, true"


@pytest.mark.parametrize("kind", ["bar", "line", "pie"])
def test_charts_are_the_same_each_time_and_hold_no_markup_of_their_authors(call: Library, kind: str) -> None:
    values: dict[str, Any] = {
        "kind": kind,
        "title": "<script>alert(1)</script>",
        "labels": ["a & b", "c", "\x00d"],
        "series": [{"name": "<s>", "values": [1, None, 3.5]}],
    }
    drawn = call("chart.draw", **values)
    assert call("chart.draw", **values) == drawn
    assert "<script" not in drawn["svg"]
    assert "<s>" not in drawn["svg"]
    assert "\x00" not in drawn["svg"]
    assert drawn["artifact"]["contentType"] == "image/svg+xml"
    parsed = call("xml.read", file=drawn["artifact"])
    assert parsed["document"]["title"] == "<script>alert(1)</script>"


def test_a_chart_must_fit_its_labels(call: Library) -> None:
    series = [{"name": "s", "values": [1, 2]}]
    assert "2 values for 1 labels" in call.failure("chart.draw", labels=["a"], series=series).message
    pie = {"kind": "pie", "labels": ["a", "b"], "series": [{"values": [1, -1]}]}
    assert "not negative" in call.failure("chart.draw", **pie).message
    flat = call("chart.draw", labels=["a", "b"], series=[{"values": [0, 0]}])
    assert "nan" not in flat["svg"]


def test_memory_files_are_as_the_store_is() -> None:
    store = MemoryFiles()
    one = store.save("a", io.BytesIO(b"1"), "")
    assert store.save("a", io.BytesIO(b"1"), "") == one
    assert store.save("a", io.BytesIO(b"2"), "") != one
