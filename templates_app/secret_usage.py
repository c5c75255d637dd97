"""Which templates name a workspace's secrets: a look through the texts of their current versions."""

import re
from collections.abc import Collection, Mapping

from django.db.models import TextField
from django.db.models.functions import Cast

from templates_app.models import Template
from workflow_service.accounts.models import Workspace
from workflow_service.engine.states import TemplateStatus
from workflow_service.vault.usage import User

# As it stands in JSON: secrets.NAME or secrets["NAME"], its quotes escaped or not.
_NAMED = re.compile(r"""\bsecrets(?:\.|\[\s*\\?["'])([A-Za-z_]\w*)""", re.ASCII)
MAX_TEMPLATES = 1_000


def templates_naming(workspace: Workspace, names: Collection[str]) -> Mapping[str, list[User]]:
    """Return the templates in use whose current version names each of these secrets."""
    found: dict[str, list[User]] = {name: [] for name in names}
    if not found:
        return found
    in_use = Template.objects.filter(workspace=workspace).exclude(status=TemplateStatus.ARCHIVED)
    rows = in_use.annotate(text=Cast("current_version__definition", TextField())).filter(
        text__contains="secrets"
    )
    columns = rows.order_by("name").values_list("public_id", "name", "text")
    for template_id, name, text in columns[:MAX_TEMPLATES]:
        for secret in found.keys() & set(_NAMED.findall(text)):
            found[secret].append(User(template_id, name))
    return found
