"""Tags that MoodZone wrote, read by a real Mixxx: the token stands in its column, and all else is as it was."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import pytest
from mutagen.aiff import AIFF
from mutagen.apev2 import APEv2
from mutagen.flac import FLAC
from mutagen.id3 import COMM, GRP1, ID3, TCON, TIT1, TIT2, TPE1, TXXX, Frame
from mutagen.wave import WAVE

from exporters.base import Want, WriteStatus
from exporters.journal import Journal
from exporters.tags.collection import TagCollection, TagSettings
from exporters.tags.edit import TagField
from moodzone_agent.types import ZONES, Mark, MarkState, Zone
from tests.audio_files import write_tone
from tests.oracle.mixxx import Mixxx, Track

pytestmark = pytest.mark.oracle

FOREIGN: Final = Track("Ärzte", "Ton", "House", "8A - 6 Schön", "Festival", None)
BARE: Final = Track("", "", "", "", "", None)
KINDS: Final = {
    "id3v2.3": ".mp3",
    "id3v2.4": ".mp3",
    "grp1": ".mp3",
    "flac": ".flac",
    "m4a": ".m4a",
    "ogg": ".ogg",
    "opus": ".opus",
    "aiff": ".aiff",
    "id3": ".wav",
    "info": ".wav",
}
"""Formats, and where a suffix alone doesn't tell, kinds of tags."""
FIELDS: Final = (TagField.COMMENT, TagField.GROUPING, TagField.GENRE)
MARKS: Final = tuple(Mark(zone, state) for zone in ZONES for state in MarkState)
FIRST: Final = Mark(Zone.YELLOW, MarkState.UNSURE)
LATER: Final = Mark(Zone.PURPLE, MarkState.LABELLED)


@dataclass(frozen=True, slots=True)
class Seen:
    """What Mixxx made of the music."""

    music: Path
    tracks: dict[Path, Track]

    def __call__(self, *name: str) -> Track:
        return self.tracks[self.music / _file_name(*name)]


def _file_name(*name: str) -> str:
    return f"{' '.join(name).replace('?', ' unsure')}{KINDS[name[0]]}"


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """Files of every kind, as they were and with every mark in every field, scanned by one Mixxx."""
    folder = tmp_path_factory.mktemp("mixxx")
    music = folder / "Music & more"
    music.mkdir()
    marked: dict[TagField, list[tuple[Path, Mark | None]]] = {field: [] for field in FIELDS}
    changed: dict[TagField, list[tuple[Path, Mark | None]]] = {field: [] for field in FIELDS}

    def copy(original: Path, *name: str) -> Path:
        return Path(shutil.copyfile(original, music / _file_name(*name)))

    for kind in KINDS:
        tagged, bare = _tagged(music, kind), _bare(music, kind, "bare")
        for field in FIELDS:
            marked[field] += [(copy(tagged, kind, field, mark.zone, mark.state), mark) for mark in MARKS]
            marked[field].append((copy(bare, kind, field, "bare"), FIRST))
            marked[field] += [(copy(tagged, kind, field, how), FIRST) for how in ("changed", "undone")]
            changed[field].append((music / _file_name(kind, field, "changed"), LATER))
            changed[field].append((music / _file_name(kind, field, "undone"), None))
    journal = Journal(folder / "journal")
    for wants in (marked, changed):
        for field in FIELDS:
            _write(wants[field], field, journal)
    mixxx = Mixxx(folder / "mixxx", music)
    mixxx.scan(len(list(music.iterdir())))
    return Seen(music, mixxx.tracks())


ODD: Final = {
    "both groupings": ".mp3",
    "many comments": ".mp3",
    "free comment": ".mp3",
    "id3v1": ".mp3",
    "ape": ".mp3",
    "numbered genre": ".mp3",
    "two genres": ".mp3",
    "description": ".flac",
    "two comments": ".flac",
    "genres": ".flac",
}
"""Tags of other programs that readers differ in."""


