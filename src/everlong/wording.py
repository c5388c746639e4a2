"""Quantities as people read them."""


def bytes_text(count: int) -> str:
    """A number of bytes in the largest unit that leaves at least 1.

    >>> bytes_text(1_536)
    '1.5 KiB'
    """
    size, unit = float(count), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if size < 1024:
            break
        size, unit = size / 1024, larger
    return f"{count} B" if unit == "B" else f"{size:,.1f} {unit}"


def duration_text(seconds: float) -> str:
    """A duration in hours, minutes and seconds.

    >>> duration_text(3_725)
    '1:02:05'
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
