"""Rotation of the keys that secrets are encrypted with, also where it dies half way."""

import base64
import os
import subprocess
import sys
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction

from tests.factories import make_user, make_workspace
from tests.patience import wait_until
from workflow_service.accounts.models import Role, Workspace
from workflow_service.settings.config import get_config
from workflow_service.vault.keys import add_key, keyring, keys_file
from workflow_service.vault.models import Secret
from workflow_service.vault.secrets import reveal
from workflow_service.vault.services.secrets import create_secret

NAMES = [f"S{number}" for number in range(5)]
ROOT = Path(__file__).parents[3]


@pytest.fixture
def workspace(transactional_db: None) -> Workspace:
    workspace = make_workspace()
    actor = make_user(workspace, Role.ADMIN)
    for name in NAMES:
        create_secret(workspace=workspace, actor=actor, name=name, value=f"value of {name}")
    return workspace


@pytest.fixture(autouse=True)
def keys_as_before() -> Iterator[None]:
    keyring()
    text = keys_file().read_text()
    yield
    keys_file().write_text(text)


def assert_all_readable(workspace: Workspace) -> None:
    assert reveal(workspace.pk, NAMES) == {name: f"value of {name}" for name in NAMES}


def rotate(*options: str) -> str:
    said = StringIO()
    call_command("rotate_secrets", *options, stdout=said)
    return said.getvalue()


def under(key_id: str) -> int:
    return Secret.objects.filter(key_id=key_id).count()


def test_a_new_key_is_put_first_and_everything_goes_under_it(workspace: Workspace) -> None:
    before = keyring().current
    assert keys_file().stat().st_mode & 0o777 == 0o600
    versions = dict(Secret.objects.values_list("name", "version"))
    said = rotate("--new-key", "--batch-size", "2")
    after = keyring().current
    assert after != before
    assert f"5 secret(s) encrypted anew with the key '{after}'" in said
    assert (under(before), under(after)) == (0, 5)
    assert_all_readable(workspace)
    assert dict(Secret.objects.values_list("name", "version")) == versions, "no value was given anew"
    assert "0 secret(s)" in rotate()
    # The old key may go now.
    keys_file().write_text(keys_file().read_text().splitlines()[0] + "\n")
    assert_all_readable(workspace)


def test_a_rotation_that_is_killed_loses_nothing_and_goes_on(workspace: Workspace, tmp_path: Path) -> None:
    before, after = keyring().current, add_key()
    place = connection.settings_dict
    url = f"postgresql://{place['USER']}:{place['PASSWORD']}@{place['HOST']}:{place['PORT']}/{place['NAME']}"
    command = [sys.executable, "manage.py", "rotate_secrets", "--batch-size", "2"]
    given = os.environ | {"DATABASE_URL": url, "SECRETS_KEYS_FILE": str(keys_file())}
    given.pop("SECRETS_KEYS", None)
    said = tmp_path / "said"
    with transaction.atomic(), said.open("wb") as output:
        # It gets through one batch, and waits for the second one's row.
        last_of_second = Secret.objects.order_by("pk")[3].pk
        Secret.objects.select_for_update().get(pk=last_of_second)
        process = subprocess.Popen(command, cwd=ROOT, env=given, stdout=output, stderr=output)
        try:
            wait_until(lambda: under(after) == 2 or process.poll() is not None, 90)
        finally:
            process.kill()
            process.wait()
    assert (under(before), under(after)) == (3, 2), said.read_text()
    assert_all_readable(workspace)
    assert "3 secret(s)" in rotate()
    assert (under(before), under(after)) == (0, 5)
    assert_all_readable(workspace)


def test_what_does_not_open_is_named_and_the_rest_rotated(workspace: Workspace) -> None:
    Secret.objects.filter(name="S1").update(key_id="lost")
    add_key()
    with pytest.raises(CommandError, match="'S1' is encrypted with the key 'lost'"):
        rotate("--batch-size", "2")
    assert under(keyring().current) == 4


def test_keys_of_the_environment(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    from pydantic import SecretStr

    key = base64.b64encode(os.urandom(32)).decode()
    given = f"fresh:{key}," + keys_file().read_text().strip().replace("\n", ",")
    monkeypatch.setattr(get_config(), "secrets_keys", SecretStr(given))
    with pytest.raises(CommandError, match="SECRETS_KEYS: put a new one first there"):
        rotate("--new-key")
    rotate()
    assert under("fresh") == 5
    assert_all_readable(workspace)
    monkeypatch.setattr(get_config(), "secrets_keys", SecretStr(f"other:{key}"))
    with pytest.raises(Exception, match="'fresh', which this server does not have"):
        reveal(workspace.pk, NAMES)
    connection.close()
