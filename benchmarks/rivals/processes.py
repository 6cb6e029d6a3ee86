"""What Chromium's processes use: the renderer and the GPU process, which draws in software here."""

from dataclasses import dataclass

import psutil

TYPES = ("renderer", "gpu-process")


@dataclass
class Usage:
    """Processor seconds spent so far, and resident bytes now."""

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


class Meter:
    """Adds up what all renderers and the GPU process of one browser use; those that ended still count."""

    def __init__(self, browser: psutil.Process) -> None:
        self.browser = browser
        self.spent: dict[int, float] = {}  # processor seconds of each process

    def read(self) -> Usage:
        """Return what they used by now."""
        resident = 0
        for process in self.browser.children(recursive=True):
            try:
                line = process.cmdline()
                if any(f"--type={kind}" in line for kind in TYPES):
                    times = process.cpu_times()
                    self.spent[process.pid] = times.user + times.system
                    resident += process.memory_info().rss
            except psutil.Error:
                continue
        return Usage(sum(self.spent.values()), resident)
