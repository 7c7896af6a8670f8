"""Ctrl-C between two steps: what must not be torn is finished first."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any


class Interrupts:
    """Holds Ctrl-C back within ``whole`` sections; elsewhere it acts at once.

    A second one in the same section is not held back.  A handler of the caller's own,
    or a thread that gets no signals, leaves everything as it is.
    """

    def __init__(self) -> None:
        self.whole = _Section(self)
        self.held = self.asked = False
        self._old: Any = None

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if not self.held or self.asked:
            signal.default_int_handler(number, frame)
        self.asked = True

    def __enter__(self) -> Interrupts:
        own = threading.current_thread() is threading.main_thread()
        if own and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            self._old = signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._old is not None:
            signal.signal(signal.SIGINT, self._old)


class _Section:
    """``with interrupts.whole:`` — a Ctrl-C that came meanwhile follows its end."""

    def __init__(self, owner: Interrupts) -> None:
        self._owner = owner

    def __enter__(self) -> None:
        self._owner.held = True

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        owner = self._owner
        owner.held = False
        if owner.asked:
            owner.asked = False
            if kind is None:
                raise KeyboardInterrupt
