"""The library: what is known of every file and every recording, in one SQLite database.

Files are rows by place (see `volumes`), recordings by audio id; many files may hold one recording. Rows are
never deleted: a file that is gone is marked missing, and a label once given stays in the history.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from exporters.base import Field, Place
from exporters.filesystem import is_gone
from moodzone_agent.errors import DamagedLibraryError, LibraryError, LibraryUnavailableError
from moodzone_agent.library.records import (
    Analysis,
    FileRecord,
    FileStatus,
    LabelEvent,
    PlaceEvent,
    PlaceEventKind,
    RunRecord,
    Stamp,
    TrackRecord,
    Waiting,
    pack_ribbon,
    unpack_ribbon,
)
from moodzone_agent.library.schema import migrate
from moodzone_agent.library.volumes import MountTable, Volume
from moodzone_agent.library.volumes import Place as VolumePlace
from moodzone_agent.types import Estimate, Label, LabelOrigin, Zone

__all__ = [
    "Analysis",
    "FileRecord",
    "FileStatus",
    "LabelEvent",
    "Library",
    "RunRecord",
    "Stamp",
    "TrackRecord",
]

_BUSY_SECONDS: Final = 30.0
CHECKED_WHEN_OPENED: Final = 32 << 20
"""Bytes up to which a library is checked each time it is opened for writing; it takes some 0.1 s."""

_SELECT_FILE: Final = "SELECT file.*, uid, mount, root FROM file JOIN volume ON volume.id = file.volume"
_SAID: Final = "CASE WHEN last_label.origin <> 'weak' THEN last_label.zone END"
"""The user's word in a row of `_tracks`."""
_IS_HELD: Final = """
    volume = (SELECT id FROM volume WHERE uid = :volume) AND path = :relative
    OR audio_id = (SELECT audio_id FROM file JOIN volume ON volume.id = file.volume
                   WHERE uid = :volume AND path = :relative)
"""


