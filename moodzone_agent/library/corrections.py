"""Corrections that were found, in the library's database: each with where it was found and what became of it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from exporters.base import Field, Place
from moodzone_agent.library.store import Library
from moodzone_agent.types import Zone


class CorrectionState(StrEnum):
    """What became of a correction."""

    RESTING = "resting"
    """Found lately; taken after some quiet minutes, unless it is taken back before."""
    HELD = "held"
    """Waits in the inbox for a yes: it neither trains nor is overwritten."""
    TAKEN = "taken"
    """It is a label."""
    REJECTED = "rejected"
    """The user said that it is none."""
    WITHDRAWN = "withdrawn"
    """It was undone where it was made before it was taken: it never happened."""


OPEN = (CorrectionState.RESTING, CorrectionState.HELD)


@dataclass(frozen=True, slots=True)
class Correction:
    """One correction."""

    id: int
    audio_id: str
    zone: Zone | None
    """None where the place says several."""
    verdict: str
    """What the look at the place told, such as ``corrected`` or ``echo``."""
    target: str
    collection: Path
    place: Place
    value: str
    state: CorrectionState
    why: str
    """Why it is held."""
    after_ns: int
    """It was made after this time,"""
    until_ns: int
    """and not after this one: two looks, or twice the time that the program tells. By the machine's clock."""
    over: bool
    """Whether the place showed something else since."""
    label_arrival: int | None
    """The last entry of the label history when it was found."""


class Corrections:
    """All corrections of a library, in order of arrival. Raises LibraryError as the library does."""

    def __init__(self, library: Library) -> None:
        self._library = library

    def open(self) -> list[Correction]:
        """Those that rest or are held."""
        return self._where("state IN ('resting', 'held')", ())

    def all(self, last: int = 200) -> list[Correction]:
        """The last ones, the oldest first."""
        return self._where("TRUE", ())[-last:]

    def get(self, number: int) -> Correction | None:
        """The correction of this number."""
        found = self._where("correction.id = ?", (number,))
        return found[0] if found else None

    def at(self, target: str, collection: Path) -> list[Correction]:
        """Those found in a collection that still shows them, as far as is known."""
        return self._where(
            "target = ? AND collection.path = ? AND NOT over", (target, os.fsencode(collection))
        )

    def end(self, corrections: Iterable[Correction]) -> None:
        """Note that their places show something else now; what was not taken yet never happened."""
        ended = list(corrections)
        self.settle((one for one in ended if one.state in OPEN), CorrectionState.WITHDRAWN)
        with self._library.transaction():
            for one in ended:
                self._library._run("UPDATE correction SET over = 1 WHERE id = ?", (one.id,))

    def add(
        self,
        audio_id: str,
        zone: Zone | None,
        verdict: str,
        target: str,
        collection: Path,
        place: Place,
        value: str,
        *,
        state: CorrectionState,
        why: str = "",
        after_ns: int,
        until_ns: int,
    ) -> None:
        """Note a correction that was found."""
        library = self._library
        with library.transaction():
            library._put(
                "correction",
                audio_id=audio_id,
                zone=zone,
                verdict=verdict,
                collection=library._collection(target, collection),
                **library._put_place(place.track),
                field=place.field,
                value=value,
                state=state,
                why=why,
                after_ns=after_ns,
                until_ns=until_ns,
                found_ns=time.time_ns(),
                label_arrival=library.last_arrival(),
            )

    def settle(self, corrections: Iterable[Correction], state: CorrectionState, why: str = "") -> None:
        """Note what became of corrections."""
        with self._library.transaction():
            for correction in corrections:
                self._library._run(
                    "UPDATE correction SET state = ?, why = ?, settled_ns = ? WHERE id = ?",
                    (state, why, time.time_ns(), correction.id),
                )

    def taken_since(self, time_ns: int) -> set[str]:
        """The recordings of those taken since a time."""
        rows = self._library._rows(
            "SELECT DISTINCT audio_id FROM correction WHERE state = 'taken' AND settled_ns >= ?", (time_ns,)
        )
        return {row["audio_id"] for row in rows}

    def _where(self, condition: str, values: tuple[object, ...]) -> list[Correction]:
        rows = self._library._rows(
            f"""
            SELECT correction.*, target, collection.path AS collection_path, uid, mount, root
            FROM correction JOIN collection ON collection.id = collection JOIN volume ON volume.id = volume
            WHERE {condition} ORDER BY correction.id
            """,
            values,
        )
        return [
            Correction(
                id=row["id"],
                audio_id=row["audio_id"],
                zone=Zone(row["zone"]) if row["zone"] else None,
                verdict=row["verdict"],
                target=row["target"],
                collection=Path(os.fsdecode(row["collection_path"])),
                place=Place(self._library._placed_path(row), Field(row["field"])),
                value=row["value"],
                state=CorrectionState(row["state"]),
                why=row["why"],
                after_ns=row["after_ns"],
                until_ns=row["until_ns"],
                over=bool(row["over"]),
                label_arrival=row["label_arrival"],
            )
            for row in rows
        ]
