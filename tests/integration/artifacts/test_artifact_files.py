"""Artifacts through their doors: the API, runs that make and take them, and what is swept."""

import hashlib
import shutil
from datetime import timedelta
from io import BytesIO
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone
from pydantic import JsonValue

from executions_app.models import BlockOutput
from tests.caller import problem_of
from tests.driver import run_until_quiet, wake_all
from tests.factories import make_template, make_workspace, start
from tests.failing_work import dying_at
from tests.people import People, make_people
from workflow_service.accounts.models import User
from workflow_service.accounts.tokens import issue_tokens
from workflow_service.agents.errors import ToolError
from workflow_service.agents.use_cases import RunContext
from workflow_service.agents.use_cases import use_case as use_case_of_tests
from workflow_service.artifacts import storage
from workflow_service.artifacts.errors import ArtifactNotFound, ArtifactPinned, StorageUnavailable
from workflow_service.artifacts.models import Artifact
from workflow_service.artifacts.run_files import ArtifactsOfRun
from workflow_service.artifacts.selectors import get_artifact, open_artifact
from workflow_service.artifacts.services import artifacts as services
from workflow_service.artifacts.services.artifacts import delete_artifact, pin_artifact, unpin_artifacts
from workflow_service.artifacts.services.sweeping import sweep_artifacts
from workflow_service.engine.states import ErrorType
from workflow_service.settings.config import get_config

pytestmark = pytest.mark.django_db
NOW = timezone.now


@pytest.fixture
def people() -> People:
    return make_people()


class Uploader:
    """Sends files as they are."""

    def __init__(self, user: User) -> None:
        self.client = Client(headers={"Authorization": f"Bearer {issue_tokens(user).access}"})

    def raw(self, content: bytes, query: str = "?name=a.csv", /, **headers: str) -> Any:
        return self.client.post(
            f"/api/v1/artifacts{query}", content, content_type="text/csv", headers=dict(headers)
        )

    def form(self, query: str = "", **fields: Any) -> Any:
        return self.client.post(f"/api/v1/artifacts{query}", fields)


def files_of(workspace_id: int, key: str = "run:1") -> ArtifactsOfRun:
    return ArtifactsOfRun(workspace_id, "exec_1", "block", key)


def read(artifact: Artifact) -> bytes:
    with open_artifact(artifact) as content:
        return content.read()


