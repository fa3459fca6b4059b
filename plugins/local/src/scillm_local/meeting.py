"""Where a host and its users meet: four small files per host in a private folder.

``KEY.json`` tells where the host listens and with which token. ``KEY.alive`` is locked alone
by the host while it lives, so a file that a dead host left behind is known as such, whoever
has its process id now. ``KEY.lease`` is locked, shared, by every process that uses the host.
``KEY.start`` is locked alone by whoever starts the host, or stops it. What a dead host left is
removed when another is started.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from attrs import asdict, field, frozen

from scillm_local import folders, locks


@frozen(kw_only=True)
class Record:
    """What a host tells about itself.

    Attributes:
        pid: Its process.
        port: Where it listens, on 127.0.0.1.
        token: What a request must bring as Bearer.
        model_id: Name of the model.
        path: File of the model.
        identity: What tells this model's file from another at the same place.
        log: File of its log.
    """

    pid: int
    port: int
    token: str = field(repr=False)
    model_id: str
    path: str
    identity: str
    log: str


@frozen
class Meeting:
    """The files of one host."""

    folder: Path
    key: str

    @property
    def record(self) -> Path:
        """Tells where the host listens."""
        return self.folder / f"{self.key}.json"

    @property
    def alive(self) -> Path:
        """Locked alone by the host while it lives."""
        return self.folder / f"{self.key}.alive"

    @property
    def lease(self) -> Path:
        """Locked, shared, by every user of the host."""
        return self.folder / f"{self.key}.lease"

    @property
    def start(self) -> Path:
        """Locked alone by whoever starts or stops the host."""
        return self.folder / f"{self.key}.start"

    def write(self, record: Record) -> None:
        """Tell everybody, at once or not at all; only this user may read it."""
        descriptor, path = tempfile.mkstemp(dir=self.folder)  # with mode 0600
        with os.fdopen(descriptor, "w") as file:
            json.dump(asdict(record), file)
        Path(path).replace(self.record)

    def read(self) -> Record | None:
        """Return what is told, or None if nothing is, or nothing that can be read."""
        try:
            return Record(**json.loads(self.record.read_text()))
        except (OSError, ValueError, TypeError):
            return None

    def living(self) -> Record | None:
        """Return what is told if the host that told it is alive."""
        found = self.read()
        return found if found is not None and locks.is_held(self.alive) else None


def tidy(folder: Path) -> None:
    """Remove the files of hosts that are dead and that nobody is about to use or to start."""
    for key in {path.stem for path in folder.glob("*.*")}:
        place = Meeting(folder, key)
        with suppress(TimeoutError), locks.held(place.start, 0), locks.held(place.lease, 0):
            if not locks.is_held(place.alive):
                for path in (place.record, place.alive, place.lease, place.start):
                    path.unlink(missing_ok=True)


def meeting(key: str) -> Meeting:
    """Return the meeting point of the host named *key*."""
    return Meeting(folders.meeting_place(), key)


def everywhere() -> Iterator[Meeting]:
    """Yield the meeting points of all hosts of this user, dead ones too."""
    for path in sorted(folders.meeting_place().glob("*.json")):
        yield Meeting(path.parent, path.stem)
