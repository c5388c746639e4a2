"""Resident memory of this process, in MB of 10⁶ bytes."""

import resource
import sys
from pathlib import Path

STATUS = Path("/proc/self/status")


def now() -> float:
    """What is resident at this moment."""
    return _kernel_field("VmRSS") if STATUS.exists() else peak()


def peak() -> float:
    """The most that has been resident.

    Linux keeps `ru_maxrss` across exec, so a child would inherit its parent's; the high-water mark starts anew.
    """
    if STATUS.exists():
        return _kernel_field("VmHWM")
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def _kernel_field(name: str) -> float:
    lines = STATUS.read_text().splitlines()
    kibibytes = next(line.split()[1] for line in lines if line.startswith(name + ":"))
    return int(kibibytes) * 1024 / 1e6
