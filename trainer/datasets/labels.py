"""Labels as users have them: tables, folders, playlists, tags, and the agent's own library.

`read_labels` takes any of them and says, of each label, what it tells of the track and where it stands. Which
recording that is, `user.resolve` finds out.
"""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Final
from urllib.parse import unquote
from xml.etree import ElementTree as ET

from exporters.tags.edit import read_state
from moodzone_agent.console import printable
from moodzone_agent.errors import DataSetError, FileError, UsageError
from moodzone_agent.library.label_csv import TAKEN_BACK
from moodzone_agent.library.store import Library
from moodzone_agent.types import LabelOrigin, MarkState, Zone
from moodzone_agent.walk import Found, walk

Aliases = Mapping[str, Zone | None]
"""What a user's own names of zones mean; None for what is no zone on purpose."""

TABLE_ENDINGS: Final = frozenset({".csv", ".tsv", ".txt"})
PLAYLIST_ENDINGS: Final = frozenset({".m3u", ".m3u8"})
SQLITE_HEAD: Final = b"SQLite format 3\0"
_DELIMITERS: Final = ("\t", ";", ",")
_COLUMNS: Final = {
    "path": {"path", "location", "file", "file path", "filepath", "file name", "filename"},
    "zone": {"zone", "label", "moodzone"},
    "artist": {"artist", "track artist"},
    "title": {"title", "track title", "track name", "name", "song"},
    "duration": {"duration", "time", "length", "total time", "totaltime"},
    "origin": {"origin"},
    "audio_id": {"audio id"},
}
"""What headers call each column, in small letters, blanks in place of underscores."""
_BYTE_ORDER_MARKS: Final = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be", b"\xef\xbb\xbf": "utf-8"}
_NEARLY_A_ZONE: Final = 0.8
"""From which likeness on (0 to 1) a folder's or playlist's name must be meant to be a zone."""
_MOST_SHOWN: Final = 10


@dataclass(frozen=True, slots=True)
class GivenLabel:
    """One label, as its source has it."""

    zone: Zone
    origin: LabelOrigin
    where: str
    """Where it stands, such as ``labels.csv:12``."""
    path: Path | None = None
    """As it is written there: relative, or of another computer, perhaps."""
    artist: str = ""
    title: str = ""
    duration: float | None = None
    """Seconds."""
    audio_id: str | None = None


@dataclass(frozen=True, slots=True)
class UnknownZone:
    """A word that stands where a zone should."""

    word: str
    count: int
    where: str
    """Its first place."""
    suggestion: Zone | None
    """What it may be a misspelling of."""

    def __str__(self) -> str:
        rows = "once" if self.count == 1 else f"{self.count:,} times, first"
        meaning = self.suggestion or "ZONE"
        perhaps = f"if {self.suggestion} is meant, give" if self.suggestion else "say what it means with"
        return (
            f"'{printable(self.word)}' ({rows} at {self.where}) is no zone: {perhaps} "
            f'--alias "{printable(self.word)}={meaning}"'
        )


@dataclass(frozen=True, slots=True)
class LabelFile:
    """What one source says."""

    source: Path
    labels: tuple[GivenLabel, ...]
    """In the source's order: where two contradict each other, the later is the newer."""
    without_zone: int = 0
    """Rows, tracks or files that have none."""
    unknown: tuple[UnknownZone, ...] = ()
    is_library: bool = False
    """Whether it is a library of the agent's, which knows features, too."""

    def check(self) -> None:
        """Raise `DataSetError` where words stand that are no zones."""
        if not self.unknown:
            return
        lines = [str(unknown) for unknown in self.unknown[:_MOST_SHOWN]]
        if len(self.unknown) > _MOST_SHOWN:
            lines.append(f"and {len(self.unknown) - _MOST_SHOWN:,} more words")
        lines.append("What is no zone on purpose takes --alias WORD=none.")
        raise DataSetError(f"{printable(self.source)} holds unknown zones.\n  " + "\n  ".join(lines))


