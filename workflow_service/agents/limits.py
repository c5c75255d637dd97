"""What tools may use on this server: where scripts lie, how large an output may be, which addresses are open.

``tool_limits`` takes them from the service's configuration; the tools are handed the value and read neither
the configuration nor the environment.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Literal

from workflow_service.settings.config import get_config

MEBIBYTE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class ScriptLimits:
    """What one script may use. Sizes are bytes; ``memory`` is for each of its processes."""

    network: Literal["deny", "allow"] = "deny"
    # "required": a script does not start where the kernel has no Landlock or seccomp.
    isolation: Literal["required", "best_effort"] = "required"
    # Beside the interpreter and the system's libraries.
    readable: tuple[Path, ...] = ()
    # False where the kernel is known to refuse them; the other fences then carry alone.
    namespaces: bool = True
    memory: int = 1024 * MEBIBYTE
    file_size: int = 256 * MEBIBYTE
    processes: int = 64
    open_files: int = 256
    result_files: int = 200


@dataclass(frozen=True, slots=True)
class ToolLimits:
    """The limits of all tools.

    ``scripts_dir`` and ``files_dir`` hold a directory per workspace, ``runs_dir`` one per script at work;
    ``hidden_paths`` are closed to scripts where the kernel can see to it, but for their workspace's files.
    """

    scripts_dir: Path
    files_dir: Path
    runs_dir: Path
    max_output_bytes: int = 8 * MEBIBYTE
    egress_allow: tuple[str, ...] = ()
    # Databases open to workflows, by name: postgresql:// URLs with their passwords.
    sql_connections: Mapping[str, str] = field(default_factory=dict, repr=False)
    hidden_paths: tuple[Path, ...] = ()
    mcp_servers_file: Path | None = None
    script: ScriptLimits = ScriptLimits()


@cache
def tool_limits() -> ToolLimits:
    """Return the limits that this server's configuration sets."""
    config = get_config()
    return ToolLimits(
        scripts_dir=config.scripts_dir or config.data_dir / "scripts",
        files_dir=config.data_dir / "files",
        runs_dir=config.data_dir / "script-runs",
        max_output_bytes=config.max_output_bytes,
        egress_allow=config.egress_allow,
        mcp_servers_file=config.mcp_servers_file,
        sql_connections={name: url.get_secret_value() for name, url in config.sql_connections.items()},
        # The embedded servers' passwords and the signing key lie there.
        hidden_paths=(config.data_dir,),
        script=ScriptLimits(
            network=config.script_network,
            isolation=config.script_isolation,
            readable=tuple(map(Path, config.script_readable)),
        ),
    )
