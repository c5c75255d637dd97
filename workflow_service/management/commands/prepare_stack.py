"""Bring everything a stack needs up to date: the schema and the first users.

Run by `up` and `demo` before the long-running processes; harmless when repeated. The first users' passwords
are kept in DATA_DIR/credentials.json, readable by its owner alone.
"""

import json
from pathlib import Path
from typing import Any

from django.core.management import BaseCommand, call_command

from workflow_service.accounts.models import User
from workflow_service.accounts.services.bootstrap import ensure_initial_users, generate_passwords
from workflow_service.embedded.directories import write_private_file
from workflow_service.settings.config import get_config

CREDENTIALS_FILE = "credentials.json"


class Command(BaseCommand):
    help = "Migrate the database and make the first users. Harmless when repeated."

    def handle(self, *args: Any, **options: Any) -> None:
        call_command("migrate", interactive=False, verbosity=options["verbosity"])
        keep_credentials(get_config().data_dir)


def keep_credentials(data_dir: Path) -> None:
    """Make the first users where they are missing, and add their passwords to those kept before.

    Users who existed keep theirs, which is not known here: the database may be another installation's too.
    """
    path = data_dir / CREDENTIALS_FILE
    kept: dict[str, str] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    missing = {name: word for name, word in generate_passwords().items() if name not in kept}
    if not missing:
        ensure_initial_users(kept)
        return
    write_credentials(path, kept | missing)  # before the users exist: a kill in between locks nobody out
    known_before = set(User.objects.filter(username__in=missing).values_list("username", flat=True))
    ensure_initial_users(kept | missing)
    write_credentials(path, kept | {name: word for name, word in missing.items() if name not in known_before})


def write_credentials(path: Path, credentials: dict[str, str]) -> None:
    write_private_file(path, json.dumps(credentials, indent=2) + "\n")
