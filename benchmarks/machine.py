"""What the figures were taken on."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from .peers import ROOT

CPU_INFO = Path("/proc/cpuinfo")
BUSY = 0.5
"""Load average above which somebody else is at work, and a warning is due."""


def describe(*, threads: int) -> dict[str, object]:
    """Processor, cores, threads in use, Python, date, load and the commit that was measured."""
    return {
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "threads": threads,
        "python": platform.python_version(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "load_average": round(os.getloadavg()[0], 2),
        "commit": commit(),
    }


def cpu_model() -> str:
    """The processor's own name."""
    if not CPU_INFO.exists():
        return platform.processor() or platform.machine()
    names = [
        line.split(":", 1)[1].strip() for line in CPU_INFO.read_text().splitlines() if line.startswith("model name")
    ]
    return names[0] if names else platform.machine()


def commit() -> str:
    """Hash of the commit checked out; `+` when files differ from it, `none` outside a repository."""
    head = _git("rev-parse", "--short=12", "HEAD")
    return (head + ("+" if _git("status", "--porcelain") else "")) if head else "none"


def busy() -> str | None:
    """A warning when the machine is already at work, for the figures would measure that too."""
    load = os.getloadavg()[0]
    if load <= BUSY:
        return None
    return (
        f"the machine is busy (load average {load:.1f}): expect slow, unsteady figures; ratios hold better than times"
    )


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""
