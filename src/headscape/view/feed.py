"""What a live view is sent: pages, one at a time, and of several that wait only the newest."""

import base64
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from headscape.view.frames import EncodedFrame
from headscape.view.page import Numbers, page_block

# Seconds after which a view that stays silent is sent the next page all the same: a kernel that is busy with
# a cell hears no answers, and its pictures must still move. Doubled at each silence, so that nothing piles
# up.
FIRST_PATIENCE_S = 1.0
MOST_PATIENCE_S = 30.0

Send = Callable[[dict[str, Any], list[bytes]], None]


class Feed:
    """The pages of one widget and what its view has of them.

    At most one page is on its way; the view answers when it shows it. What changes meanwhile waits, and of
    what waits only the newest is sent. A frame that the view holds is named and not sent again.

    Parameters
    ----------
    send : callable
        Takes a message and its buffers to the view.
    clock : callable
        Seconds, from any start.
    """

    def __init__(self, send: Send, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._send = send
        self._clock = clock
        # A view's answers arrive in another thread where the kernel has subshells.
        self._lock = threading.RLock()
        self._frames: list[tuple[int, EncodedFrame]] = []
        self._title, self._note = "", ""
        self._view: Mapping[str, Any] | None = None
        self._last_id = 0
        self._held: set[int] = set()
        self._flying: tuple[int, set[int]] | None = None
        self._sent_at = 0.0
        self._patience_s = FIRST_PATIENCE_S
        self.version = 0
        self.sends_text = False

    @property
    def frames(self) -> list[EncodedFrame]:
        """Return the frames of the newest page."""
        return [frame for _, frame in self._frames]

    def put(
        self,
        frames: Sequence[EncodedFrame],
        *,
        title: str,
        note: str = "",
        view: Mapping[str, Any] | None = None,
    ) -> None:
        """Make these frames the newest page; those that were on the last one keep their numbers."""
        with self._lock:
            known = {id(frame): number for number, frame in self._frames}
            fresh = []
            for frame in frames:
                number = known.get(id(frame))
                if number is None:
                    self._last_id = number = self._last_id + 1
                fresh.append((number, frame))
            self._frames = fresh
            self._title, self._note, self._view = title, note, view
            self.version += 1
            self._push()

    def whole(self) -> bytes:
        """Return the newest page with all its frames, for a view that is made now."""
        with self._lock:
            return self._block(())

    def hold_all(self) -> None:
        """Take note that the view was made with the page as it is."""
        with self._lock:
            self._held = {number for number, _ in self._frames}
            self._flying = None

    def answer(self, content: object) -> bool:
        """Take a message of the view; return whether it was meant for the feed."""
        match content:
            case {"kind": "shown", "version": int(version)}:
                self._on_shown(version)
            case {"kind": "hello", "version": int(version), "held": list(held), "buffers": bool(buffers)}:
                self._on_hello(version, held, buffers)
            case _:
                return False
        return True

    def _on_shown(self, version: int) -> None:
        with self._lock:
            if self._flying is None or self._flying[0] != version:
                return
            self._held = self._flying[1]
            self._flying = None
            self._patience_s = FIRST_PATIENCE_S
            if version < self.version:
                self._push()

    def _on_hello(self, version: int, held: list[Any], takes_buffers: bool) -> None:
        with self._lock:
            self.sends_text = not takes_buffers
            if version == self.version:
                return
            # Several windows may show the widget; what the newest lacks goes to all of them.
            self._held = {number for number in held if isinstance(number, int)}
            self._flying = None
            self._push()

    def _push(self) -> None:
        now = self._clock()
        if self._flying is not None:
            if now - self._sent_at < self._patience_s:
                return
            self._patience_s = min(2 * self._patience_s, MOST_PATIENCE_S)
        block = self._block(self._held)
        self._flying = (self.version, {number for number, _ in self._frames})
        self._sent_at = now
        message: dict[str, Any] = {"kind": "page", "version": self.version}
        if self.sends_text:
            self._send(message | {"text": base64.b64encode(block).decode("ascii")}, [])
        else:
            self._send(message, [block])

    def _block(self, held: Iterable[int]) -> bytes:
        return page_block(
            self.frames,
            title=self._title,
            note=self._note,
            view=self._view,
            numbers=Numbers([number for number, _ in self._frames], set(held)),
        )