def parse_aliases(options: Iterable[str]) -> dict[str, Zone | None]:
    """Aliases from ``YELOW=YELLOW`` and ``chill=none``. Raises UsageError."""
    aliases: dict[str, Zone | None] = {}
    for option in options:
        word, equals, name = option.rpartition("=")
        zone = _ZONES.get(_key(name))
        if not (equals and _key(word)) or (zone is None and _key(name) != "none"):
            raise UsageError(
                f"--alias {option}: write WORD=ZONE, where ZONE is yellow, green, purple or none"
            )
        aliases[_key(word)] = zone
    return aliases


def read_labels(source: Path, *, aliases: Aliases, origin: LabelOrigin = LabelOrigin.IMPORTED) -> LabelFile:
    """Read one source; its kind is seen from what it is.

    A folder with subfolders named by zones: the tracks in those. Any other folder: the labels in its files' tags
    (what the model wrote there isn't one). ``.m3u``, ``.m3u8``: a playlist named by its zone. ``.xml``: the
    playlists of a rekordbox collection that are named by zones. ``.csv``, ``.tsv``, ``.txt``: a table of path and
    zone, or a DJ program's text export. ``.sqlite``: the agent's library. `origin` is for labels whose source
    doesn't tell theirs.

    Errors: `DataSetError` where the source can't be read as such, or names no zone at all; `LibraryError`.
    """
    reading = _Reading(source, aliases, origin)
    try:
        if source.is_dir():
            reading.read_folder()
        else:
            reading.read_file()
    except OSError as error:
        raise DataSetError(
            f"{printable(source)} cannot be read ({error.strerror or error}): name a file or folder of labels"
        ) from error
    return reading.result()


def read_paths(source: Path) -> list[Path]:
    """The paths in a list: a playlist, or a text file with one path a line; relative ones from the list's folder.

    Errors: `DataSetError`.
    """
    try:
        text = _decoded(source.read_bytes(), source)
    except OSError as error:
        raise DataSetError(f"{printable(source)} cannot be read ({error.strerror or error})") from error
    lines = (line.rstrip("\r") for line in text.split("\n"))
    located = (locate(line) for line in lines if line.strip() and not line.startswith("#"))
    return [source.parent / path for path in located if path is not None]


def locate(text: str) -> Path | None:
    """The path that a playlist or table means: itself, or a ``file:`` URL decoded. None for what is streamed."""
    scheme, colon, rest = text.partition(":")
    if not colon or len(scheme) < 2 or not scheme.isalnum():
        return Path(text)
    if scheme.lower() != "file":
        return None if rest.startswith("//") else Path(text)
    if not rest.startswith("/"):  # a file may be called so
        return Path(text)
    host, slash, path = rest.removeprefix("//").partition("/")
    if not slash:
        return None
    path = unquote(path, errors="surrogateescape")
    if host.lower() not in {"", "localhost"}:  # rekordbox's streaming tracks are file://localhostspotify:...
        return None if ":" in host else Path(f"//{host}/{path}")
    return Path(path) if re.match(r"[A-Za-z]:", path) else Path(f"/{path}")


