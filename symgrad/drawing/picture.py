"""A drawing: DOT text that is laid out when it is looked at or saved."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

from symgrad.drawing.layout import render
from symgrad.drawing.page import picture_page
from symgrad.errors import FormatError
from symgrad.files import replace_file

SUFFIXES = (".svg", ".png", ".pdf", ".dot", ".html")


class Drawing:
    """A picture of a graph.

    Attributes:
        dot: the picture as DOT text.
        svg: the picture as SVG text.
        html: the picture as a page of its own: pans, zooms, searches and folds.
    """

    def __init__(self, dot: str, page: Callable[[], str] | None = None) -> None:
        self.dot = dot
        self._page = page

    @cached_property
    def svg(self) -> str:
        """The picture as SVG text."""
        return render(self.dot, "svg").decode()

    @cached_property
    def html(self) -> str:
        """The picture as a page that needs no other file and no network."""
        if self._page is not None:
            return self._page()
        return picture_page(self.svg, "symgrad")

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the picture to a file, all of it or nothing; return the path.

        Raises:
            FormatError: the suffix is unknown, or the file cannot be written.
        """
        target = Path(path)
        suffix = target.suffix.lower()
        if suffix not in SUFFIXES:
            raise FormatError(
                f"cannot save a picture as {target.name!r}: its suffix is "
                f"{suffix or 'missing'}; use one of {', '.join(SUFFIXES)}"
            )
        if suffix == ".dot":
            content = self.dot.encode()
        elif suffix == ".svg":
            content = self.svg.encode()
        elif suffix == ".html":
            content = self.html.encode()
        else:
            content = render(self.dot, suffix[1:])
        write(target, content)
        return target

    def _repr_svg_(self) -> str:
        return self.svg[self.svg.index("<svg") :]

    def _repr_html_(self) -> str:
        return f'<div style="overflow-x:auto">{self._repr_svg_()}</div>'

    def __repr__(self) -> str:
        return f"<Drawing, {len(self.dot.splitlines())} lines of DOT>"


def write(target: Path, content: bytes, what: str = "the picture") -> None:
    """Write what is looked at, all of it or nothing.

    Raises:
        FormatError: it cannot be written; the message says ``what``.
    """
    try:
        replace_file(target, content)
    except OSError as error:
        raise FormatError(
            f"cannot write {what} to {str(target)!r}: {error.strerror}; choose a "
            "folder that exists and that you may write to"
        ) from None