def test_an_upload_is_kept_described_and_given_back(people: People) -> None:
    sender = Uploader(people.developer)
    digest = hashlib.sha256(b"a,b\n1,2\n").hexdigest()
    answer = sender.raw(b"a,b\n1,2\n", f"?name=a.csv&sha256={digest.upper()}&retentionDays=3")
    assert answer.status_code == 201, answer.content
    told = answer.json()
    assert answer["Location"] == f"/api/v1/artifacts/{told['artifactId']}"
    known = {"name": "a.csv", "size": 8, "sha256": digest, "contentType": "text/csv", "createdBy": "dora"}
    assert known.items() <= told.items()
    assert told["expiresAt"] is not None
    assert sender.client.get(answer["Location"]).json() == told
    given: Any = sender.client.get(told["contentUrl"])
    assert b"".join(given.streaming_content) == b"a,b\n1,2\n"
    assert given["Content-Disposition"] == 'attachment; filename="a.csv"'
    assert given["X-Content-Type-Options"] == "nosniff"
    assert given["Content-Security-Policy"] == "default-src 'none'; sandbox"
    again = sender.client.get(told["contentUrl"], headers={"If-None-Match": given["ETag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_a_form_brings_its_file(people: People) -> None:
    sender = Uploader(people.developer)
    answer = sender.form(file=SimpleUploadedFile("page.html", b"<script>x</script>", "text/html"))
    assert answer.status_code == 201, answer.content
    assert (answer.json()["name"], answer.json()["size"]) == ("page.html", 18)
    problem_of(sender.form(other="x"), 422, "INVALID_REQUEST")
    two: dict[str, Any] = {"file": SimpleUploadedFile("a", b"1"), "more": SimpleUploadedFile("b", b"2")}
    problem_of(sender.form(**two), 422, "INVALID_REQUEST")


@pytest.mark.parametrize(
    ("content", "query", "status", "code"),
    [
        (b"x", "", 422, "INVALID_REQUEST"),
        (b"x", "?name=../up", 422, "ARTIFACT_NAME_INVALID"),
        (b"x", "?name=/etc/passwd", 422, "ARTIFACT_NAME_INVALID"),
        (b"x", "?name=a%0d%0ab", 422, "ARTIFACT_NAME_INVALID"),
        (b"x", f"?name=a&sha256={'0' * 64}", 422, "ARTIFACT_MISMATCH"),
        (b"x", "?name=a&sha256=12", 400, "INVALID_QUERY"),
        (b"x", "?name=a&nam=b", 400, "INVALID_QUERY"),
        (b"x" * 2_000, "?name=a", 413, "ARTIFACT_TOO_LARGE"),
    ],
)
def test_what_cannot_be_kept_is_refused(
    people: People, monkeypatch: pytest.MonkeyPatch, content: bytes, query: str, status: int, code: str
) -> None:
    monkeypatch.setattr(get_config(), "artifact_max_bytes", 1_024)
    problem_of(Uploader(people.developer).raw(content, query), status, code)
    assert not Artifact.objects.exists()


def test_an_empty_file_is_a_file(people: People) -> None:
    assert Uploader(people.developer).raw(b"").json()["size"] == 0


def test_roles_and_workspaces_are_kept_apart(people: People) -> None:
    mine = Uploader(people.developer).raw(b"mine").json()
    problem_of(Uploader(people.alice).raw(b"x"), 403, "FORBIDDEN")
    given: Any = Uploader(people.alice).client.get(mine["contentUrl"])
    assert b"".join(given.streaming_content) == b"mine"
    foreign = Uploader(people.stranger).client
    for path in (f"/api/v1/artifacts/{mine['artifactId']}", mine["contentUrl"]):
        problem_of(foreign.get(path), 404, "ARTIFACT_NOT_FOUND")
    problem_of(foreign.delete(f"/api/v1/artifacts/{mine['artifactId']}"), 404, "ARTIFACT_NOT_FOUND")
    assert foreign.get("/api/v1/artifacts").json()["total"] == 0
    assert Client().get(mine["contentUrl"]).status_code == 401
    problem_of(
        Uploader(people.alice).client.delete(f"/api/v1/artifacts/{mine['artifactId']}"), 403, "FORBIDDEN"
    )


def test_an_upload_sent_twice_under_one_key_is_one_file(people: People) -> None:
    sender = Uploader(people.developer)
    first = sender.raw(b"x", **{"Idempotency-Key": "k"})
    second = sender.raw(b"x", **{"Idempotency-Key": "k"})
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json() == second.json()
    problem_of(sender.raw(b"y", **{"Idempotency-Key": "k"}), 409, "IDEMPOTENCY_CONFLICT")
    assert Artifact.objects.count() == 1


def test_deleting(people: People) -> None:
    sender = Uploader(people.developer)
    path = sender.raw(b"x")["Location"]
    artifact = Artifact.objects.get()
    pin_artifact(artifact, "tplv_1")
    problem_of(sender.client.delete(path), 409, "ARTIFACT_PINNED")
    unpin_artifacts("tplv_1")
    assert sender.client.delete(path).status_code == 204
    problem_of(sender.client.get(path), 404, "ARTIFACT_NOT_FOUND")
    with pytest.raises(StorageUnavailable):
        storage.open_object(artifact.storage_key)
    with pytest.raises(ArtifactNotFound):
        pin_artifact(artifact, "tplv_1")


def test_work_that_is_done_again_makes_no_second_file() -> None:
    workspace = make_workspace()
    first = files_of(workspace.pk).save("a.txt", BytesIO(b"one"), "text/plain")
    assert files_of(workspace.pk).save("a.txt", BytesIO(b"one"), "text/plain") == first
    # What it makes now is what it gives; the earlier file is not overwritten under those who have it.
    other = files_of(workspace.pk).save("a.txt", BytesIO(b"two"), "text/plain")
    assert other.artifact_id != first.artifact_id
    assert read(Artifact.objects.get(public_id=first.artifact_id)) == b"one"
    assert files_of(workspace.pk, "run:2").save("a.txt", BytesIO(b"one"), "") != first


def test_two_workers_at_once_keep_one_file(monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = make_workspace()
    first = files_of(workspace.pk).save("a.txt", BytesIO(b"one"), "text/plain")
    answers = iter([None, Artifact.objects.get()])
    monkeypatch.setattr(services, "find_made", lambda *_: next(answers))
    assert files_of(workspace.pk).save("a.txt", BytesIO(b"one"), "text/plain") == first
    (kept,) = [
        key for day in storage.list_days() for key in storage.list_keys(day) if first.artifact_id in key
    ]
    assert kept == Artifact.objects.get().storage_key


def test_a_run_opens_only_what_its_workspace_has() -> None:
    one, other = make_workspace(), make_workspace()
    mine = files_of(one.pk).save("a.txt", BytesIO(b"one"), "text/plain")
    for reader in (files_of(other.pk).open, files_of(other.pk).describe):
        with pytest.raises(ArtifactNotFound):
            reader(mine.artifact_id)


def test_the_sweep_removes_what_is_past_its_time_cut_short_or_without_a_row() -> None:
    workspace = make_workspace()
    ids = {name: files_of(workspace.pk).save(name, BytesIO(b"x"), "").artifact_id for name in "abcd"}
    rows = {name: Artifact.objects.get(public_id=public_id) for name, public_id in ids.items()}
    past = NOW() - timedelta(days=1)
    Artifact.objects.filter(name__in=("a", "b")).update(expires_at=past)
    pin_artifact(rows["b"], "tplv_1")
    Artifact.objects.filter(name="c").update(deleted_at=past)
    old, fresh = (storage.storage_key("art_orphan", (NOW() - timedelta(days=days)).date()) for days in (3, 0))
    for key in (old, fresh):
        storage.write_object(key, BytesIO(b"x"))
    with pytest.raises(ArtifactNotFound):
        get_artifact(workspace.pk, ids["a"], NOW())
    assert sweep_artifacts() == 3
    assert set(Artifact.objects.values_list("name", flat=True)) == {"b", "d"}
    for key in (rows["a"].storage_key, rows["c"].storage_key, old):
        with pytest.raises(StorageUnavailable):
            storage.open_object(key)
    assert read(rows["b"]) == b"x"
    with storage.open_object(fresh) as kept:
        assert kept.read() == b"x"
    storage.delete_object(fresh)
    assert sweep_artifacts() == 0


def test_a_deletion_whose_storage_is_away_is_finished_later(monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = make_workspace()
    files_of(workspace.pk).save("a", BytesIO(b"x"), "")
    artifact = Artifact.objects.get()

    def away(key: str) -> None:
        raise StorageUnavailable("away")

    with monkeypatch.context() as patch:
        patch.setattr(services, "delete_object", away)
        delete_artifact(artifact)
    with pytest.raises(ArtifactNotFound):
        get_artifact(workspace.pk, artifact.public_id, NOW())
    again = files_of(workspace.pk).save("a", BytesIO(b"x"), "")
    assert again.artifact_id != artifact.public_id
    assert sweep_artifacts(NOW() + timedelta(minutes=2)) == 1
    assert Artifact.objects.get().public_id == again.artifact_id


def test_a_row_whose_content_is_lost_says_so(people: People) -> None:
    told = Uploader(people.developer).raw(b"x").json()
    shutil.rmtree(get_config().data_dir / "artifacts")
    problem_of(Uploader(people.developer).client.get(told["contentUrl"]), 503, "ARTIFACT_STORE_UNAVAILABLE")


@pytest.mark.django_db(transaction=True)
def test_blocks_pass_files_by_reference() -> None:
    people = make_people()
    uploaded = Uploader(people.developer).raw(b"region,amount\nnorth,3\nsouth,4\n", "?name=sales.csv").json()
    template = make_template(
        [
            use_case("read", "csv.read", file="${workflow.input.sales}", types={"amount": "number"}),
            use_case("group", "data.group", "read", records="${blocks.read.output.rows}", by=["region"],
                     aggregate={"total": {"function": "sum", "of": "amount"}}),
            use_case("write", "csv.write", "group", records="${blocks.group.output.groups}", name="totals.csv",
                     columns=["region", "total"]),
            use_case("hash", "file.hash", "write", file="${blocks.write.output.artifact}"),
        ],
        workspace=people.workspace,
    )  # fmt: skip
    run = run_until_quiet(start(template, {"sales": uploaded["artifactId"]}))
    assert run.status == "COMPLETED", run.error
    made = Artifact.objects.get(execution_id=run.public_id)
    assert (made.block_id, made.name, made.content_type) == ("write", "totals.csv", "text/csv")
    assert read(made) == b"region,total\r\nnorth,3\r\nsouth,4\r\n"
    reader = Uploader(people.alice).client
    listed = reader.get(f"/api/v1/executions/{run.public_id}/artifacts").json()
    assert [one["artifactId"] for one in listed["artifacts"]] == [made.public_id]
    problem_of(
        Uploader(people.stranger).client.get(f"/api/v1/executions/{run.public_id}/artifacts"),
        404,
        "EXECUTION_NOT_FOUND",
    )
    reader.force_login(people.alice)
    page = reader.get(f"/admin/executions_app/execution/{run.pk}/change/").content.decode()
    assert f"/api/v1/artifacts/{made.public_id}/content" in page
    assert "totals.csv" in reader.get("/admin/artifacts/artifact/").content.decode()


@use_case_of_tests("tests.saves_unsteadily")
def saves_unsteadily(params: dict[str, Any], run: RunContext) -> dict[str, JsonValue]:
    """Save the same file and another one each time; fail after it the first time."""
    tries.append(run.idempotency_key)
    same = run.save_file("same.txt", "same")
    own = run.save_file("own.txt", f"try {len(tries)}")
    if len(tries) == 1:
        raise ToolError(ErrorType.NETWORK_ERROR, "the first time it fails")
    return {"same": same.artifact_id, "own": own.artifact_id}


tries: list[str] = []


@pytest.mark.django_db(transaction=True)
def test_a_block_that_is_tried_again_does_not_double_its_files() -> None:
    people = make_people()
    tries.clear()
    policy = {"maxRetries": 1, "baseDelay": 0, "jitter": False}
    block = {**use_case("save", "tests.saves_unsteadily"), "retryPolicy": policy}
    run = run_until_quiet(start(make_template([block], workspace=people.workspace)))
    wake_all(run)
    assert run_until_quiet(run).status == "COMPLETED", run.error
    assert len(tries) == 2
    listed = Uploader(people.alice).client.get(f"/api/v1/executions/{run.public_id}/artifacts").json()
    output = BlockOutput.objects.get(execution_id=run.pk).value
    # The last of each name; of the same content there is one only.
    assert [one["artifactId"] for one in listed["artifacts"]] == [output["same"], output["own"]]
    assert Artifact.objects.filter(name="same.txt").count() == 1
    assert read(Artifact.objects.get(public_id=output["own"])) == b"try 2"


def stored() -> set[str]:
    return {key for day in storage.list_days() for key in storage.list_keys(day)}


def test_a_worker_that_dies_before_the_row_leaves_only_what_is_swept(monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = make_workspace()
    before = stored()
    with dying_at(monkeypatch, Artifact.objects, "create"):
        files_of(workspace.pk).save("a.txt", BytesIO(b"x"), "")
    (orphan,) = stored() - before
    assert sweep_artifacts(NOW() + timedelta(days=3)) >= 1
    with pytest.raises(StorageUnavailable):
        storage.open_object(orphan)
    # Whoever takes the work over makes the file anew.
    assert files_of(workspace.pk).save("a.txt", BytesIO(b"x"), "").size == 1


def use_case(block_id: str, use: str, /, *after: str, **values: Any) -> dict[str, Any]:
    return {
        "blockId": block_id,
        "toolType": "USE_CASE",
        "configuration": {"useCase": use, "input": values},
        "dependencies": list(after),
    }


def test_pinned_files_cannot_be_deleted_by_the_service_either() -> None:
    workspace = make_workspace()
    files_of(workspace.pk).save("a", BytesIO(b"x"), "")
    artifact = Artifact.objects.get()
    pin_artifact(artifact, "tplv_1")
    with pytest.raises(ArtifactPinned, match="tplv_1"):
        delete_artifact(artifact)
