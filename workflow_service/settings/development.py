"""Development and demo: the embedded servers where no URL is given, on loopback."""

from workflow_service.settings.common import *  # noqa: F403
from workflow_service.settings.common import CONFIG, EXAMPLE_USE_CASES

USE_CASE_MODULES = EXAMPLE_USE_CASES if CONFIG.use_case_modules is None else CONFIG.use_case_modules

# Static files are served from where they lie: there is no build step to forget.
STATIC_ROOT = None
WHITENOISE_USE_FINDERS = True
