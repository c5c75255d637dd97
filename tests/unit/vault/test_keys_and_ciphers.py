"""Keys are read strictly; what is sealed opens as itself only."""

import base64
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from workflow_service.settings.secrets import made_once, replace_private_file
from workflow_service.vault.ciphers import Sealed, seal, unseal
from workflow_service.vault.errors import SecretUnreadable
from workflow_service.vault.keys import Keyring, parse_keys

OLD, NEW = base64.b64encode(bytes(32)).decode(), base64.urlsafe_b64encode(bytes([251]) * 32).decode()


def test_the_first_key_encrypts_and_all_decrypt() -> None:
    ring = parse_keys(f"# newest first\nnew:{NEW}\n\nold:{OLD} # 2025\n", "KEYS")
    assert (ring.current, list(ring.keys)) == ("new", ["new", "old"])
    assert parse_keys(f"new:{NEW},old:{OLD}", "KEYS") == ring
    assert NEW[:8] not in repr(ring)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# nothing",
        "abc",
        "a b:" + OLD,
        "k:!!!!",
        "k:" + OLD[:20],
        "k:" + OLD[:-5],
        f"k:{OLD},k:{NEW}",
        ":" + OLD,
    ],
)
def test_what_is_no_key_is_refused_without_showing_it(text: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="KEYS: ") as caught:
        parse_keys(text, "KEYS")
    assert OLD[:10] not in str(caught.value)


def test_a_value_opens_as_the_secret_it_was_sealed_as_and_no_other() -> None:
    ring = Keyring("a", {"a": bytes(32), "b": bytes(32)})
    sealed = seal(ring, workspace_id=1, name="TOKEN", value="größe")
    assert unseal(ring, sealed, workspace_id=1, name="TOKEN") == "größe"
    assert "größe".encode() not in sealed.content
    assert seal(ring, workspace_id=1, name="TOKEN", value="größe").content != sealed.content, "a nonce each"
    flipped = sealed.content[:-1] + bytes([sealed.content[-1] ^ 1])
    for other, workspace_id, name in (
        (sealed, 2, "TOKEN"),
        (sealed, 1, "TOKEN2"),
        (Sealed("b", sealed.content), 1, "TOKEN"),
        (Sealed("a", flipped), 1, "TOKEN"),
        (Sealed("a", b""), 1, "TOKEN"),
        (Sealed("gone", sealed.content), 1, "TOKEN"),
    ):
        with pytest.raises(SecretUnreadable, match="TOKEN"):
            unseal(ring, other, workspace_id=workspace_id, name=name)


def test_a_key_file_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "data" / "keys"
    made_once(path, lambda: "first")
    made_once(path, lambda: "second")
    assert path.read_text() == "first"
    replace_private_file(path, "third")
    assert path.read_text() == "third"
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(path.parent.iterdir()) == [path]