class Library:
    """The library's database, open. Use as a context manager; belongs to the thread that opened it.

    Every method raises LibraryError where the database is damaged, cannot be written, or is locked for more
    than half a minute. Each change is on the disk when its method returns, or when its `transaction` ends.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path, mounts: MountTable) -> None:
        """Take over a migrated ``connection``; use `open`."""
        self._connection = connection
        self.path = path
        self.mounts = mounts
        """What is mounted. `files_under` and `mark_missing` look again by themselves."""

    @classmethod
    def open(cls, path: Path, *, read_only: bool = False, mounts: MountTable | None = None) -> Self:
        """Open the library at ``path``; unless ``read_only``, a missing one is created, with its folder.

        An older library is brought up to date. Raises LibraryError where the file is no library, is damaged,
        or comes from a newer MoodZone; it is then left as it was.
        """
        try:
            if not read_only:
                path.parent.mkdir(parents=True, exist_ok=True)
            elif not path.exists():
                raise LibraryError("There is no library yet: run `moodzone scan FOLDER` first.")
        except OSError as error:
            raise LibraryError(f"The library {path} cannot be reached: {error.strerror}.") from error
        with _translated(path):
            connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)
        library = cls(connection, path, mounts or MountTable())
        try:
            with _translated(path):
                migrate(connection)
                connection.row_factory = sqlite3.Row
                with suppress(sqlite3.OperationalError):  # busy; the file keeps the mode once one has set it
                    connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = FULL")  # labels must survive a power cut
                connection.execute("PRAGMA foreign_keys = ON")
                connection.execute(f"PRAGMA query_only = {int(read_only)}")
            if not read_only and path.stat().st_size <= CHECKED_WHEN_OPENED:
                library.check()
        except BaseException:
            connection.close()
            raise
        return library

    def close(self) -> None:
        """Close the database."""
        self._connection.close()

    def __enter__(self) -> Self:
        """Itself; closed at the end of the block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the database."""
        self.close()

    def check(self, *, thorough: bool = False) -> None:
        """Read the whole database, if ``thorough`` comparing indexes with their tables, too.

        Takes seconds for a large one, several times as long if thorough. Raises DamagedLibraryError.
        """
        self._check("integrity_check(1)" if thorough else "quick_check(1)")

    def check_tables(self, names: Iterable[str]) -> None:
        """Read only these tables. Raises DamagedLibraryError."""
        for name in names:
            self._check(f"quick_check({name})")

    def copy_to(self, target: sqlite3.Connection) -> None:
        """Make an empty database a copy of what this one holds now; others may use it and write meanwhile.

        Raises sqlite3.Error where either side fails.
        """
        self._connection.backup(
            target
        )  # in one step: by pages it would begin anew whenever another process writes

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All changes in the block, or none. May be nested; an inner one that fails takes back itself."""
        inner = self._connection.in_transaction
        self._run("SAVEPOINT inner_block" if inner else "BEGIN IMMEDIATE")
        try:
            yield
            self._run("RELEASE inner_block" if inner else "COMMIT")
        except BaseException:
            if self._connection.in_transaction:  # SQLite itself rolls back when the disk is full
                self._run("ROLLBACK TO inner_block" if inner else "ROLLBACK")
                if inner:
                    self._run("RELEASE inner_block")
            raise

    def file(self, path: Path) -> FileRecord | None:
        """What is known of the file at ``path``."""
        rows = self._rows(f"{_SELECT_FILE} WHERE uid = ? AND path = ?", self.mounts.locate(path))
        return _file_record(rows[0], path) if rows else None

    def files_under(self, root: Path) -> Iterator[FileRecord]:
        """The known files at or under ``root``, missing ones too, on what is mounted there now."""
        self.mounts.refresh()
        for row, path in self._rows_under(root):
            yield _file_record(row, path)

    def files(self) -> Iterator[FileRecord]:
        """All known files, those that are missing or on drives that are away too."""
        yield from map(self._placed, self._rows(_SELECT_FILE))

    def put_file(self, record: FileRecord) -> None:
        """Store what is known of a file, in place of what was known before."""
        with self.transaction():
            if record.audio_id is not None:
                self._put_track(record.audio_id)
            self._put(
                "file",
                **self._put_place(record.path),
                size=record.stamp.size,
                mtime_ns=record.stamp.mtime_ns,
                ctime_ns=record.stamp.ctime_ns,
                status=record.status,
                audio_id=record.audio_id,
                reason=storable(record.reason),
                tag_hash=record.tag_hash,
                tags_checked_ns=record.tags_checked_ns,
                artist=storable(record.artist),
                title=storable(record.title),
                mark=record.mark,
            )

    def mark_missing(
        self, root: Path, seen: Collection[Path] | Callable[[Path], bool], unreadable: Collection[Path] = ()
    ) -> int:
        """Mark the files under ``root`` that are gone; returns how many.

        ``seen`` holds what a walk of ``root`` found. A file counts as gone only if the file system itself
        says so, it does not lie at or under an ``unreadable`` path, and its volume stays mounted meanwhile.
        """
        was_seen = seen if callable(seen) else seen.__contains__
        self.mounts.refresh()
        gone = [
            (row, path)
            for row, path in self._rows_under(root)
            if row["status"] != FileStatus.MISSING
            and not was_seen(path)
            and not any(path.is_relative_to(folder) for folder in unreadable)
            and is_gone(path)
        ]
        self.mounts.refresh()  # when a drive is pulled out, all its files look gone
        gone = [(row, path) for row, path in gone if self.mounts.locate(path) == (row["uid"], row["path"])]
        with self.transaction():
            for row, _ in gone:
                key = (row["volume"], row["path"])
                self._run("UPDATE file SET status = 'missing' WHERE volume = ? AND path = ?", key)
        return len(gone)

    def put_analysis(self, analysis: Analysis) -> None:
        """Store what a pass over a recording's audio found. Features of other versions stay beside it."""
        with self.transaction():
            self._put_track(analysis.audio_id)
            self._run(
                """
                UPDATE track SET duration = ?, tempo = ?, drops = ?, warnings = ?, analysed_ns = ?
                WHERE audio_id = ?
                """,
                (
                    analysis.duration,
                    analysis.tempo,
                    json.dumps(analysis.drops),
                    json.dumps(analysis.warnings),
                    time.time_ns(),
                    analysis.audio_id,
                ),
            )
            self._put(
                "features",
                audio_id=analysis.audio_id,
                version=analysis.features_version,
                track=_pack(analysis.track),
                windows=_pack(analysis.windows),
            )
            self._run("DELETE FROM affect WHERE audio_id = ?", (analysis.audio_id,))

    def has_features(self, audio_id: str, version: int) -> bool:
        """Whether the recording was analysed by this version of the features."""
        return bool(
            self._rows("SELECT 1 FROM features WHERE audio_id = ? AND version = ?", (audio_id, version))
        )

    def analysis(self, audio_id: str, version: int | None = None) -> Analysis | None:
        """The analysis of a recording, with its features of ``version`` (by default the newest there is)."""
        rows = self._rows(
            """
            SELECT * FROM track JOIN features USING (audio_id)
            WHERE audio_id = ? AND version = ifnull(?, version) ORDER BY version DESC LIMIT 1
            """,
            (audio_id, version),
        )
        if not rows:
            return None
        return _analysis(rows[0])

    def analyses(self, features_version: int, *, at_most: int | None = None) -> Iterator[Analysis]:
        """The analyses with features of this version: all, or a sample that stays the same while nothing is added.

        Estimates may be stored while this is iterated.
        """
        ids = self._rows(  # an audio id is a hash: the first ones are as good as drawn by lot
            "SELECT audio_id FROM features WHERE version = ? ORDER BY audio_id LIMIT ifnull(?, -1)",
            (features_version, at_most),
        )
        for (audio_id,) in ids:
            analysis = self.analysis(audio_id, features_version)
            if analysis is not None:
                yield analysis

    def count_rated(self) -> int:
        """How many recordings have an estimate."""
        return int(self._rows("SELECT count(*) FROM estimate")[0][0])

    def is_rated(self, audio_id: str) -> bool:
        """Whether the recording has an estimate, of whatever model."""
        return bool(self._rows("SELECT 1 FROM estimate WHERE audio_id = ?", (audio_id,)))

    def commonest_model(self) -> str | None:
        """Id of the model that most estimates are by; None if there are none."""
        rows = self._rows("SELECT model FROM estimate GROUP BY model ORDER BY count(*) DESC, model LIMIT 1")
        return str(rows[0]["model"]) if rows else None

    def known_audio(self, features_version: int) -> Iterator[tuple[str, int, float]]:
        """Audio id, size and duration of each file that needs no analysis: copies are recognised by them."""
        rows = self._rows(
            """
            SELECT DISTINCT audio_id, size, duration
            FROM file JOIN track USING (audio_id) JOIN features USING (audio_id) WHERE version = ?
            """,
            (features_version,),
        )
        for row in rows:
            yield row["audio_id"], row["size"], row["duration"]

    def put_estimate(self, audio_id: str, estimate: Estimate, ribbon: NDArray[np.floating[Any]]) -> None:
        """Store what a model says of a recording that is known here, in place of what was said before.

        The column ``zone`` holds the zone of the track: where that is not the most probable one, it is a kept one.

        ``ribbon``: [N, 2] rank of the zone (0-2) and arousal (1-9) along the track.
        """
        yellow, green, purple = estimate.probabilities
        with self.transaction():
            self._put(
                "estimate",
                audio_id=audio_id,
                zone=estimate.zone,
                yellow=yellow,
                green=green,
                purple=purple,
                arousal=estimate.arousal,
                valence=estimate.valence,
                sure=estimate.sure,
                model=estimate.model,
                made_ns=time.time_ns(),
                ribbon=pack_ribbon(ribbon),
            )

    def ribbon(self, audio_id: str) -> NDArray[np.float32]:
        """[N, 2] rank and arousal along the track, as last stored; no rows where it was never rated."""
        rows = self._rows("SELECT ribbon FROM estimate WHERE audio_id = ?", (audio_id,))
        return unpack_ribbon(rows[0]["ribbon"] if rows else b"")

    def estimate(self, audio_id: str) -> Estimate | None:
        """What a model says of a recording."""
        rows = self._rows("SELECT * FROM estimate WHERE audio_id = ?", (audio_id,))
        return _estimate(rows[0]) if rows else None

    def put_affect(self, audio_id: str, graph: str, affect: NDArray[np.floating[Any]]) -> None:
        """Keep what a zone graph, by its hash, made of a recording's windows: [W, 2] arousal and valence."""
        self._put("affect", audio_id=audio_id, graph=graph, windows=_pack(affect))

    def affect(self, audio_id: str, graph: str) -> NDArray[np.float32] | None:
        """What `put_affect` kept, if it was of this graph and the recording wasn't analysed again since."""
        rows = self._rows("SELECT * FROM affect WHERE audio_id = ? AND graph = ?", (audio_id, graph))
        return _affect(rows[0]["windows"]) if rows else None

    def tracks_to_rate(
        self,
        model: str,
        features_version: int,
        graph: str = "",
        *,
        only_unrated: bool = False,
        at_once: int = 256,
    ) -> Iterator[list[Waiting]]:
        """What ``model`` has not rated and has features of this version, so many at once; needs no audio.

        ``graph``: whose affect is wanted. ``only_unrated``: those that no model has rated. Estimates may be stored
        while this is iterated.
        """
        last = 0
        while rows := self._rows(
            """
            SELECT features.rowid AS number, track.*, features.*, estimate.*, features.audio_id AS audio_id,
                   last_label.zone IS NOT NULL AND origin <> 'weak' AS is_labelled, affect.windows AS affect
            FROM features JOIN track USING (audio_id) LEFT JOIN estimate USING (audio_id)
            LEFT JOIN last_label USING (audio_id)
            LEFT JOIN affect ON affect.audio_id = features.audio_id AND graph = ?
            WHERE version = ? AND model IS NOT ? AND (model IS NULL OR NOT ?) AND features.rowid > ?
            ORDER BY features.rowid LIMIT ?
            """,
            (graph, features_version, model, only_unrated, last, at_once),
        ):
            last = rows[-1]["number"]
            yield [
                Waiting(
                    _analysis(row),
                    _estimate(row),
                    bool(row["is_labelled"]),
                    _affect(row["affect"]),
                    row["ribbon"] or b"",
                )
                for row in rows
            ]

    def add_label(self, label: Label) -> None:
        """Add to the history what the user said of a recording, analysed or not.

        A weak label of one of which the user has spoken, even to take a label back, is not added.
        """
        if label.origin is LabelOrigin.WEAK and any(
            event.origin is not LabelOrigin.WEAK for event in self.labels(label.audio_id)
        ):
            return
        self._add_event(LabelEvent(label.audio_id, label.zone, label.origin, label.source, label.time_ns))

    def retract_label(self, audio_id: str, source: str, time_ns: int) -> None:
        """Add to the history that the user took the label back; the model's word counts again."""
        self._add_event(LabelEvent(audio_id, None, LabelOrigin.CORRECTED, source, time_ns))

    def label(self, audio_id: str) -> Label | None:
        """The label that counts: the last to arrive, unless it was taken back. A weak one doesn't."""
        rows = self._rows("SELECT * FROM last_label WHERE audio_id = ? AND origin <> 'weak'", (audio_id,))
        return _label_event(rows[0]).label if rows else None

    def labels(self, audio_id: str | None = None) -> list[LabelEvent]:
        """The history of one recording, or of all, in order of arrival."""
        wanted, values = ("TRUE", ()) if audio_id is None else ("audio_id = ?", (audio_id,))
        rows = self._rows(f"SELECT * FROM label WHERE {wanted} ORDER BY arrival", values)
        return [_label_event(row) for row in rows]

    def last_arrival(self, audio_id: str | None = None) -> int:
        """The number of the last entry of the label history, or of one recording's; 0 if there is none."""
        wanted, values = ("TRUE", ()) if audio_id is None else ("audio_id = ?", (audio_id,))
        return int(self._rows(f"SELECT ifnull(max(arrival), 0) FROM label WHERE {wanted}", values)[0][0])

    def learnable(self, features_version: int) -> tuple[dict[Zone, int], int]:
        """Recordings with these features by the zone of their label, weak ones too; and how many lack such features."""
        rows = self._rows(
            """
            SELECT zone, count(features.audio_id) AS known, count(*) AS total FROM last_label
            LEFT JOIN features ON features.audio_id = last_label.audio_id AND version = ?
            WHERE zone IS NOT NULL GROUP BY zone
            """,
            (features_version,),
        )
        known = {Zone(row["zone"]): int(row["known"]) for row in rows}
        return known, sum(row["total"] for row in rows) - sum(known.values())

    def spoken_of_since(self, arrival: int) -> int:
        """Of how many recordings the user said something after this entry of the history; hints don't count."""
        rows = self._rows(
            "SELECT count(DISTINCT audio_id) FROM label WHERE arrival > ? AND origin <> 'weak'", (arrival,)
        )
        return int(rows[0][0])

    def track(self, audio_id: str) -> TrackRecord | None:
        """One recording."""
        return next(iter(self._tracks("track.audio_id = :audio_id", {"audio_id": audio_id})), None)

    def track_of(self, path: Path) -> TrackRecord | None:
        """The recording that the file at ``path`` holds; None where its last reading failed."""
        record = self.file(path)
        if record is None or record.audio_id is None or record.status is FileStatus.FAILED:
            return None
        return self.track(record.audio_id)

    def tracks(
        self,
        *,
        zone: Zone | None = None,
        unsure: bool | None = None,
        labelled: bool | None = None,
        root: Path | None = None,
    ) -> Iterator[TrackRecord]:
        """The recordings in order of path: all, or those for which everything given holds.

        ``zone``: the label's zone, else the estimate's. ``unsure``: without a label, and the model is unsure
        (or, if False, sure). ``labelled``: with a label that counts (or without); a weak one doesn't.
        ``root``: a file is there.
        """
        condition = f"""
            (:zone IS NULL OR ifnull({_SAID}, estimate.zone) = :zone)
            AND (:unsure IS NULL OR {_SAID} IS NULL AND sure = 1 - :unsure)
            AND (:labelled IS NULL OR ({_SAID} IS NOT NULL) = :labelled)
        """
        inside = None if root is None else {row["audio_id"] for row, _ in self._rows_under(root)}
        for track in self._tracks(condition, {"zone": zone, "unsure": unsure, "labelled": labelled}):
            if inside is None or track.audio_id in inside:
                yield track

    def files_to_mark(self) -> Iterator[Path]:
        """The files that are there and whose own field isn't known to hold the mark of their track."""
        marks = {record.path: record.mark for record in self.files() if record.mounted}
        for track in self.tracks():
            if track.mark is not None:
                yield from (path for path in track.paths if marks.get(path) != track.mark.field)

    def hold(self, paths: Iterable[Path], run: str) -> None:
        """Note that these files, known or not, are not to be written until asked; ``run`` names the undo."""
        with self.transaction():
            for path in paths:
                record = self.file(path)
                self._put(
                    "held",
                    **self._put_place(path),
                    audio_id=record.audio_id if record else None,
                    run=run,
                    since_ns=time.time_ns(),
                )

    def release(self, paths: Iterable[Path]) -> None:
        """Allow these files, and others of the same recordings, to be written again."""
        with self.transaction():
            for path in paths:
                self._run(f"DELETE FROM held WHERE {_IS_HELD}", self.mounts.locate(path)._asdict())

    def held(self, path: Path) -> bool:
        """Whether the file, or one of the same recording (it may have been moved), is not to be written."""
        return bool(self._rows(f"SELECT 1 FROM held WHERE {_IS_HELD}", self.mounts.locate(path)._asdict()))

    def labels_after(self, arrival: int) -> list[tuple[int, str]]:
        """Number in the order of arrival, and recording, of every entry of the history after that number."""
        rows = self._rows(
            "SELECT arrival, audio_id FROM label WHERE arrival > ? ORDER BY arrival", (arrival,)
        )
        return [(row["arrival"], row["audio_id"]) for row in rows]

    def collections(self) -> list[tuple[str, Path]]:
        """Target and path of every collection that has a history, in the order in which they came up."""
        rows = self._rows("SELECT target, path FROM collection ORDER BY id")
        return [(row["target"], Path(os.fsdecode(row["path"]))) for row in rows]

    def place_events(self, target: str, collection: Path) -> dict[Place, list[PlaceEvent]]:
        """The histories of all places of a collection whose drive is there, in order of arrival."""
        rows = self._rows(
            """
            SELECT place_event.*, uid FROM place_event
            JOIN collection ON collection.id = collection JOIN volume ON volume.id = volume
            WHERE target = ? AND collection.path = ? ORDER BY arrival
            """,
            (target, os.fsencode(collection)),
        )
        events: dict[Place, list[PlaceEvent]] = {}
        for row in rows:
            track = self.mounts.path_of(VolumePlace(row["uid"], row["path"]))
            if track is not None:
                events.setdefault(Place(track, Field(row["field"])), []).append(_place_event(row))
        return events

    def place_history(self, target: str, collection: Path, place: Place) -> list[PlaceEvent]:
        """The history of one place, in order of arrival."""
        volume, relative = self.mounts.locate(place.track)
        rows = self._rows(
            """
            SELECT kind, value, ours, edited_ns, time_ns FROM place_event
            WHERE collection = (SELECT id FROM collection WHERE target = ? AND path = ?)
                AND volume = (SELECT id FROM volume WHERE uid = ?) AND path = ? AND field = ?
            ORDER BY arrival
            """,
            (target, os.fsencode(collection), volume, relative, place.field),
        )
        return [_place_event(row) for row in rows]

    def last_place_event(self) -> int:
        """The number of the last entry of all places' histories; 0 if there is none."""
        return int(self._rows("SELECT ifnull(max(arrival), 0) FROM place_event")[0][0])

    def add_place_events(
        self, target: str, collection: Path, events: Iterable[tuple[Place, PlaceEvent]]
    ) -> None:
        """Add to the histories of places."""
        with self.transaction():
            number = self._collection(target, collection)
            for place, event in events:
                row = {"collection": number, **self._put_place(place.track), "field": place.field}
                if event.kind is PlaceEventKind.WROTE:
                    self._run(
                        """
                        UPDATE correction SET over = 1
                        WHERE collection = :collection AND volume = :volume AND path = :path AND field = :field
                        """,
                        row,
                    )
                self._put(
                    "place_event",
                    **row,
                    kind=event.kind,
                    value=storable(event.value),
                    ours=storable(event.ours),
                    edited_ns=event.edited_ns,
                    time_ns=time.time_ns(),
                )

    def inherit_places(self, path: Path, audio_id: str) -> None:
        """Give a file that was moved, or renamed, the histories of the places of the one that is gone.

        Its program follows the move, and what we wrote must not look like the user's there.
        """
        gone = self._rows(
            """
            SELECT volume, path FROM file WHERE audio_id = ? AND status = 'missing'
            ORDER BY tags_checked_ns DESC LIMIT 1
            """,
            (audio_id,),
        )
        if not gone:
            return
        with self.transaction():
            self._run(
                """
                INSERT INTO place_event (collection, volume, path, field, kind, value, ours, edited_ns, time_ns)
                SELECT collection, :volume, :path, field, kind, value, ours, edited_ns, time_ns
                FROM place_event
                WHERE collection IN (SELECT id FROM collection) AND volume = :old_volume AND path = :old_path
                    AND NOT EXISTS (
                        SELECT 1 FROM place_event
                        WHERE collection IN (SELECT id FROM collection) AND volume = :volume AND path = :path
                    )
                ORDER BY arrival
                """,
                {**self._put_place(path), "old_volume": gone[0]["volume"], "old_path": gone[0]["path"]},
            )

    def start_run(self, kind: str, detail: Mapping[str, Any] | None = None) -> int:
        """Note that a run begins, with whatever detail JSON can hold; returns its number."""
        with self.transaction():
            self._put("run", kind=kind, detail=json.dumps(dict(detail or {})), started_ns=time.time_ns())
            return int(self._rows("SELECT last_insert_rowid()")[0][0])

    def finish_run(self, run: int, counts: Mapping[str, int]) -> None:
        """Note that a run has ended, and what it did."""
        with self.transaction():
            self._run(
                "UPDATE run SET finished_ns = ?, counts = ? WHERE id = ?",
                (time.time_ns(), json.dumps(dict(counts)), run),
            )

    def runs(self, last: int = 20) -> list[RunRecord]:
        """The last runs, newest first."""
        return [
            RunRecord(
                id=row["id"],
                kind=row["kind"],
                detail=json.loads(row["detail"]),
                started_ns=row["started_ns"],
                finished_ns=row["finished_ns"],
                counts=json.loads(row["counts"]),
            )
            for row in self._rows("SELECT * FROM run ORDER BY id DESC LIMIT ?", (last,))
        ]

    def meta(self, key: str) -> str | None:
        """A note kept under ``key``, such as when the user first agreed to writing."""
        rows = self._rows("SELECT value FROM meta WHERE key = ?", (key,))
        return str(rows[0]["value"]) if rows else None

    def set_meta(self, key: str, value: str) -> None:
        """Keep a note."""
        with self.transaction():
            self._put("meta", key=key, value=storable(value))

    def _check(self, pragma: str) -> None:
        complaint = self._rows(f"PRAGMA {pragma}")[0][0]
        if complaint != "ok":
            raise DamagedLibraryError(_damaged(self.path, complaint))

    def _rows(self, statement: str, values: Any = ()) -> list[sqlite3.Row]:
        with _translated(self.path):
            return self._connection.execute(statement, values).fetchall()

    def _run(self, statement: str, values: Any = ()) -> None:
        with _translated(self.path):
            self._connection.execute(statement, values)

    def _put(self, table: str, **values: Any) -> None:
        """Insert a row, or replace the one with the same key."""
        columns, places = ", ".join(values), ", ".join("?" * len(values))
        self._run(f"INSERT OR REPLACE INTO {table} ({columns}) VALUES ({places})", tuple(values.values()))

    def _put_track(self, audio_id: str) -> None:
        self._run("INSERT INTO track (audio_id) VALUES (?) ON CONFLICT DO NOTHING", (audio_id,))

    def _put_place(self, path: Path) -> dict[str, int | bytes]:
        """The row of the volume that holds ``path``, brought up to date, and the path inside it."""
        volume, relative = self.mounts.find(path)
        shown = (os.fsencode(volume.mount), os.fsencode(volume.root), volume.id)
        rows = self._rows("SELECT id, mount, root FROM volume WHERE uid = ?", (volume.id,))
        if not rows:
            self._run("INSERT INTO volume (mount, root, uid) VALUES (?, ?, ?)", shown)
            return self._put_place(path)
        if (rows[0]["mount"], rows[0]["root"]) != shown[:2]:
            self._run("UPDATE volume SET mount = ?, root = ? WHERE uid = ?", shown)
        return {"volume": rows[0]["id"], "path": relative}

    def _collection(self, target: str, path: Path) -> int:
        """The row of a collection, made where there is none."""
        key = (target, os.fsencode(path))
        self._run("INSERT INTO collection (target, path) VALUES (?, ?) ON CONFLICT DO NOTHING", key)
        return int(self._rows("SELECT id FROM collection WHERE target = ? AND path = ?", key)[0]["id"])

    def _placed_path(self, row: sqlite3.Row) -> Path:
        """Where the file of a row with ``uid``, ``mount``, ``root`` and ``path`` is, or was last."""
        return self.mounts.path_of(VolumePlace(row["uid"], row["path"])) or _last_path(row)

    def _rows_under(self, root: Path) -> Iterator[tuple[sqlite3.Row, Path]]:
        for volume, top in list(self.mounts.below(root)):
            span = {"top": top, "first": top + b"/", "last": top + b"0"}  # 0 follows / in ASCII
            within = "AND path >= :top AND path < :last AND (path = :top OR path > :first)" if top else ""
            rows = self._rows(
                f"{_SELECT_FILE} WHERE uid = :uid {within} ORDER BY path", {"uid": volume.id, **span}
            )
            for row in rows:
                path = volume.path(row["path"])
                if path is not None and self.mounts.shows(volume, path):
                    yield row, path

    def _add_event(self, event: LabelEvent) -> None:
        with self.transaction():
            self._put_track(event.audio_id)
            self._put(
                "label",
                audio_id=event.audio_id,
                zone=event.zone,
                origin=event.origin,
                source=storable(event.source),
                time_ns=event.time_ns,
            )

    def _tracks(self, condition: str, values: dict[str, Any]) -> list[TrackRecord]:
        rows = self._rows(
            f"""
            SELECT track.*, estimate.*, track.audio_id AS audio_id,
                   last_label.zone AS label_zone, origin, source, time_ns
            FROM track LEFT JOIN estimate USING (audio_id) LEFT JOIN last_label USING (audio_id)
            WHERE {condition}
            """,
            values,
        )
        files = self._files_by_audio(values.get("audio_id"))
        tracks = [_track_record(row, files[row["audio_id"]]) for row in rows]
        return sorted(tracks, key=lambda track: (track.paths or track.away, track.audio_id))

    def _files_by_audio(self, audio_id: str | None) -> defaultdict[str, list[FileRecord]]:
        files = defaultdict(list)
        wanted, values = ("audio_id IS NOT NULL", ()) if audio_id is None else ("audio_id = ?", (audio_id,))
        for row in self._rows(f"{_SELECT_FILE} WHERE {wanted}", values):
            files[row["audio_id"]].append(self._placed(row))
        return files

    def _placed(self, row: sqlite3.Row) -> FileRecord:
        now = self.mounts.path_of(VolumePlace(row["uid"], row["path"]))
        return _file_record(row, now or _last_path(row), mounted=now is not None)


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into ours."""
    try:
        yield
    except DamagedLibraryError:
        raise
    except LibraryError as error:
        raise LibraryError(f"The library {path} cannot be used. {error}") from error
    except UnicodeDecodeError as error:  # SQLite itself doesn't look into texts
        raise DamagedLibraryError(_damaged(path, str(error))) from error
    except (sqlite3.IntegrityError, sqlite3.ProgrammingError):  # mistakes of the program, not of the disk
        raise
    except sqlite3.DatabaseError as error:
        code = error.sqlite_errorcode & 0xFF
        if code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
            raise DamagedLibraryError(_damaged(path, str(error))) from error
        if code == sqlite3.SQLITE_BUSY:
            raise LibraryUnavailableError(
                f"Another program holds the library {path}; try again when it is done."
            ) from error
        if code == sqlite3.SQLITE_FULL:
            raise LibraryUnavailableError(
                f"The disk of the library {path} is full; make room on it."
            ) from error
        raise LibraryError(
            f"The library {path} cannot be used ({error}); see to its disk and folder."
        ) from error


def _damaged(path: Path, complaint: str) -> str:
    return f"The library {path} is damaged, or no library ({complaint}): set the file aside and scan again."


def _place_event(row: sqlite3.Row) -> PlaceEvent:
    kind = PlaceEventKind(row["kind"])
    return PlaceEvent(kind, row["value"], row["ours"], row["edited_ns"], row["time_ns"])


def storable(value: str) -> str:
    """What SQLite can hold: names that are not UTF-8 come as lone surrogates, which it refuses."""
    return value.encode("utf-8", "backslashreplace").decode()


def _list(text: str | None) -> tuple[Any, ...]:
    return tuple(json.loads(text)) if text else ()


def _pack(features: NDArray[np.floating[Any]]) -> bytes:
    """Little-endian float32. It hardly compresses: zlib saves 7 %, 15 % if like bytes are put together."""
    return features.astype("<f4").tobytes()


def _unpack(row: sqlite3.Row) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    track, windows = (np.frombuffer(row[name], "<f4").astype(np.float32) for name in ("track", "windows"))
    return track, windows.reshape(-1, len(track))


def _affect(data: bytes | None) -> NDArray[np.float32] | None:
    return None if data is None else np.frombuffer(data, "<f4").astype(np.float32).reshape(-1, 2)


def _analysis(row: sqlite3.Row) -> Analysis:
    track, windows = _unpack(row)
    return Analysis(
        audio_id=row["audio_id"],
        duration=row["duration"],
        tempo=row["tempo"],
        drops=_list(row["drops"]),
        features_version=row["version"],
        track=track,
        windows=windows,
        warnings=_list(row["warnings"]),
    )


def _estimate(row: sqlite3.Row) -> Estimate | None:
    if row["model"] is None:
        return None
    probabilities = (row["yellow"], row["green"], row["purple"])
    made = Estimate(probabilities, row["arousal"], row["valence"], bool(row["sure"]), row["model"])
    zone = Zone(row["zone"])
    return made if zone is made.likeliest else replace(made, kept=zone)


def _file_record(row: sqlite3.Row, path: Path, *, mounted: bool = True) -> FileRecord:
    return FileRecord(
        path=path,
        stamp=Stamp(row["size"], row["mtime_ns"], row["ctime_ns"]),
        status=FileStatus(row["status"]),
        audio_id=row["audio_id"],
        reason=row["reason"],
        tag_hash=row["tag_hash"],
        tags_checked_ns=row["tags_checked_ns"],
        artist=row["artist"],
        title=row["title"],
        mark=row["mark"],
        mounted=mounted,
    )


def _last_path(row: sqlite3.Row) -> Path:
    volume = Volume(row["uid"], Path(os.fsdecode(row["mount"])), os.fsdecode(row["root"]))
    return volume.path(row["path"]) or volume.mount / os.fsdecode(row["path"])


def _label_event(row: sqlite3.Row) -> LabelEvent:
    zone = Zone(row["zone"]) if row["zone"] else None
    return LabelEvent(row["audio_id"], zone, LabelOrigin(row["origin"]), row["source"], row["time_ns"])


def _track_record(row: sqlite3.Row, files: list[FileRecord]) -> TrackRecord:
    files = sorted(files, key=lambda file: file.path)
    here = [file for file in files if file.mounted and file.status is FileStatus.OK]
    away = [file for file in files if file not in here]
    named = next((file for file in here + away if file.artist or file.title), None)
    label = hint = None
    if row["label_zone"] is not None:
        origin = LabelOrigin(row["origin"])
        said = Label(row["audio_id"], Zone(row["label_zone"]), origin, row["source"], row["time_ns"])
        label, hint = (None, said) if origin is LabelOrigin.WEAK else (said, None)
    return TrackRecord(
        audio_id=row["audio_id"],
        duration=row["duration"],
        tempo=row["tempo"],
        drops=_list(row["drops"]),
        warnings=_list(row["warnings"]),
        estimate=_estimate(row),
        label=label,
        ribbon_data=row["ribbon"] or b"",
        paths=tuple(file.path for file in here),
        away=tuple(file.path for file in away),
        artist=named.artist if named else "",
        title=named.title if named else "",
        hint=hint,
    )
