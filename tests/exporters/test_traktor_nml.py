"""What is special to Traktor's collection; what every collection keeps is tested in tests/contract."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from xml.etree import ElementTree as ET
from xml.sax.saxutils import quoteattr

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporters.base import Change, Field, Machine, Place, Want, WriteStatus
from exporters.census import MIXED_IN_KEY
from exporters.journal import Changed, Journal
from exporters.traktor.location import SYSTEM, to_location
from exporters.traktor.nml import TARGET, TraktorColour, TraktorNml, TraktorNmlWithComments, TraktorSettings
from moodzone_agent.config import load_settings
from moodzone_agent.errors import CollectionError, UsageError
from moodzone_agent.types import ZONES, Mark, MarkState, Zone

COLOURS = TraktorSettings().colours
TEXT, COLOUR, LIST = Field.TEXT, Field.COLOUR, Field.LIST
WRITTEN, SKIPPED, KEPT = WriteStatus.WRITTEN, WriteStatus.SKIPPED, WriteStatus.KEPT
FIXTURES = (
    "dj-data-converter_collection.nml",
    "utils_collection.nml",
    "utils_collection_indexing.nml",
    "utils_cuepoints.nml",
    "utils_history.nml",
    "utils_playlist.nml",
)
YELLOW, GREEN, PURPLE = (Mark(zone) for zone in ZONES)
SYSTEM_NAMES = frozenset({SYSTEM, "osx"})
ONE, TWO, THREE = (Path(f"/m/{number}.mp3") for number in (1, 2, 3))

pytestmark = pytest.mark.skipif(os.name == "nt", reason="names tracks as macOS does")


class Nml:
    """A file, written as the agent writes: it remembers what is ours."""

    def __init__(self, folder: Path, data: bytes, *, comment: bool = True) -> None:
        self.path = folder / "collection.nml"
        self.folder = folder
        self.kind = TraktorNmlWithComments if comment else TraktorNml
        self.ours: dict[Place, set[str]] = {}
        self.path.write_bytes(data)

    @property
    def collection(self) -> TraktorNml:
        return self.kind(self.path, COLOURS, SYSTEM_NAMES)

    def plan(self, marks: Mapping[Path, Mark | None]) -> list[Change]:
        wants = [
            Want(path, mark, {one: frozenset(self.ours.get(Place(path, one), ())) for one in Field})
            for path, mark in marks.items()
        ]
        return list(self.collection.preview(wants))

    def write(self, marks: Mapping[Path, Mark | None]) -> list[Change]:
        return self.carry_out(self.plan(marks))

    def carry_out(self, changes: list[Change]) -> list[Change]:
        with Journal(self.folder / "journal").start("write") as run:
            done = list(self.collection.write(changes, run, self.folder / "backups"))
        for change in done:
            if change.status is WRITTEN and change.ours:
                self.ours.setdefault(change.place, set()).add(change.ours)
        return done

    def root(self) -> ET.Element:
        return ET.parse(self.path).getroot()

    def infos(self) -> dict[str, dict[str, str]]:
        """The attributes of INFO by file."""
        found = {}
        for one in self.root().iterfind("COLLECTION/ENTRY"):
            location, info = one.find("LOCATION"), one.find("INFO")
            if location is not None and info is not None:
                found[location.attrib["FILE"]] = info.attrib
        return found

    def lists(self) -> dict[str, list[str]]:
        """Files of our lists, whose numbers are right."""
        top = self.root().find("PLAYLISTS/NODE/SUBNODES")
        folder = None if top is None else top.find("NODE[@NAME='MoodZone']/SUBNODES")
        if top is None or folder is None:
            return {}
        found = {}
        for subnodes in (top, folder):
            assert int(subnodes.attrib["COUNT"]) == len(subnodes.findall("NODE"))
        for node in folder:
            playlist = node.find("PLAYLIST")
            assert playlist is not None
            assert int(playlist.attrib["ENTRIES"]) == len(playlist.findall("ENTRY"))
            assert re.fullmatch("[0-9a-f]{32}", playlist.attrib["UUID"])
            keys = [key.attrib["KEY"] for key in playlist.iterfind("ENTRY/PRIMARYKEY[@TYPE='TRACK']")]
            found[node.attrib["NAME"]] = [key.rsplit("/:", 1)[1] for key in keys]
        return found

    def replace(self, old: str, new: str) -> None:
        text = self.path.read_bytes()
        assert text.count(old.encode()) == 1
        self.path.write_bytes(text.replace(old.encode(), new.encode()))


def paths(nml: Nml) -> list[Path]:
    return list(dict.fromkeys(sighting.place.track for sighting in nml.collection.read()))


def entry(path: Path, info: str = 'COMMENT="" FLAGS="28"', *, more: str = "") -> str:
    """An ENTRY as Traktor writes it."""
    folder, file, volume = (quoteattr(text) for text in to_location(path))
    return (
        f"<ENTRY TITLE={quoteattr(path.stem)}{more}><LOCATION DIR={folder} FILE={file} VOLUME={volume} "
        f"VOLUMEID={volume}></LOCATION>\n<INFO {info}></INFO>\n</ENTRY>\n"
    )


def document(entries: Iterable[str], nodes: str = "", *, count: int = 0, version: str = "19") -> bytes:
    entries = list(entries)
    return f"""<?xml version="1.0" encoding="UTF-8" standalone="no" ?>