class _Reading:
    """What was read so far of one source."""

    def __init__(self, source: Path, aliases: Aliases, origin: LabelOrigin) -> None:
        self._source = source
        self._origin = origin
        self._aliases = {_key(word): zone for word, zone in aliases.items()}
        self._labels: list[GivenLabel] = []
        self._without_zone = 0
        self._unknown: dict[str, tuple[int, str]] = {}
        self._is_library = False

    def result(self) -> LabelFile:
        unknown = tuple(
            UnknownZone(word, count, where, self._suggestion(word))
            for word, (count, where) in self._unknown.items()
        )
        return LabelFile(self._source, tuple(self._labels), self._without_zone, unknown, self._is_library)

    def read_file(self) -> None:
        ending = self._source.suffix.lower()
        with self._source.open("rb") as file:
            head = file.read(len(SQLITE_HEAD))
        if head == SQLITE_HEAD:
            self._read_library()
        elif ending in {".sqlite", ".db"}:  # SQLite would make a library of one that is short enough
            raise DataSetError(f"{printable(self._source)} is no library: name the agent's, `library.sqlite`")
        elif ending in PLAYLIST_ENDINGS:
            self._read_playlist()
        elif ending == ".xml":
            self._read_rekordbox()
        elif ending in TABLE_ENDINGS:
            self._read_table()
        else:
            raise DataSetError(
                f"{printable(self._source)} is of no kind that holds labels: give a table (.csv, .tsv, .txt), "
                "a playlist (.m3u, .m3u8), rekordbox's collection (.xml), a library (.sqlite) or a folder"
            )

    # Zones.

    def _zone(self, word: str) -> Zone | None:
        """The zone that a word means. Raises KeyError if none is known, returns None for what is none on purpose."""
        key = _key(word.strip().removeprefix("#"))
        return self._aliases[key] if key in self._aliases else _ZONES[key]

    def _is_zone(self, word: str) -> bool:
        try:
            return self._zone(word) is not None
        except KeyError:
            return False

    def _zone_in_name(self, name: str) -> tuple[bool, Zone | None]:
        """Whether a folder's or playlist's name speaks of zones, and the one it names; None if it names several."""
        words = f" {_words(name)} "
        known = {**{_words(word): zone for word, zone in self._aliases.items()}}
        known = {**{word: zone for word, zone in _ZONES.items() if word not in known}, **known}
        found = {zone for word, zone in known.items() if word and f" {word} " in words}
        return bool(found), found.pop() if len(found) == 1 else None

    def _suggestion(self, word: str, *, likeness: float = 0.6) -> Zone | None:
        known = {**_ZONES, **self._aliases}
        close = get_close_matches(_key(word), [key for key, zone in known.items() if zone], 1, likeness)
        return known[close[0]] if close else None

    def _is_misspelt(self, name: str, where: str) -> bool:
        """Whether the name of a folder or playlist is nearly a zone's; then it is noted as unknown."""
        misspelt = (
            not self._zone_in_name(name)[0] and self._suggestion(name, likeness=_NEARLY_A_ZONE) is not None
        )
        if misspelt:
            count, first = self._unknown.get(name, (0, where))
            self._unknown[name] = count + 1, first
        return misspelt

    def _meant(self, word: str, where: str) -> Zone | None:
        """The zone of a row; where it has none, that is counted, and an unknown word noted."""
        word = word.strip()
        try:
            zone = self._zone(word) if word else None
        except KeyError:
            count, first = self._unknown.get(word, (0, where))
            self._unknown[word] = count + 1, first
            return None
        self._without_zone += zone is None
        return zone

    # Folders.

    def read_folder(self) -> None:
        says_zones = False
        for folder in sorted(path for path in self._source.iterdir() if path.is_dir()):
            zone = self._zone_in_name(folder.name)[1]
            if zone is None:
                says_zones |= self._is_misspelt(folder.name, printable(folder))
                continue
            says_zones = True
            for item in walk(folder):
                if isinstance(item, Found):
                    self._labels.append(GivenLabel(zone, self._origin, printable(item.path), item.path))
        if not says_zones:
            self._read_tags()

    def _read_tags(self) -> None:
        """Zones that the user gave, of files which carry them: our field's, or a token that isn't ours."""
        files = 0
        for item in walk(self._source):
            if not isinstance(item, Found) or item.sniff:
                continue
            files += 1
            try:
                state = read_state(item.path)
            except FileError:
                self._without_zone += 1  # whoever analyses it says what is wrong with it
                continue
            # A token with a question mark is the model's, whatever became of our field.
            typed = [token for token in state.user_tokens if token.state is not MarkState.UNSURE]
            mark = typed[0] if typed else state.mark
            if mark is None or not (typed or mark.state is MarkState.LABELLED):
                self._without_zone += 1
                continue
            self._labels.append(
                GivenLabel(
                    mark.zone, self._origin, printable(item.path), item.path, state.artist, state.title
                )
            )
        if not files:
            raise DataSetError(
                f"{printable(self._source)} holds no music: give a folder with subfolders named by zones, "
                "or one of tracks with zones in their tags"
            )

    # Playlists.

    def _read_playlist(self) -> None:
        zone = self._zone_in_name(self._source.stem)[1]
        if zone is None:
            raise DataSetError(
                f"the name of {printable(self._source)} doesn't say which zone its tracks have: name it such as "
                "'Purple.m3u8', or say what a word in it means with --alias WORD=ZONE"
            )
        text = _decoded(self._source.read_bytes(), self._source)
        artist, title, duration = "", "", None
        for number, raw in enumerate(text.split("\n"), 1):
            line = raw.rstrip("\r")
            if line.upper().startswith("#EXTINF:"):
                seconds, _, name = line[len("#EXTINF:") :].partition(",")
                artist, dash, title = name.partition(" - ")
                artist, title = (artist.strip(), title.strip()) if dash else ("", name.strip())
                duration = _seconds(seconds.split(" ")[0])
            elif line.strip() and not line.startswith("#"):
                path, where = locate(line), self._where(number)
                if path is None:  # streamed
                    self._without_zone += 1
                else:
                    self._labels.append(GivenLabel(zone, self._origin, where, path, artist, title, duration))
                artist, title, duration = "", "", None

    def _read_rekordbox(self) -> None:
        root = self._parsed_xml()
        tracks: dict[str, ET.Element] = {}
        for track in root.iterfind("COLLECTION/TRACK"):
            tracks[track.get("TrackID", "")] = tracks[track.get("Location", "")] = track
        names: list[str] = []
        found = False
        for node, zone in self._zone_playlists(root.find("PLAYLISTS/NODE"), None, names):
            found = True
            for place, entry in enumerate(node.iterfind("TRACK"), 1):
                about = tracks.get(entry.get("Key", ""))
                path = None if about is None else locate(about.get("Location", ""))
                if about is None or path is None:  # streamed, or no longer in the collection
                    self._without_zone += 1
                    continue
                self._labels.append(
                    GivenLabel(
                        zone,
                        self._origin,
                        f"{self._where()}:{printable(node.get('Name', ''))}[{place}]",
                        path,
                        about.get("Artist", ""),
                        about.get("Name", ""),
                        _seconds(about.get("TotalTime", "")),
                    )
                )
        if not found and not self._unknown:
            shown = ", ".join(printable(name) for name in names[:_MOST_SHOWN]) or "none"
            raise DataSetError(
                f"no playlist of {printable(self._source)} is named by a zone (there are: {shown}): name them such "
                "as 'Purple' and export again, or say what a word means with --alias WORD=ZONE"
            )

    def _zone_playlists(
        self, node: ET.Element | None, outer: Zone | None, names: list[str]
    ) -> Iterator[tuple[ET.Element, Zone]]:
        """Playlists with their zone: what their name says, else that of the folder around them."""
        for child in () if node is None else node.iterfind("NODE"):
            name = child.get("Name", "")
            speaks, said = self._zone_in_name(name)
            zone = said if speaks else outer
            if child.get("Type") != "1":
                yield from self._zone_playlists(child, zone, names)
                continue
            names.append(name)
            if zone is not None:
                yield child, zone
            else:
                self._is_misspelt(name, self._where())

    def _parsed_xml(self) -> ET.Element:
        try:
            text = self._source.read_bytes().decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise DataSetError(
                f"{printable(self._source)} isn't UTF-8, as rekordbox's XML is: export the collection again"
            ) from error
        if re.search("<!(DOCTYPE|ENTITY)", text, re.IGNORECASE):  # entities can grow without end
            raise DataSetError(
                f"{printable(self._source)} declares a document type, which rekordbox never does; it isn't read. "
                "Export the collection again"
            )
        try:
            root = ET.fromstring(text)
        except ET.ParseError as error:
            raise DataSetError(
                f"{printable(self._source)} is no complete XML ({error}): export the collection again"
            ) from error
        if root.tag != "DJ_PLAYLISTS":
            raise DataSetError(
                f"{printable(self._source)} is not rekordbox's collection (it is <{printable(root.tag)}>): "
                "in rekordbox, choose File > Export Collection in xml format"
            )
        return root

    # Tables.

    def _read_table(self) -> None:
        text = _decoded(self._source.read_bytes(), self._source)
        rows = [(number, row) for number, row in self._rows(text) if any(cell.strip() for cell in row)]
        if not rows:
            raise DataSetError(f"{printable(self._source)} is empty: it should hold paths and zones")
        columns = _header(rows[0][1])
        if columns is None:
            columns = self._columns_without_header(rows)
        else:
            rows = rows[1:]
        for number, row in rows:
            cells = {name: row[place] for name, place in columns.items() if place < len(row)}
            where = self._where(number)
            word, audio_id = cells.get("zone", ""), cells.get("audio_id", "").strip()
            if audio_id and _key(word) == TAKEN_BACK and TAKEN_BACK not in self._aliases:
                self._labels = [label for label in self._labels if label.audio_id != audio_id]
                continue
            zone = self._meant(word, where)
            if zone is None:
                continue
            location = cells.get("path", "")
            self._labels.append(
                GivenLabel(
                    zone,
                    _origin(cells.get("origin", ""), where) or self._origin,
                    where,
                    locate(location) if location.strip() else None,
                    cells.get("artist", "").strip(),
                    cells.get("title", "").strip(),
                    _seconds(cells.get("duration", "")),
                    audio_id or None,
                )
            )

    def _rows(self, text: str) -> list[tuple[int, list[str]]]:
        """Rows with their line, by the delimiter that makes sense of the first ones."""
        best = max(_DELIMITERS, key=lambda delimiter: self._sense(text, delimiter))
        if best == "\t":
            return _tab_rows(text)
        try:
            return _quoted_rows(text, best, strict=False)
        except csv.Error as error:
            raise DataSetError(
                f"{printable(self._source)} cannot be read as CSV ({error}): save it again from a spreadsheet"
            ) from error

    def _sense(self, text: str, delimiter: str) -> tuple[bool, int, int]:
        """How much sense a delimiter makes: a header, then rows with a zone in them, then rows it divides."""
        lines = [line for line in text.splitlines()[:50] if line.strip()]
        rows = _tab_rows("\n".join(lines)) if delimiter == "\t" else []
        if delimiter != "\t":
            try:
                rows = _quoted_rows("\n".join(lines), delimiter, strict=False)
            except csv.Error:
                return False, 0, 0
        cells = [row for _, row in rows]
        return (
            bool(cells) and _header(cells[0]) is not None,
            sum(any(self._is_zone(cell) for cell in row) for row in cells if len(row) > 1),
            sum(len(row) > 1 for row in cells),
        )

    def _columns_without_header(self, rows: list[tuple[int, list[str]]]) -> dict[str, int]:
        """Of two columns, that with the zones (or what is nearly one) and the other."""
        names = "a header with Zone, and Location or Artist and Track Title"
        if any(len(row) != 2 for _, row in rows):
            line = next(number for number, row in rows if len(row) != 2)
            raise DataSetError(
                f"{self._where(line)}: without a header, each row is a path and a zone; or give {names}"
            )
        scores = [
            sum(self._is_zone(row[column]) or self._suggestion(row[column]) is not None for _, row in rows)
            for column in (0, 1)
        ]
        if not any(scores):
            raise DataSetError(
                f"{printable(self._source)} names no zone: each row is a path and a zone (yellow, green or purple; "
                f"other names with --alias WORD=ZONE), or there is {names}"
            )
        return {"path": 1, "zone": 0} if scores[0] > scores[1] else {"path": 0, "zone": 1}

    # The agent's library.

    def _read_library(self) -> None:
        self._is_library = True
        with Library.open(self._source, read_only=True) as library:
            for track in library.tracks():
                said = track.label or track.hint
                if said is not None:
                    self._labels.append(
                        GivenLabel(
                            said.zone,
                            said.origin,
                            f"{self._where()}:{track.audio_id}",
                            next(iter((*track.paths, *track.away)), None),
                            track.artist,
                            track.title,
                            track.duration,
                            track.audio_id,
                        )
                    )

    def _where(self, line: int | None = None) -> str:
        name = printable(self._source.name)
        return name if line is None else f"{name}:{line}"