def _odd(music: Path, kind: str) -> Path:
    path = write_tone(music / f"{kind}{ODD[kind]}", seconds=0.2, rate=22050)
    names = {"TITLE": ["Ton"], "ARTIST": ["Ärzte"]}
    base = [TPE1(encoding=1, text="Ärzte"), TIT2(encoding=1, text="Ton")]
    frames: dict[str, list[Frame]] = {
        "both groupings": [GRP1(encoding=1, text="Festival"), TIT1(encoding=1, text="Work")],
        "many comments": [
            COMM(encoding=0, lang="eng", desc="iTunNORM", text=" 00000A"),
            COMM(encoding=1, lang="deu", desc="", text="Schön"),
            COMM(encoding=1, lang="eng", desc="", text="8A - 6"),
        ],
        "free comment": [TXXX(encoding=1, desc="COMMENT", text="8A - 6")],
        "numbered genre": [TCON(encoding=0, text="(17)")],
        "two genres": [TCON(encoding=3, text=["House", "Techno"])],
    }
    vorbis: dict[str, dict[str, list[str]]] = {
        "description": {"DESCRIPTION": ["8A - 6"]},
        "two comments": {"COMMENT": ["8A - 6", "Schön"]},
        "genres": {"GENRE": ["House", "Techno"]},
    }
    if kind in frames:
        tags = ID3()
        for frame in base + frames[kind]:
            tags.add(frame)
        tags.save(path, v2_version=4 if kind == "two genres" else 3)
    elif kind in vorbis:
        file = FLAC(path)
        file.update(names | vorbis[kind])
        file.save()
    elif kind == "id3v1":
        ID3(path).delete(path)
        with path.open("ab") as out:
            out.write(b"TAG" + b"Ton".ljust(30, b"\0") + "Ärzte".encode("latin-1").ljust(30, b"\0"))
            out.write(bytes(34) + b"8A - 6".ljust(30, b"\0") + b"\x11")
    else:
        ID3(path).delete(path)
        ape = APEv2()
        ape.update(
            {"Title": "Ton", "Artist": "Ärzte", "Comment": "8A - 6", "Genre": "House", "Grouping": "Festival"}
        )
        ape.save(path)
    return path


def _write(wants: list[tuple[Path, Mark | None]], field: TagField, journal: Journal) -> None:
    collection = TagCollection(lambda: (), TagSettings(field=field))
    changes = list(collection.preview(Want(path, mark) for path, mark in wants))
    with journal.start("tags") as run:
        done = list(collection.write(changes, run, journal.folder))
    assert {change.status for change in done} == {WriteStatus.WRITTEN}


def _bare(music: Path, kind: str, *name: str, metadata: dict[str, str] | None = None) -> Path:
    return write_tone(music / _file_name(kind, *name), seconds=0.2, rate=22050, metadata=metadata)


def _tagged(music: Path, kind: str) -> Path:
    """A file with the foreign values; ID3 by mutagen, which knows where they belong."""
    if kind not in {"id3v2.3", "id3v2.4", "grp1", "aiff", "id3"}:
        names = {"artist": FOREIGN.artist, "title": FOREIGN.title, "genre": FOREIGN.genre}
        names |= {"comment": FOREIGN.comment, "grouping": FOREIGN.grouping}
        return _bare(music, kind, metadata=names)
    path = _bare(music, kind)
    grouping = GRP1 if kind == "grp1" else TIT1
    frames = [
        TPE1(encoding=1, text=FOREIGN.artist),
        TIT2(encoding=1, text=FOREIGN.title),
        TCON(encoding=1, text=FOREIGN.genre),
        COMM(encoding=1, lang="eng", desc="", text=FOREIGN.comment),
        grouping(encoding=1, text=FOREIGN.grouping),
    ]
    version = 4 if kind == "id3v2.4" else 3
    if path.suffix == ".mp3":
        tags = ID3()
        for frame in frames:
            tags.add(frame)
        tags.save(path, v2_version=version)
        return path
    file = AIFF(path) if path.suffix == ".aiff" else WAVE(path)
    file.add_tags()
    for frame in frames:
        file.tags.add(frame)
    file.save(v2_version=version)
    return path


def _foreign(kind: str) -> Track:
    """What Mixxx shows of a file with the foreign values: RIFF's INFO has no grouping."""
    return replace(FOREIGN, grouping="") if kind == "info" else FOREIGN


def _with(track: Track, field: TagField, text: str) -> Track:
    return replace(track, **{str(field): text})  # type: ignore[arg-type]


def _text(track: Track, field: TagField, mark: Mark) -> str:
    """How the visible field is to look."""
    return {
        TagField.COMMENT: f"8A - 6 {mark.token} Schön",
        TagField.GROUPING: f"{mark.token} {track.grouping}".strip(),
        TagField.GENRE: f"House {mark.token}",
    }[field]