<NML VERSION="{version}"><HEAD COMPANY="www.native-instruments.com" PROGRAM="Traktor"></HEAD>
<MUSICFOLDERS></MUSICFOLDERS>
<COLLECTION ENTRIES="{len(entries)}">{"".join(entries)}</COLLECTION>
<SETS ENTRIES="0"></SETS>
<PLAYLISTS><NODE TYPE="FOLDER" NAME="$ROOT"><SUBNODES COUNT="{count}">{nodes}</SUBNODES>
</NODE>
</PLAYLISTS>
<INDEXING></INDEXING>
</NML>
""".encode()


def folder_of(lists: Mapping[str, Iterable[str]], kind: str = "LIST") -> str:
    """Our folder as Traktor writes it, with the names of files in its lists."""
    nodes = ""
    for name, files in lists.items():
        entries = "".join(
            f'<ENTRY><PRIMARYKEY TYPE="TRACK" KEY="{SYSTEM}/:m/:{file}"></PRIMARYKEY>\n</ENTRY>\n'
            for file in files
        )
        nodes += (
            f'<NODE TYPE="PLAYLIST" NAME="{name}"><PLAYLIST ENTRIES="{len(list(files))}" TYPE="{kind}" '
            f'UUID="{"a" * 32}">{entries}</PLAYLIST>\n</NODE>\n'
        )
    return f'<NODE TYPE="FOLDER" NAME="MoodZone"><SUBNODES COUNT="{len(lists)}">{nodes}</SUBNODES>\n</NODE>\n'


def three(info: str = 'COMMENT="" FLAGS="28"') -> list[str]:
    return [entry(path, info) for path in (ONE, TWO, THREE)]


def fixture(shared: Path, name: str) -> bytes:
    """A real collection; that of Windows as if its drive were this machine's root."""
    data = (shared / "fixtures" / "dj" / "traktor" / "nml19" / name).read_bytes()
    return data.replace(b'VOLUME="D:"', b'VOLUME="osx"')


@pytest.mark.shared
@pytest.mark.parametrize("comment", [True, False])
@pytest.mark.parametrize("name", FIXTURES)
def test_genuine_collections_come_back_byte_for_byte(
    shared: Path, tmp_path: Path, name: str, comment: bool
) -> None:
    data = fixture(shared, name)
    nml = Nml(tmp_path, data, comment=comment)
    tracks = paths(nml)
    marks = {path: Mark(ZONES[number % 3]) for number, path in enumerate(tracks)}
    planned = nml.plan(marks)
    assert nml.path.read_bytes() == data
    assert len(planned) == len(nml.collection.carries) * len(tracks)
    assert nml.carry_out(planned) == planned
    assert sum(map(len, nml.lists().values())) == len(tracks)
    expect_only_ours_differs(ET.fromstring(data), nml.root())
    assert {change.status for change in nml.write(marks)} <= {WriteStatus.UNCHANGED, KEPT}
    nml.write(dict.fromkeys(tracks))
    written = nml.path.read_bytes()
    if b"<PLAYLISTS" in data:
        assert written == data
    else:  # what is added for our folder stays, empty
        kept = rb"\s*<PLAYLISTS>\s*<NODE [^>]*>\s*<SUBNODES COUNT=\"0\"/>\s*</NODE>\s*</PLAYLISTS>"
        assert re.sub(kept, b"", written) == data


