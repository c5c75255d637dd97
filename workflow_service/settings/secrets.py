"""The key that signs sessions and tokens: given, or made once for this data directory."""

import os
import secrets

from workflow_service.settings.config import Config


def signing_key(config: Config) -> str:
    """Return the configured key, else one made on first use and kept in DATA_DIR with mode 0600.

    Two processes that start at once agree: the file is linked into place once, and the loser reads the winner's.
    """
    if config.secret_key:
        return config.secret_key.get_secret_value()
    path = config.data_dir / "secret_key"
    if not path.exists():
        config.data_dir.mkdir(parents=True, exist_ok=True)
        draft = config.data_dir / f"secret_key.{os.getpid()}.{secrets.token_hex(4)}"
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(48))
        try:
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return path.read_text()
