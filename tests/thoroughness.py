"""How much of what takes long is tried: a short form in every run of the suite, all of it with ``CHAOS=full``."""

import os

WHOLE = os.environ.get("CHAOS") == "full"