def expect_only_ours_differs(before: ET.Element, after: ET.Element) -> None:
    """Order, elements and attributes are equal, but for ours."""
    top = after.find("PLAYLISTS/NODE/SUBNODES")
    if top is not None and top[-1].get("NAME") == "MoodZone":
        top.remove(top[-1])
        top.set("COUNT", str(len(top)))
        if before.find("PLAYLISTS") is None:
            after.remove(after[[one.tag for one in after].index("PLAYLISTS")])
    for root in (before, after):
        for info in root.iterfind("COLLECTION/ENTRY/INFO"):
            info.attrib.pop("COLOR", None)
            info.attrib.pop("COMMENT", None)
    assert shape(before) == shape(after)


def shape(element: ET.Element) -> tuple[object, ...]:
    return (element.tag, dict(element.attrib), [shape(child) for child in element])


@pytest.mark.shared
def test_paths_of_another_system_match_nothing(shared: Path, tmp_path: Path) -> None:
    source = shared / "fixtures" / "dj" / "traktor" / "nml19" / FIXTURES[0]
    nml = Nml(tmp_path, source.read_bytes())
    assert paths(nml) == []


words = st.sampled_from(["8A - 7", "#GREEN", "#purple?", "&#228;", "&quot;&apos;", "é", "&#10;"])
comments = st.none() | st.lists(words, max_size=4).map(" ".join)
colours = st.sampled_from(["", "", ' COLOR="1"', ' COLOR="6"'])
marks = st.sampled_from([None, YELLOW, GREEN, PURPLE, Mark(Zone.GREEN, MarkState.UNSURE)])
foreign_lists = st.dictionaries(
    st.sampled_from(["Mine", "GREEN", "UNSURE"]),
    st.lists(st.sampled_from(["7.mp3", "8.mp3", "9.mp3"]), min_size=1, max_size=4),
    max_size=3,
)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(comments, colours), min_size=1, max_size=5),
    st.lists(st.lists(marks, min_size=5, max_size=5), min_size=1, max_size=3),
    foreign_lists,
    st.booleans(),
)
def test_whatever_was_written_taking_out_gives_back_the_bytes(
    rows: list[tuple[str | None, str]],
    rounds: list[list[Mark | None]],
    lists: dict[str, list[str]],
    comment: bool,
) -> None:
    infos = [
        f'BITRATE="1"{"" if text is None else f""" COMMENT="{text}" """} FLAGS="28"{more}'
        for text, more in rows
    ]
    tracks = [Path(f"/m/{number}.mp3") for number in range(1, len(rows) + 1)]
    entries = [entry(path, info) for path, info in zip(tracks, infos, strict=True)]
    data = document(entries, folder_of(lists) if lists else "", count=1 if lists else 0)
    with TemporaryDirectory() as folder:
        nml = Nml(Path(folder), data, comment=comment)
        for one in rounds:
            nml.write(dict(zip(tracks, one, strict=False)))
            nml.lists()
            nml.write(dict(zip(tracks, one, strict=False)))
        nml.write(dict.fromkeys(tracks))
        assert nml.path.read_bytes() == data


@pytest.mark.parametrize("version", ["15", "19", "20"])
def test_everything_is_written_where_traktor_reads_it(tmp_path: Path, version: str) -> None:
    nml = Nml(tmp_path, document(three(), version=version))
    assert nml.collection.version() == version
    nml.write({ONE: GREEN, TWO: Mark(Zone.PURPLE, MarkState.UNSURE), THREE: YELLOW})
    assert nml.infos() == {
        "1.mp3": {"COMMENT": "#GREEN", "FLAGS": "28", "COLOR": "4"},
        "2.mp3": {"COMMENT": "#PURPLE?", "FLAGS": "28", "COLOR": "6"},
        "3.mp3": {"COMMENT": "#YELLOW", "FLAGS": "28", "COLOR": "3"},
    }
    assert nml.lists() == {"YELLOW": ["3.mp3"], "GREEN": ["1.mp3"], "UNSURE": ["2.mp3"]}
    nml.write({TWO: PURPLE})
    assert nml.lists() == {"YELLOW": ["3.mp3"], "GREEN": ["1.mp3"], "PURPLE": ["2.mp3"]}
    assert list(nml.lists()) == ["YELLOW", "GREEN", "PURPLE"]


