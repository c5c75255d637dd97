from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction
from django.utils import timezone

from workflow_service.audit.anchor import (
    Anchor,
    AnchorUnreadable,
    anchor_file,
    parse_anchor,
    read_anchor,
    write_anchor,
)
from workflow_service.audit.models import Seal
from workflow_service.audit.sealing import seal_entries
from workflow_service.audit.trail import SYSTEM, record
from workflow_service.audit.verification import Verdict, verify_trail
from workflow_service.settings.keyrings import KeysMissing


class Command(BaseCommand):
    help = (
        "Verify the audit trail: every entry, the chain of seals, and its end against the anchor outside the database. "
        "Exit code 0 only if all of it is as it was written."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--anchor",
            action="append",
            default=[],
            metavar="NUMBER:MAC",
            help="An end of the chain that was noted elsewhere, beside this host's anchor file.",
        )
        parser.add_argument("--since", type=int, default=1, help="The first seal to look at; 1 is all.")
        parser.add_argument(
            "--set-anchor",
            metavar="REASON",
            help="After a backup was restored on purpose: the present end of the chain becomes this host's anchor.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Verify, and say what was found, where, and what to do."""
        if options["since"] < 1:
            raise CommandError("--since must be at least 1")
        try:
            noted = [parse_anchor(text) for text in options["anchor"]]
            if options["set_anchor"]:
                self._set_anchor(options["set_anchor"])
            verdict = verify_trail(
                self._anchors(noted, options["since"]), now=timezone.now(), since=options["since"]
            )
        except (AnchorUnreadable, KeysMissing) as error:
            raise CommandError(str(error)) from None
        self._report(verdict)

    def _anchors(self, noted: list[Anchor], since: int) -> list[Anchor]:
        """Return what is known of the chain's end; without any, a cut could not be told from a young trail."""
        own = read_anchor()
        anchors = noted if own is None else [own, *noted]
        if not anchors and Seal.objects.exists():
            raise CommandError(
                f"There is no anchor at {anchor_file()}, so whether the end of the trail was cut off cannot be said. "
                "Run this on the host whose worker seals, or give --anchor NUMBER:MAC as an earlier run printed it."
            )
        return [anchor for anchor in anchors if anchor.number >= since]

    def _set_anchor(self, reason: str) -> None:
        """Record why, seal that, and begin anew from there."""
        try:
            standing = str(read_anchor() or "none")
        except AnchorUnreadable as error:
            standing = str(error)
        with transaction.atomic():
            record(
                "audit.set_anchor",
                workspace_id=None,
                actor_id=None,
                actor=SYSTEM,
                target_type="audit",
                target_id="anchor",
                detail={"reason": reason, "before": standing},
            )
        seal_entries()
        newest = Seal.objects.order_by("-number").first()
        if newest is None:
            raise CommandError("nothing is sealed yet: is another process sealing? Try again")
        write_anchor(newest)
        self.stdout.write(f"The anchor was {standing}, and is seal {newest.number} now.")

    def _report(self, verdict: Verdict) -> None:
        looked_at = f"{verdict.entries} entries, {verdict.seals} seals, {verdict.waiting} not sealed yet"
        if verdict.findings:
            found = "\n".join(map(str, verdict.findings))
            raise CommandError(
                f"The audit trail is not what was written: {len(verdict.findings)} finding(s) in {looked_at}.\n{found}"
            )
        self.stdout.write(f"The audit trail is whole: {looked_at}.")
        if verdict.end is not None:
            self.stdout.write(f"Its end, to note where nobody of this host can write: {verdict.end}")
