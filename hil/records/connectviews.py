"""The report's section on connect times: pictures made of what the run kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from markupsafe import Markup

from hil.errors import ConfigError
from hil.records import distribution, waterfall

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hil.records.model import Attachment, Run

__all__ = ["ConnectView", "connect_views"]


@dataclass
class ConnectView:
    """Connect times of one rig.

    Attributes:
        clock: ``virtual`` or ``wall``.
        provenance: in words.
        samples: pictures of samples, all cases side by side.
        waterfalls: case, and picture of one connection.
        notes: how far predictions can be trusted.
        problems: attachments that cannot be drawn, in words.
    """

    rig: str
    clock: str = ""
    provenance: str = ""
    samples: list[Markup] = field(default_factory=list)
    waterfalls: list[tuple[str, Markup]] = field(default_factory=list)
    notes: tuple[str, ...] = ()
    problems: list[str] = field(default_factory=list)


def connect_views(run: Run) -> list[ConnectView]:
    """One view for each rig that connected; empty if nothing was kept."""
    found: dict[str, ConnectView] = {}
    for attachment in _kept(run):
        try:
            text = (run.folder / attachment.path).read_text(encoding="utf-8")
            _draw(attachment.media_type, text, found)
        except (OSError, ConfigError) as error:
            said = error.message if isinstance(error, ConfigError) else (error.strerror or str(error))
            found.setdefault("", ConnectView("")).problems.append(f"{attachment.name}: {said}")
    return list(found.values())


def _kept(run: Run) -> Iterator[Attachment]:
    for attachments in (run.attachments, *(test.attachments for test in run.tests)):
        for one in attachments:
            if one.media_type in (distribution.MEDIA_TYPE, waterfall.MEDIA_TYPE):
                yield one


def _draw(media_type: str, text: str, found: dict[str, ConnectView]) -> None:
    if media_type == distribution.MEDIA_TYPE:
        shown = distribution.Samples.from_json(text)
        view = found.setdefault(shown.rig, ConnectView(shown.rig))
        view.samples.append(Markup(distribution.distribution_picture(shown)))
        view.clock, view.provenance = shown.clock, shown.provenance
        view.notes = shown.notes
        return
    one = waterfall.Waterfall.from_json(text)
    view = found.setdefault(one.rig, ConnectView(one.rig))
    view.waterfalls.append((one.case, Markup(waterfall.waterfall_picture(one))))
    view.clock, view.provenance = one.clock, one.provenance