def test_a_list_that_comes_back_has_the_same_identity(tmp_path: Path) -> None:
    nml = Nml(tmp_path, document(three()))
    nml.write({ONE: GREEN, TWO: YELLOW})
    once = [one.get("UUID") for one in nml.root().iter("PLAYLIST")]
    nml.write({ONE: None, TWO: None})
    assert nml.lists() == {}
    nml.write({THREE: GREEN, ONE: YELLOW})
    assert [one.get("UUID") for one in nml.root().iter("PLAYLIST")] == once
    assert len(set(once)) == 2


def test_comments_are_written_only_if_that_is_wanted(tmp_path: Path) -> None:
    nml = Nml(tmp_path, document(three('COMMENT="8A - 7" FLAGS="28"')), comment=False)
    changes = nml.write({ONE: GREEN})
    assert [change.field for change in changes] == [COLOUR, LIST]
    assert nml.infos()["1.mp3"] == {"COMMENT": "8A - 7", "FLAGS": "28", "COLOR": "4"}
    assert TEXT not in {change.field for change in changes}
    nml.replace('COMMENT="8A - 7" FLAGS="28" COLOR="4"', 'COMMENT="8A - 7 #purple" FLAGS="28" COLOR="4"')
    found = next(sighting for sighting in nml.collection.read() if sighting.place == Place(ONE, TEXT))
    assert (found.place.track, found.value, found.marks) == (ONE, "8A - 7 #purple", (PURPLE,))
    assert {change.status for change in nml.write({ONE: GREEN})} == {WriteStatus.UNCHANGED}


def test_undo_of_a_comment_needs_no_option(tmp_path: Path) -> None:
    nml = Nml(tmp_path, document(three('COMMENT="8A - 7" FLAGS="28"')))
    before = nml.path.read_bytes()
    changes = nml.write({ONE: GREEN})
    nml.kind = TraktorNml
    with Journal(tmp_path / "journal").start("undo") as run:
        back = nml.collection.put_back([one.changed for one in changes], run, tmp_path / "backups")
    assert {change.status for change in back} == {WRITTEN}
    assert nml.path.read_bytes() == before


def test_undo_by_value_leaves_what_another_put_there(tmp_path: Path) -> None:
    nml = Nml(tmp_path, document(three()))
    with Journal(tmp_path / "journal").start("undo") as run:
        (back,) = nml.collection.put_back([Changed(str(ONE), "colour", "", "4")], run, tmp_path / "backups")
    assert (back.status, back.before) == (KEPT, "")


def test_a_comment_that_we_added_goes_again_as_a_whole(tmp_path: Path) -> None:
    data = document([entry(ONE, 'BITRATE="1" FLAGS="28"'), entry(TWO, 'COMMENT="" FLAGS="28"')])
    nml = Nml(tmp_path, data)
    nml.write({ONE: GREEN, TWO: GREEN})
    assert nml.infos()["1.mp3"]["COMMENT"] == "#GREEN"
    nml.write({ONE: None, TWO: None})
    assert nml.path.read_bytes() == data


def test_a_colour_of_the_users_is_left_alone_and_nought_is_none(tmp_path: Path) -> None:
    infos = ('FLAGS="28" COLOR="1"', 'FLAGS="28" COLOR="4"', 'COLOR="0" FLAGS="28"')
    nml = Nml(tmp_path, document([entry(*row) for row in zip((ONE, TWO, THREE), infos, strict=True)]))
    found = {sight.place.track: sight for sight in nml.collection.read() if sight.place.field is COLOUR}
    assert [(found[path].value, found[path].marks) for path in (ONE, TWO, THREE)] == [
        ("1", ()),
        ("4", (GREEN,)),
        ("", ()),
    ]
    done = {change.place: change for change in nml.write({ONE: GREEN, TWO: GREEN, THREE: GREEN})}
    assert (done[Place(ONE, COLOUR)].status, done[Place(ONE, COLOUR)].before) == (KEPT, "1")
    assert done[Place(TWO, COLOUR)].status is WriteStatus.UNCHANGED
    assert [info["COLOR"] for info in nml.infos().values()] == ["1", "4", "4"]


def test_a_colour_that_was_left_out_is_not_written(tmp_path: Path) -> None:
    nml = Nml(tmp_path, document(three()))
    collection = TraktorNml(nml.path, {Zone.GREEN: "4"}, SYSTEM_NAMES)
    changes = list(collection.preview([Want(ONE, PURPLE)]))
    assert {change.field: change.status for change in changes} == {COLOUR: SKIPPED, LIST: WRITTEN}


