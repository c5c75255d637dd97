"""What tools may use on this server: where scripts lie, how large an output may be, which addresses are open.

The values come from the service's configuration; tools take them as one value, so that nothing below reads
the environment.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

MEBIBYTE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class ScriptLimits:
    """What one script may use. Sizes are bytes; ``memory`` is for each of its processes."""

    network: Literal["deny", "allow"] = "deny"
    memory: int = 1024 * MEBIBYTE
    file_size: int = 256 * MEBIBYTE
    processes: int = 64
    open_files: int = 256


@dataclass(frozen=True, slots=True)
class ToolLimits:
    """The limits of all tools. ``hidden_paths`` are closed to scripts where the kernel can see to it."""

    scripts_dir: Path
    max_output_bytes: int = 8 * MEBIBYTE
    egress_allow: tuple[str, ...] = ()
    hidden_paths: tuple[Path, ...] = ()
    script: ScriptLimits = ScriptLimits()
