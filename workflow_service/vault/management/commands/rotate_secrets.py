from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from workflow_service.vault.errors import NoEncryptionKey
from workflow_service.vault.keys import add_key
from workflow_service.vault.services.rotation import rotate_secrets


class Command(BaseCommand):
    help = (
        "Encrypt every secret with the current key, the first of SECRETS_KEYS or of its file. A rotation that was "
        "interrupted is begun again, and goes on where it stopped."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--batch-size", type=int, default=100, help="Secrets in one transaction.")
        parser.add_argument(
            "--new-key", action="store_true", help="First put a new random key in front of the file of keys."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Rotate, and say what was done; fails where a secret does not open."""
        if options["batch_size"] < 1:
            raise CommandError("--batch-size must be at least 1")
        try:
            if options["new_key"]:
                self.stdout.write(f"The new key is '{add_key()}'.")
            rotation = rotate_secrets(
                batch_size=options["batch_size"], on_batch=lambda done: self.stdout.write(f"{done} done")
            )
        except NoEncryptionKey as error:
            raise CommandError(error.message) from None
        self.stdout.write(f"{rotation.rotated} secret(s) encrypted anew with the key '{rotation.key_id}'.")
        if rotation.unreadable:
            raise CommandError(
                "\n".join(["These secrets do not open; workspace id and reason:", *rotation.unreadable])
            )