def test_a_track_that_is_not_held_is_skipped_with_the_cure(tmp_path: Path) -> None:
    nml = Nml(tmp_path, document(three()))
    before = nml.path.read_bytes()
    done = nml.write({Path("/m/4.mp3"): GREEN})
    assert [(change.status, change.reason) for change in done] == [
        (SKIPPED, "Traktor's collection does not hold it; import the file there and close Traktor")
    ]
    assert {change.status for change in nml.write({Path("/m/4.mp3"): None})} == {WriteStatus.UNCHANGED}
    assert nml.path.read_bytes() == before


def test_a_track_that_is_gone_when_it_is_written_is_skipped(tmp_path: Path) -> None:
    nml = Nml(tmp_path, document(three()))
    planned = nml.plan({ONE: GREEN, TWO: GREEN})
    nml.path.write_bytes(document([entry(TWO)]))
    done = nml.carry_out(planned)
    assert {change.status for change in done if change.want.path == ONE} == {SKIPPED}
    assert {change.status for change in done if change.want.path == TWO} == {WRITTEN}


def test_a_track_without_info_goes_into_lists_only(tmp_path: Path) -> None:
    row = entry(ONE).replace('<INFO COMMENT="" FLAGS="28"></INFO>\n', "")
    nml = Nml(tmp_path, document([row]))
    done = {change.field: change for change in nml.write({ONE: GREEN})}
    assert {field: change.status for field, change in done.items()} == {
        TEXT: SKIPPED,
        COLOUR: SKIPPED,
        LIST: WRITTEN,
    }
    assert "play it there once" in done[COLOUR].reason


def test_a_track_that_the_dj_moved_is_read_and_stays(tmp_path: Path) -> None:
    nml = Nml(tmp_path, document(three(), folder_of({"GREEN": [], "PURPLE": ["2.mp3", "1.mp3"]}), count=1))
    nml.ours = {Place(ONE, LIST): {"GREEN"}, Place(TWO, LIST): {"PURPLE"}}
    found = {sight.place: sight for sight in nml.collection.read()}
    assert found[Place(ONE, LIST)].marks == (PURPLE,)
    done = {change.place: change for change in nml.write({ONE: GREEN, TWO: YELLOW})}
    assert (done[Place(ONE, LIST)].status, done[Place(ONE, LIST)].before) == (KEPT, "PURPLE")
    assert nml.lists() == {"YELLOW": ["2.mp3"], "GREEN": [], "PURPLE": ["1.mp3"]}


def test_order_and_foreign_tracks_of_our_lists_survive(tmp_path: Path) -> None:
    nodes = folder_of({"GREEN": ["8.mp3", "2.mp3", "77.mp3", "1.mp3"]})
    nml = Nml(tmp_path, document(three(), nodes, count=1))
    nml.ours = {Place(path, LIST): {"GREEN"} for path in (ONE, TWO)}
    nml.write({ONE: GREEN, TWO: YELLOW, THREE: GREEN})
    assert nml.lists() == {"YELLOW": ["2.mp3"], "GREEN": ["8.mp3", "77.mp3", "1.mp3", "3.mp3"]}
    nml.write({ONE: None, TWO: None, THREE: None})
    assert nml.lists() == {"GREEN": ["8.mp3", "77.mp3"]}


def test_a_list_of_the_users_in_our_folder_keeps_it(tmp_path: Path) -> None:
    data = document(three(), folder_of({"Best of": ["1.mp3"]}), count=1)
    nml = Nml(tmp_path, data)
    nml.write({TWO: GREEN})
    assert nml.lists() == {"Best of": ["1.mp3"], "GREEN": ["2.mp3"]}
    nml.write({TWO: None})
    assert nml.path.read_bytes() == data


@pytest.mark.parametrize("playlists", ["", "<PLAYLISTS/>", "<PLAYLISTS></PLAYLISTS>"])
def test_playlists_are_made_where_there_are_none(tmp_path: Path, playlists: str) -> None:
    data = document(three())
    start, end = data.index(b"<PLAYLISTS>"), data.index(b"</PLAYLISTS>") + len(b"</PLAYLISTS>")
    nml = Nml(tmp_path, data[:start] + playlists.encode() + data[end:])
    nml.write({ONE: GREEN})
    assert nml.lists() == {"GREEN": ["1.mp3"]}
    tags = [element.tag for element in nml.root()]
    assert tags.index("PLAYLISTS") < tags.index("INDEXING")
    (top,) = nml.root().findall("PLAYLISTS/NODE")
    assert top.attrib == {"TYPE": "FOLDER", "NAME": "$ROOT"}


