from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from workflow_service.audit.keys import audit_key_source
from workflow_service.audit.trail import SYSTEM, record
from workflow_service.settings.keyrings import KeysMissing, KeysNotInFile


class Command(BaseCommand):
    help = (
        "Put a new key in front of the file of audit keys. The old ones stay: they verify what they signed."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        """Make a key, and record that, signed with it."""
        try:
            key_id = audit_key_source().add()
        except (KeysMissing, KeysNotInFile) as error:
            raise CommandError(str(error)) from None
        with transaction.atomic():
            record(
                "audit.rotate_key",
                workspace_id=None,
                actor_id=None,
                actor=SYSTEM,
                target_type="audit",
                target_id=key_id,
            )
        self.stdout.write(
            f"New entries and seals bear the key '{key_id}'. Keep the old keys as long as the trail."
        )
