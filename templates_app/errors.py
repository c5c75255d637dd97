"""What can be wrong with a template."""

from workflow_service.engine.errors import InvalidDefinition, WorkflowError


class TemplateNotFound(WorkflowError):
    """The workspace has no template of that id."""

    code = "TEMPLATE_NOT_FOUND"


class VersionNotFound(WorkflowError):
    """The template has no version of that name."""

    code = "TEMPLATE_VERSION_NOT_FOUND"


class TemplateBodyInvalid(WorkflowError):
    """What was sent as a template is not one; ``problems`` names each place and its mend."""

    code = "INVALID_REQUEST"


class TemplateNotPublishable(InvalidDefinition):
    """A definition has findings of severity ERROR, and an active template may have none."""

    code = "INVALID_DEFINITION"


class TemplateArchived(WorkflowError):
    """An archived template is kept for its runs, and does not change until it is restored."""

    code = "TEMPLATE_ARCHIVED"


class StaleTemplate(WorkflowError):
    """The template was changed since the client read it: its ETag is another one now."""

    code = "STALE_TEMPLATE"


class LibraryTemplateNotFound(WorkflowError):
    """The library has no template of that slug."""

    code = "LIBRARY_TEMPLATE_NOT_FOUND"


class GranteeNotFound(WorkflowError):
    """The workspace has no member, and no member in a group, of that name."""

    code = "GRANTEE_NOT_FOUND"


class OwnerUnfit(WorkflowError):
    """A template was to be given to somebody whose roles do not let them have templates."""

    code = "OWNER_UNFIT"