@pytest.mark.parametrize(
    ("nodes", "reason"),
    [
        ('<NODE TYPE="PLAYLIST" NAME="MoodZone"/>', "MoodZone is no folder. Rename"),
        (folder_of({}) + folder_of({}), "2 lists or folders called MoodZone"),
        (
            folder_of({"GREEN": [], "YELLOW": []}).replace("YELLOW", "GREEN"),
            "2 lists or folders called GREEN",
        ),
        (folder_of({"GREEN": []}, kind="PROTOCOL"), "GREEN is of an unknown kind"),
        (folder_of({"GREEN": []}).replace('"PLAYLIST"', '"SMARTLIST"'), "GREEN is no playlist. Rename"),
    ],
)
def test_names_that_are_taken_are_refused(tmp_path: Path, nodes: str, reason: str) -> None:
    data = document(three(), nodes, count=1)
    nml = Nml(tmp_path, data)
    with pytest.raises(CollectionError, match=re.escape(reason)) as raised:
        nml.plan({ONE: GREEN})
    assert str(nml.path) in str(raised.value)
    assert nml.path.read_bytes() == data


def test_a_tree_that_traktor_would_not_write_is_refused(tmp_path: Path) -> None:
    nml = Nml(tmp_path, document(three()).replace(b'"FOLDER" NAME="$ROOT"', b'"PLAYLIST" NAME="$ROOT"'))
    with pytest.raises(CollectionError, match="outermost list is no folder"):
        nml.plan({ONE: GREEN})
    data = document(three()).replace(b'<SUBNODES COUNT="0"></SUBNODES>', b"")
    nml.path.write_bytes(data)
    with pytest.raises(CollectionError, match="without SUBNODES"):
        nml.write({ONE: GREEN})
    assert nml.path.read_bytes() == data


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "damaged or cut off"),
        (document(three())[:-20], "damaged or cut off"),
        (b'<DJ_PLAYLISTS Version="1.0.0"/>', "no collection of Traktor, but DJ_PLAYLISTS"),
        (b'<NML VERSION="21"/>', "version 21 of Traktor's NML, and only 15, 19, 20"),
        (b"<NML/>", "version (none)"),
        (b'<!DOCTYPE x [<!ENTITY a "b">]><NML VERSION="19"/>', "DOCTYPE"),
    ],
)
def test_what_is_no_known_collection_is_refused(tmp_path: Path, data: bytes, reason: str) -> None:
    nml = Nml(tmp_path, data)
    with pytest.raises(CollectionError, match=re.escape(reason)) as raised:
        nml.write({ONE: GREEN})
    assert str(nml.path) in str(raised.value)
    assert nml.path.read_bytes() == data


def test_a_file_that_is_not_there_is_never_made(tmp_path: Path) -> None:
    nml = Nml(tmp_path, b"")
    nml.path.unlink()
    with pytest.raises(CollectionError, match="is not there"):
        nml.plan({ONE: GREEN})
    assert not nml.path.exists()


def test_names_that_formats_trip_over(tmp_path: Path) -> None:
    names = (
        "a:b.mp3",
        "::.mp3",
        'Kool & The "Gang" <1>.mp3',
        "🎧 日本.mp3",
        "e\u0301 Söhne.mp3",
        "a//b",
        "100%.mp3",
    )
    tracks = [Path("/Users/dj/AC:DC & more") / name for name in names]
    tracks.append(Path("/Volumes/TOSHIBA EXT/DJ: 1/a.mp3"))
    nml = Nml(tmp_path, document(map(entry, tracks)))
    before = nml.path.read_bytes()
    assert paths(nml) == tracks
    marks = dict.fromkeys(tracks, GREEN)
    assert {change.status for change in nml.write(marks)} == {WRITTEN}
    assert len(nml.lists()["GREEN"]) == len(tracks)
    keys = {key.get("KEY") for key in nml.root().iter("PRIMARYKEY")}
    assert f"{SYSTEM}/:Users/:dj/:AC//DC & more/:a//b.mp3" in keys
    assert "TOSHIBA EXT/:DJ// 1/:a.mp3" in keys
    assert {change.status for change in nml.write(marks)} == {WriteStatus.UNCHANGED}
    nml.write(dict.fromkeys(tracks))
    assert nml.path.read_bytes() == before


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_a_name_is_known_composed_or_decomposed(tmp_path: Path, form: str) -> None:
    nml = Nml(tmp_path, document([entry(Path("/m/Zoë Ångström.mp3"))]))
    asked = Path(unicodedata.normalize(form, "/m/Zoë Ångström.mp3"))
    assert {change.status for change in nml.write({asked: GREEN})} == {WRITTEN}
    nml.path.write_bytes(nml.path.read_bytes().replace("Zoë".encode(), "Zoe\u0308".encode(), 1))
    assert {change.status for change in nml.write({asked: GREEN})} == {WriteStatus.UNCHANGED}


