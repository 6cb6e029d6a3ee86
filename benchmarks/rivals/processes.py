"""What Chromium's processes use: the renderer and the GPU process, which draws in software here."""

from dataclasses import dataclass

import psutil

TYPES = ("renderer", "gpu-process")


@dataclass
class Usage:
    """Processor seconds spent so far, and resident bytes."""

    cpu_s: float
    resident: int


def find_browser(profile: str) -> psutil.Process:
    """Return the browser's process, among this process's descendants, by its profile folder."""
    for process in psutil.Process().children(recursive=True):
        try:
            line = process.cmdline()
        except psutil.Error:
            continue
        if any(profile in part for part in line) and not any(part.startswith("--type=") for part in line):
            return process
    raise RuntimeError(f"no browser with the profile {profile} was started by this process.")


def measure_use(browser: psutil.Process) -> Usage:
    """Add up what all renderers and the GPU process of one browser use."""
    total = Usage(0.0, 0)
    for process in browser.children(recursive=True):
        try:
            line = process.cmdline()
            if not any(f"--type={kind}" in line for kind in TYPES):
                continue
            times = process.cpu_times()
            total.cpu_s += times.user + times.system
            total.resident += process.memory_info().rss
        except psutil.Error:
            continue
    return total
