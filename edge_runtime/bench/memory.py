"""The memory of the process that runs this file. Fresh processes do, without the package around it: it needs nothing else.

What `wait4` says of a child is of no use: Linux counts the memory of the process that started it as the child's.
"""

from __future__ import annotations

import sys


def peak_bytes(status: str = "/proc/self/status") -> int:
    """The most memory this process ever had, since its program was started."""
    try:
        with open(status, encoding="ascii", errors="replace") as file:
            kib = [line.split()[1] for line in file if line.startswith("VmHWM:")]
    except OSError:
        kib = []
    if kib:
        return int(kib[0]) * 1024
    import resource  # macOS and others, which count the process alone

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def emulated_bytes(maps: str = "/proc/self/maps", smaps: str = "/proc/self/smaps") -> int:
    """The memory of this program now, without that of the emulator that runs it.

    The emulator answers `maps` with what the program has mapped, and leaves `smaps` to the system, which lists its own memory too.
    """
    own = [(begin, end, path) for begin, end, path, _ in _areas(maps)]
    system = list(_areas(smaps))
    shift = _shift(own, system)
    total = 0.0
    for begin, end, _, resident in system:
        shared = sum(max(0, min(end, last + shift) - max(begin, first + shift)) for first, last, _ in own)
        total += resident * shared / (end - begin)
    return round(total)


def _shift(own: list[tuple[int, int, str]], system: list[tuple[int, int, str, int]]) -> int:
    """Where the program's address 0 is in the emulator's memory: found by a file that both have mapped."""
    for begin, _, path in own:
        places = [first for first, _, name, _ in system if name == path]
        if path.startswith("/") and places:
            return min(places) - begin
    return 0


def _areas(name: str) -> list[tuple[int, int, str, int]]:
    """Begin, end, file and resident bytes of each area; `maps` says nothing of the last."""
    areas: list[tuple[int, int, str, int]] = []
    with open(name, encoding="utf-8", errors="replace") as file:
        for line in file:
            words = line.split(maxsplit=5)
            if "-" in words[0] and not words[0].endswith(":"):
                begin, end = (int(each, 16) for each in words[0].split("-"))
                areas.append((begin, end, words[5].strip() if len(words) > 5 else "", 0))
            elif words[0] == "Rss:":
                areas[-1] = (*areas[-1][:3], int(words[1]) * 1024)
    return areas