def test_of_duplicates_those_that_hold_the_same_are_edited(tmp_path: Path) -> None:
    rows = [entry(ONE), entry(ONE), entry(ONE, 'FLAGS="28" COLOR="1"')]
    nml = Nml(tmp_path, document(rows))
    before = nml.path.read_bytes()
    nml.write({ONE: GREEN})
    assert [one.get("COLOR") for one in nml.root().iter("INFO")] == ["4", "4", "1"]
    assert nml.lists() == {"GREEN": ["1.mp3"]}
    nml.write({ONE: None})
    assert nml.path.read_bytes() == before


def test_census(tmp_path: Path) -> None:
    rows = [entry(ONE, 'COMMENT="8A - 7" COLOR="3"'), entry(TWO, 'COLOR="1"'), entry(THREE)]
    nml = Nml(tmp_path, document(rows, folder_of({}), count=1))
    census = nml.collection.census()
    assert (census.tracks, census.colours, census.comments) == (3, {"3": 1, "1": 1}, {MIXED_IN_KEY: 1})
    assert census.lists == ("MoodZone",)
    assert set(census.crowded(COLOURS)) == {Zone.YELLOW}
    assert nml.collection.census(lambda _: frozenset({"3"})).colours == {"1": 1}


def machine(home: Path) -> Machine:
    return Machine(home, music=home / "Music", documents=home / "Documents")


def test_collections_are_found_the_newest_version_first(tmp_path: Path) -> None:
    folder = tmp_path / "Documents" / "Native Instruments"
    versions = ("Traktor 2.11.3", "Traktor 3.11.1", "Traktor 3.4.2", "Traktor 4.0.2")
    for name in (*versions, "Massive 1.0"):
        (folder / name).mkdir(parents=True)
        (folder / name / "collection.nml").write_bytes(document([]))
    (folder / "Traktor 5.0.0").mkdir()
    found = TARGET.find(machine(tmp_path), TraktorSettings(comment=True))
    assert [one.path.parent.name for one in found] == [versions[at] for at in (3, 1, 2, 0)]
    assert found[0].colours == COLOURS
    assert TEXT in found[0].carries
    assert TARGET.find(machine(tmp_path / "none"), TraktorSettings()) == []


def test_the_settings_name_file_colours_and_comments(tmp_path: Path) -> None:
    mine = tmp_path / "mine.nml"
    mine.write_bytes(document([]))
    toml = tmp_path / "settings.toml"
    toml.write_text(f'[traktor]\nnml = "{mine}"\nyellow = "orange"\ncomment = true\n')
    chosen = load_settings(toml).traktor
    (found,) = TARGET.find(machine(tmp_path), chosen)
    assert (found.path, found.carries) == (mine, {TEXT, COLOUR, LIST})
    assert found.colours == {Zone.YELLOW: "2", Zone.GREEN: "4", Zone.PURPLE: "6"}
    assert TARGET.find(machine(tmp_path), TraktorSettings(nml=str(tmp_path / "none.nml"))) == []
    opened = TARGET.open(mine, machine(tmp_path), TraktorSettings())
    assert (opened.path, opened.carries) == (mine, {COLOUR, LIST})


def test_two_zones_of_one_colour_are_refused(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text('[traktor]\nyellow = "green"\n')
    with pytest.raises(UsageError, match="three colours"):
        load_settings(tmp_path / "settings.toml")


def test_the_seven_colours() -> None:
    assert [colour.number for colour in TraktorColour] == list("1234567")
    assert (TraktorColour.YELLOW.number, TraktorColour.GREEN.number, TraktorColour.PURPLE.number) == (
        "3",
        "4",
        "6",
    )
