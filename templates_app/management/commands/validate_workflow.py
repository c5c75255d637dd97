"""Say what is wrong with workflow files, each fault with its file, line and mend."""

import json
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from django.core.management import BaseCommand, CommandError
from django.db import DatabaseError

from templates_app.services.body_validation import validate_body
from templates_app.workflow_files import WorkflowFile, WorkflowFileInvalid, read_workflow_file
from workflow_service.accounts.models import Workspace
from workflow_service.engine.findings import Finding, Severity

HAS_ERRORS, UNREADABLE = 1, 2
EPILOG = f"""\
A file is .json or .yaml (a template as it is posted) or .wf (a text in the DSL, NAME.states.yaml beside it).

exit status:
  0  no file has an error (there may be warnings)
  {HAS_ERRORS}  a workflow has errors
  {UNREADABLE}  a file cannot be read, or the command line is wrong
"""


class Command(BaseCommand):
    help = "Check workflow files: print what is wrong, where, and how to mend it."
    requires_system_checks = ()

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> Any:
        return super().create_parser(
            prog_name, subcommand, epilog=EPILOG, formatter_class=RawDescriptionHelpFormatter, **kwargs
        )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
        parser.add_argument(
            "--workspace",
            metavar="SLUG",
            help="look there for the agents, templates and secrets that are named; not given: no database is asked",
        )
        parser.add_argument("--json", action="store_true", help="print one JSON document instead of lines")

    def handle(self, *args: Any, **options: Any) -> None:
        entries: list[dict[str, Any]] = []
        worst = 0
        workspace = find_workspace(options["workspace"])
        for path in options["files"]:
            try:
                file = read_workflow_file(path)
            except WorkflowFileInvalid as error:
                entries.append({"file": str(path), "severity": Severity.ERROR, "message": error.message})
                worst = UNREADABLE
                continue
            findings = find_faults(file, workspace)
            entries += [describe(file, finding) for finding in findings]
            if any(finding.severity is Severity.ERROR for finding in findings):
                worst = max(worst, HAS_ERRORS)
        if options["json"]:
            self.stdout.write(json.dumps({"valid": worst == 0, "findings": entries}, indent=2))
        else:
            self.stdout.writelines(f"{render(entry)}\n" for entry in entries)
            self.stdout.write(summarise(entries, len(options["files"])))
            if workspace is None:
                self.stdout.write("Agents, templates and secrets were not looked for: give --workspace.")
        if worst:
            raise SystemExit(worst)


def find_faults(file: WorkflowFile, workspace: Workspace | None = None) -> list[Finding]:
    """Return every finding about a file's workflow, errors first."""
    return list(validate_body(file.body, workspace))


def find_workspace(slug: str | None) -> Workspace | None:
    """Return the workspace of that slug, None where none is named; raises ``CommandError``."""
    if slug is None:
        return None
    try:
        found = Workspace.objects.filter(slug=slug).first()
    except DatabaseError as error:
        raise CommandError(f"The database cannot be asked for the workspace '{slug}': {error}") from None
    if found is None:
        raise CommandError(f"There is no workspace '{slug}'")
    return found


def describe(file: WorkflowFile, finding: Finding) -> dict[str, Any]:
    """Return a finding as ``--json`` prints it; ``place`` is FILE:LINE:COLUMN, as exactly as it is known."""
    return {
        "file": str(file.path),
        "place": file.place_of(finding),
        "severity": finding.severity,
        "code": finding.code,
        "pointer": finding.pointer,
        "message": finding.message,
        "suggestion": finding.suggestion,
        "blocks": list(finding.blocks),
    }


def render(entry: dict[str, Any]) -> str:
    if "code" not in entry:
        return f"{entry['severity']}: {entry['message']}"
    pointer = f" at {entry['pointer']}" if entry["pointer"] else ""
    mend = f"\n    {entry['suggestion']}" if entry["suggestion"] else ""
    return f"{entry['place']}: {entry['severity']} {entry['code']}{pointer}: {entry['message']}{mend}"


def summarise(entries: Iterable[dict[str, Any]], files: int) -> str:
    severities = [entry["severity"] for entry in entries]
    errors, warnings = severities.count(Severity.ERROR), severities.count(Severity.WARNING)
    return f"{files} file(s) checked: {errors} error(s), {warnings} warning(s)."
