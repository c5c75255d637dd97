"""Files with keys: the one that signs sessions and tokens, given or made once for this data directory."""

import os
import secrets
from collections.abc import Callable
from pathlib import Path

from workflow_service.settings.config import Config


def signing_key(config: Config) -> str:
    """Return the configured key, else one made on first use and kept in DATA_DIR with mode 0600."""
    if config.secret_key:
        return config.secret_key.get_secret_value()
    path = config.data_dir / "secret_key"
    made_once(path, lambda: secrets.token_urlsafe(48))
    return path.read_text()


def made_once(path: Path, make: Callable[[], str]) -> None:
    """Write what ``make`` gives to ``path`` with mode 0600, unless there is a file.

    Two processes that start at once agree: the file is linked into place once, and the loser reads the winner's.
    """
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = _draft(path, make())
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()


def replace_private_file(path: Path, text: str) -> None:
    """Put ``text`` in place of a file at once, with mode 0600: whoever reads finds the old text or the new one."""
    _draft(path, text).replace(path)


def _draft(path: Path, text: str) -> Path:
    draft = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    return draft