@pytest.mark.parametrize("kind", KINDS)
def test_unmarked(seen: Seen, kind: str) -> None:
    """The baseline: what Mixxx shows of files that MoodZone never saw."""
    assert seen(kind) == _foreign(kind)
    assert seen(kind, "bare") == BARE


@pytest.mark.parametrize("mark", MARKS, ids=lambda mark: mark.field)
@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("kind", KINDS)
def test_marked(seen: Seen, kind: str, field: TagField, mark: Mark) -> None:
    """The token stands in its column, beside what was there; the other columns are as they were."""
    foreign = _foreign(kind)
    assert seen(kind, field, mark.zone, mark.state) == _with(foreign, field, _text(foreign, field, mark))


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("kind", KINDS)
def test_bare(seen: Seen, kind: str, field: TagField) -> None:
    """A file without tags shows the token and nothing else."""
    assert seen(kind, field, "bare") == _with(BARE, field, FIRST.token)


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("kind", KINDS)
def test_changed(seen: Seen, kind: str, field: TagField) -> None:
    """A second mark stands where the first one was."""
    foreign = _foreign(kind)
    assert seen(kind, field, "changed") == _with(foreign, field, _text(foreign, field, LATER))


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("kind", KINDS)
def test_undone(seen: Seen, kind: str, field: TagField) -> None:
    """A mark that was taken out leaves nothing."""
    assert seen(kind, field, "undone") == _foreign(kind)


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """Files of every odd kind, as they were and with a mark in every field, scanned by one Mixxx."""
    folder = tmp_path_factory.mktemp("odd")
    music = folder / "music"
    music.mkdir()
    originals = [_odd(music, kind) for kind in ODD]
    journal = Journal(folder / "journal")
    for field in FIELDS:
        copies = [
            Path(shutil.copyfile(path, music / f"{path.stem} {field}{path.suffix}")) for path in originals
        ]
        undone = [
            Path(shutil.copyfile(path, music / f"{path.stem} {field} undone{path.suffix}"))
            for path in originals
        ]
        _write([(path, LATER) for path in [*copies, *undone]], field, journal)
        _write([(path, None) for path in undone], field, journal)
    mixxx = Mixxx(folder / "mixxx", music)
    mixxx.scan(len(list(music.iterdir())))
    return Seen(music, mixxx.tracks())


SHOWN: Final = {
    "both groupings": Track("Ärzte", "Ton", "", "", "Festival", None),
    "many comments": Track("Ärzte", "Ton", "", "Schön", "", None),
    "free comment": Track("Ärzte", "Ton", "", "8A - 6", "", None),
    "id3v1": Track("Ärzte", "Ton", "Rock", "8A - 6", "", None),
    "ape": Track("Ärzte", "Ton", "House", "8A - 6", "Festival", None),
    "numbered genre": Track("Ärzte", "Ton", "Rock", "", "", None),
    "two genres": Track("Ärzte", "Ton", "House Techno", "", "", None),
    "description": Track("Ärzte", "Ton", "", "8A - 6", "", None),
    "two comments": Track("Ärzte", "Ton", "", "8A - 6", "", None),
    "genres": Track("Ärzte", "Ton", "House Techno", "", "", None),
}
"""What Mixxx shows of them: GRP1 before TIT1, the first of several comments, all genres with spaces between them."""


@pytest.mark.parametrize("kind", ODD)
def test_odd_unmarked(odd: Seen, kind: str) -> None:
    """The baseline."""
    assert odd.tracks[odd.music / f"{kind}{ODD[kind]}"] == SHOWN[kind]


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("kind", ODD)
def test_odd_marked(odd: Seen, kind: str, field: TagField) -> None:
    """The token is one more word in its column; the other columns are as they were."""
    track = odd.tracks[odd.music / f"{kind} {field}{ODD[kind]}"]
    words = str(getattr(track, field)).split(" ")
    assert LATER.token in words
    words.remove(LATER.token)
    assert _with(track, field, " ".join(words)) == SHOWN[kind]


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("kind", ODD)
def test_odd_undone(odd: Seen, kind: str, field: TagField) -> None:
    assert odd.tracks[odd.music / f"{kind} {field} undone{ODD[kind]}"] == SHOWN[kind]