def _header(row: list[str]) -> dict[str, int] | None:
    """Places of the known columns, if this is a header that tells of a zone and of a track."""
    names = [" ".join(_key(cell).replace("_", " ").split()) for cell in row]
    columns = {
        column: next(place for place, name in enumerate(names) if name in called)
        for column, called in _COLUMNS.items()
        if called.intersection(names)
    }
    tells = columns.keys() & {"path", "title", "audio_id"}
    return columns if "zone" in columns and tells else None


def _tab_rows(text: str) -> list[tuple[int, list[str]]]:
    """Rows of a tab-separated text. Spreadsheets quote cells; DJ programs don't, and titles may hold quotes."""
    try:
        rows = _quoted_rows(text, "\t", strict=True)
    except csv.Error:
        rows = []
    swallowed = any("\n" in cell and "\t" in cell for _, row in rows for cell in row)
    if rows and not swallowed:
        return rows
    lines = (line.removesuffix("\r") for line in text.split("\n"))
    return [(number, line.split("\t")) for number, line in enumerate(lines, 1) if line]


def _quoted_rows(text: str, delimiter: str, *, strict: bool) -> list[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=strict)
    return [(reader.line_num, row) for row in reader if row]


def _decoded(data: bytes, source: Path) -> str:
    """A text file's text: by its byte-order mark, else UTF-8; names in other encodings come as their bytes."""
    marked = next((mark for mark in _BYTE_ORDER_MARKS if data.startswith(mark)), None)
    if marked is not None:
        encoding, data = _BYTE_ORDER_MARKS[marked], data.removeprefix(marked)
    else:
        encoding = "utf-16-le" if data[1:2] == b"\0" else "utf-16-be" if data[:1] == b"\0" else "utf-8"
    try:
        text = data.decode(encoding, "surrogateescape" if encoding == "utf-8" else "strict")
    except UnicodeDecodeError as error:
        raise DataSetError(
            f"{printable(source)} is cut off or no text ({error.reason}): save or export it again"
        ) from error
    if "\0" in text:
        raise DataSetError(f"{printable(source)} is no text: give a table, as text")
    return text


def _seconds(text: str) -> float | None:
    """Seconds from ``225.3``, ``3:45`` or ``1:02:03``; None from anything else, and from nothing or less."""
    try:
        parts = [float(part) for part in text.strip().split(":")]
    except ValueError:
        return None
    total = 0.0
    for part in parts:
        total = total * 60 + part
    return total if 0 < total < float("inf") else None


def _origin(text: str, where: str) -> LabelOrigin | None:
    word = _key(text)
    if not word:
        return None
    if word not in list(LabelOrigin):
        raise DataSetError(f"{where}: the origin '{printable(text)}' is none of {', '.join(LabelOrigin)}")
    return LabelOrigin(word)


def _key(word: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", word).casefold().split())


def _words(name: str) -> str:
    """The words of a name, one blank between them: ``01_MoodZone-PURPLE`` is ``01 moodzone purple``."""
    return " ".join(re.findall(r"[^\W_]+", _key(name)))


_ZONES: Final[Mapping[str, Zone]] = {_key(zone): zone for zone in Zone}
