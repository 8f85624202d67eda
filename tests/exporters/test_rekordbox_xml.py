"""What is special to rekordbox's XML; what every collection keeps is tested in tests/contract."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporters.base import Change, Field, Machine, Place, Want, WriteStatus
from exporters.census import MIXED_IN_KEY, MY_TAG
from exporters.journal import Changed, Journal
from exporters.registry import TARGETS
from exporters.rekordbox.location import from_location, to_location
from exporters.rekordbox.xml import TARGET, RekordboxColour, RekordboxXml, RekordboxXmlSettings
from moodzone_agent.config import load_settings
from moodzone_agent.errors import CollectionError, UsageError
from moodzone_agent.types import ZONES, Mark, MarkState, Zone

COLOURS = RekordboxXmlSettings().colours
TEXT, COLOUR, LIST = Field.TEXT, Field.COLOUR, Field.LIST
WRITTEN, SKIPPED, KEPT = WriteStatus.WRITTEN, WriteStatus.SKIPPED, WriteStatus.KEPT
FIXTURES = (
    "rekordcrate_database.xml",
    "rekordbox5/database.xml",
    "rekordbox6/database.xml",
    "dj-data-converter/rekordbox.xml",
)
YELLOW, GREEN, PURPLE = (Mark(zone) for zone in ZONES)


class Xml:
    """A file, written as the agent writes: it remembers what is ours."""

    def __init__(self, folder: Path, data: bytes | None = None) -> None:
        self.path = folder / "export.xml"
        self.folder = folder
        self.ours: dict[Place, set[str]] = {}
        if data is not None:
            self.path.write_bytes(data)

    @property
    def collection(self) -> RekordboxXml:
        return RekordboxXml(self.path, COLOURS)

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
        root = ET.parse(self.path).getroot()
        expect_right_numbers(root)
        return root

    def track(self, path: Path) -> ET.Element:
        found = [one for one in self.root().iter("TRACK") if from_location(one.get("Location", "")) == path]
        assert len(found) == 1
        return found[0]

    def lists(self) -> dict[str, list[str]]:
        folder = self.root().find("PLAYLISTS/NODE/NODE[@Name='MoodZone']")
        if folder is None:
            return {}
        return {
            node.attrib["Name"]: [entry.attrib["Key"] for entry in node.findall("TRACK")] for node in folder
        }

    def replace(self, old: str, new: str) -> None:
        text = self.path.read_bytes()
        assert text.count(old.encode()) == 1
        self.path.write_bytes(text.replace(old.encode(), new.encode()))


def expect_right_numbers(root: ET.Element) -> None:
    """What rekordbox refuses, or shows wrongly, where it does not agree."""
    collection = root.find("COLLECTION")
    if collection is not None:
        assert int(collection.attrib["Entries"]) == len(collection.findall("TRACK"))
    for node in root.iter("NODE"):
        names = [child.get("Name") for child in node.findall("NODE")]
        assert len(set(names)) == len(names)
        if node.get("Type") == "0":
            assert int(node.attrib["Count"]) == len(names)
        elif node.get("Type") == "1":
            assert int(node.attrib["Entries"]) == len(node.findall("TRACK"))


def on_this_machine(data: bytes) -> bytes:
    """Paths of a Windows export, as if its drive were this machine's root."""
    return re.sub(rb"file://localhost/[A-Z]:/", b"file://localhost/", data)


def paths(xml: Xml) -> list[Path]:
    return list(dict.fromkeys(sighting.place.track for sighting in xml.collection.read()))


def track(number: int, path: str = "", *, comments: str | None = "", more: str = "") -> str:
    """A TRACK as rekordbox writes it."""
    location = to_location(Path(path or f"/m/{number}.mp3"))
    told = "" if comments is None else f'Comments="{comments}" '
    return f'    <TRACK TrackID="{number}" Name="N{number}" {told}Location="{location}" Mix=""{more}/>\n'


def document(tracks: Iterable[str], nodes: str = "", *, count: int = 0) -> bytes:
    tracks = list(tracks)
    top = f'<NODE Type="0" Name="ROOT" Count="{count}">{nodes}\n    </NODE>'
    return f"""<?xml version="1.0" encoding="UTF-8"?>

<DJ_PLAYLISTS Version="1.0.0">
  <PRODUCT Name="rekordbox" Version="7.0.1" Company="AlphaTheta"/>
  <COLLECTION Entries="{len(tracks)}">
{"".join(tracks)}  </COLLECTION>
  <PLAYLISTS>
    {top if nodes else top.split(">", maxsplit=1)[0] + "/>"}
  </PLAYLISTS>
</DJ_PLAYLISTS>
""".encode()


def folder_of(lists: Mapping[str, Iterable[str]], key_type: int = 0) -> str:
    """Our folder as the XML has it, with keys in its lists."""
    nodes = ""
    for name, keys in lists.items():
        entries = "".join(f'\n          <TRACK Key="{key}"/>' for key in keys)
        nodes += (
            f'\n        <NODE Name="{name}" Type="1" KeyType="{key_type}" Entries="{len(list(keys))}">'
            f"{entries}\n        </NODE>"
        )
    return f'\n      <NODE Name="MoodZone" Type="0" Count="{len(lists)}">{nodes}\n      </NODE>'


ONE, TWO, THREE = (Path(f"/m/{number}.mp3") for number in (1, 2, 3))


@pytest.mark.shared
@pytest.mark.parametrize("name", FIXTURES)
def test_genuine_exports_come_back_byte_for_byte(shared: Path, tmp_path: Path, name: str) -> None:
    data = on_this_machine((shared / "fixtures" / "dj" / "rekordbox" / name).read_bytes())
    xml = Xml(tmp_path, data)
    tracks = paths(xml)
    assert len(tracks) >= 2
    marks = {path: Mark(ZONES[number % 3]) for number, path in enumerate(tracks)}
    planned = xml.plan(marks)
    assert xml.path.read_bytes() == data
    assert len(planned) == 3 * len(tracks)
    assert xml.carry_out(planned) == planned
    expect_only_ours_differs(ET.fromstring(data), xml.root())
    assert {change.status for change in xml.write(marks)} == {WriteStatus.UNCHANGED}
    xml.write(dict.fromkeys(tracks))
    written = xml.path.read_bytes()
    if b"<PLAYLISTS" in data:
        assert written == data
    else:  # what is added for our folder stays, empty
        assert re.sub(rb"\s*<PLAYLISTS>\s*<NODE [^>]*/>\s*</PLAYLISTS>", b"", written) == data


@pytest.mark.shared
@pytest.mark.parametrize("name", FIXTURES)
def test_paths_of_another_system_match_nothing(shared: Path, tmp_path: Path, name: str) -> None:
    xml = Xml(tmp_path, (shared / "fixtures" / "dj" / "rekordbox" / name).read_bytes())
    assert paths(xml) == []
    done = xml.write({Path("/Music/PioneerDJ/Demo Tracks/Demo Track 1.mp3"): GREEN})
    assert [(change.status, change.reason) for change in done] == [
        (SKIPPED, "rekordbox's export does not hold it; import the file there and export again")
    ]


def expect_only_ours_differs(before: ET.Element, after: ET.Element) -> None:
    """Order, elements and attributes are equal, but for ours."""
    for old, new in zip(before, after, strict=False):
        if old.tag == "COLLECTION":
            assert [element.tag for element in old] == [element.tag for element in new]
            assert old.attrib == new.attrib
            for one, other in zip(old, new, strict=True):
                kept = {name: value for name, value in other.items() if name != "Colour"}
                assert kept | {"Comments": one.attrib["Comments"]} == one.attrib
                assert (
                    other.attrib["Comments"]
                    .replace(" ", "")
                    .endswith(one.attrib["Comments"].replace(" ", ""))
                )
                assert [(child.tag, child.attrib) for child in one] == [
                    (child.tag, child.attrib) for child in other
                ]
        elif old.tag == "PLAYLISTS":
            top = new[0]
            assert top[-1].attrib["Name"] == "MoodZone"
            top.remove(top[-1])
            top.set("Count", str(len(top)))
            assert shape(old) == shape(new)
        else:
            assert shape(old) == shape(new)


def shape(element: ET.Element) -> tuple[object, ...]:
    return (element.tag, dict(element.attrib), [shape(child) for child in element])


words = st.sampled_from(
    ["8A - 7", "#GREEN", "#purple?", "/* #YELLOW */", "&#228;", "&quot;&apos;", "é", "&#10;"]
)
comments = st.none() | st.lists(words, max_size=4).map(" ".join)
colours = st.sampled_from(["", "", ' Colour="0xff0000"', ' Colour="0x660099"'])
marks = st.sampled_from([None, YELLOW, GREEN, PURPLE, Mark(Zone.GREEN, MarkState.UNSURE)])
foreign_lists = st.dictionaries(
    st.sampled_from(["Mine", "GREEN", "UNSURE"]),
    st.lists(st.integers(1, 9), min_size=1, max_size=4),
    max_size=3,
)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(comments, colours), min_size=1, max_size=5),
    st.lists(st.lists(marks, min_size=5, max_size=5), min_size=1, max_size=3),
    foreign_lists,
)
def test_whatever_was_written_taking_out_gives_back_the_bytes(
    rows: list[tuple[str | None, str]], rounds: list[list[Mark | None]], lists: dict[str, list[int]]
) -> None:
    rows_told = [track(number, comments=text, more=more) for number, (text, more) in enumerate(rows, 1)]
    data = document(rows_told, folder_of(lists) if lists else "", count=1)
    data = data if lists else data.replace(b'Count="1"', b'Count="0"')
    tracks = [Path(f"/m/{number}.mp3") for number in range(1, len(rows) + 1)]
    with TemporaryDirectory() as folder:
        xml = Xml(Path(folder), data)
        for one in rounds:
            xml.write(dict(zip(tracks, one, strict=False)))
            xml.root()
            xml.write(dict(zip(tracks, one, strict=False)))
        xml.write(dict.fromkeys(tracks))
        assert xml.path.read_bytes() == data


def test_everything_is_written_where_rekordbox_reads_it(tmp_path: Path) -> None:
    xml = Xml(tmp_path, document([track(7, "/m/1.mp3"), track(5, "/m/2.mp3"), track(9, "/m/3.mp3")]))
    unsure = Mark(Zone.PURPLE, MarkState.UNSURE)
    xml.write({ONE: GREEN, TWO: unsure, THREE: YELLOW})
    assert xml.track(ONE).attrib | {"Name": ""} == {
        "TrackID": "7",
        "Name": "",
        "Comments": "#GREEN",
        "Location": "file://localhost/m/1.mp3",
        "Mix": "",
        "Colour": "0x00FF00",
    }
    assert xml.track(TWO).get("Comments") == "#PURPLE?"
    assert xml.track(TWO).get("Colour") == "0x660099"
    assert xml.lists() == {"YELLOW": ["9"], "GREEN": ["7"], "UNSURE": ["5"]}
    xml.write({TWO: PURPLE})
    assert xml.lists() == {"YELLOW": ["9"], "GREEN": ["7"], "PURPLE": ["5"]}
    assert list(xml.lists()) == ["YELLOW", "GREEN", "PURPLE"]


@pytest.mark.parametrize(
    ("comments", "written"),
    [
        ("8A - 7", "8A - 7 #GREEN"),
        ("/* House / #PURPLE */", "#GREEN /* House / #PURPLE */"),
        ("it's &#228; &amp; &gt; &apos;x&apos;&#10;2 /* a */", "#GREEN it's ä & > 'x'\n2 /* a */"),
        ("#green mine", "#green mine"),
        ("", "#GREEN"),
    ],
)
def test_comments_keep_the_users_text_and_its_spelling(tmp_path: Path, comments: str, written: str) -> None:
    data = document([track(1, comments=comments)])
    xml = Xml(tmp_path, data)
    xml.write({ONE: GREEN})
    assert xml.track(ONE).get("Comments") == written
    assert comments.encode() in xml.path.read_bytes().replace(b"#GREEN ", b"").replace(b" #GREEN", b"")
    xml.write({ONE: None})
    assert xml.path.read_bytes() == data


def test_a_comment_that_we_added_goes_again_as_a_whole(tmp_path: Path) -> None:
    data = document([track(1, comments=None), track(2)])
    xml = Xml(tmp_path, data)
    xml.write({ONE: GREEN, TWO: GREEN})
    assert xml.track(ONE).get("Comments") == "#GREEN"
    xml.write({ONE: None, TWO: None})
    assert xml.path.read_bytes() == data


def test_a_colour_of_the_users_is_left_alone_however_it_is_spelled(tmp_path: Path) -> None:
    data = document([track(1, more=' Colour="0xff007f"'), track(2, more=' Colour="0x00ff00"')])
    xml = Xml(tmp_path, data)
    found = {sight.place.track: sight for sight in xml.collection.read() if sight.place.field is COLOUR}
    assert [(found[path].value, found[path].marks) for path in (ONE, TWO)] == [
        ("0xFF007F", ()),
        ("0x00FF00", (GREEN,)),
    ]
    done = {change.place: change for change in xml.write({ONE: GREEN, TWO: GREEN})}
    assert (done[Place(ONE, COLOUR)].status, done[Place(ONE, COLOUR)].before) == (KEPT, "0xFF007F")
    assert done[Place(TWO, COLOUR)].status is WriteStatus.UNCHANGED
    assert b'Colour="0xff007f"' in xml.path.read_bytes()
    assert b'Colour="0x00ff00"' in xml.path.read_bytes()


def test_a_colour_that_was_left_out_is_not_written(tmp_path: Path) -> None:
    xml = Xml(tmp_path, document([track(1)]))
    collection = RekordboxXml(xml.path, {Zone.GREEN: "0x00FF00"})
    changes = list(collection.preview([Want(ONE, PURPLE)]))
    assert {change.field: change.status for change in changes} == {
        TEXT: WRITTEN,
        COLOUR: SKIPPED,
        LIST: WRITTEN,
    }


def test_a_track_that_the_dj_moved_is_read_and_stays(tmp_path: Path) -> None:
    xml = Xml(tmp_path, document([track(1), track(2)]))
    xml.write({ONE: GREEN, TWO: PURPLE})
    xml.replace('<TRACK Key="1"/>', "")
    xml.replace('<TRACK Key="2"/>', '<TRACK Key="2"/><TRACK Key="1"/>')
    xml.replace(
        'Name="GREEN" Type="1" KeyType="0" Entries="1"', 'Name="GREEN" Type="1" KeyType="0" Entries="0"'
    )
    xml.replace(
        'Name="PURPLE" Type="1" KeyType="0" Entries="1"', 'Name="PURPLE" Type="1" KeyType="0" Entries="2"'
    )
    found = {sight.place: sight for sight in xml.collection.read()}
    assert found[Place(ONE, LIST)].marks == (PURPLE,)
    done = {change.place: change for change in xml.write({ONE: GREEN, TWO: YELLOW})}
    assert (done[Place(ONE, LIST)].status, done[Place(ONE, LIST)].before) == (KEPT, "PURPLE")
    assert xml.lists() == {"YELLOW": ["2"], "GREEN": [], "PURPLE": ["1"]}


def test_order_and_foreign_tracks_of_our_lists_survive(tmp_path: Path) -> None:
    spotify = '    <TRACK TrackID="8" Location="file://localhostspotify:track:2plbr"/>\n'
    nodes = folder_of({"GREEN": ["8", "2", "77", "1"]})
    xml = Xml(tmp_path, document([track(1), track(2), track(3), spotify], nodes, count=1))
    xml.ours = {Place(path, LIST): {"GREEN"} for path in (ONE, TWO)}
    xml.write({ONE: GREEN, TWO: YELLOW, THREE: GREEN})
    assert xml.lists() == {"YELLOW": ["2"], "GREEN": ["8", "77", "1", "3"]}
    xml.write({ONE: None, TWO: None, THREE: None})
    assert xml.lists() == {"GREEN": ["8", "77"]}


def test_lists_by_location_are_read_and_kept_so(tmp_path: Path) -> None:
    nodes = folder_of({"GREEN": ["file://localhost/m/1.mp3", "file://localhost/elsewhere.mp3"]}, key_type=1)
    xml = Xml(tmp_path, document([track(1), track(2)], nodes, count=1))
    found = {sight.place: sight.value for sight in xml.collection.read()}
    assert (found[Place(ONE, LIST)], found[Place(TWO, LIST)]) == ("GREEN", "")
    xml.write({TWO: GREEN})
    assert xml.lists()["GREEN"][2] == "file://localhost/m/2.mp3"
    xml.write({TWO: None})
    assert xml.lists()["GREEN"] == ["file://localhost/m/1.mp3", "file://localhost/elsewhere.mp3"]


def test_a_list_of_the_users_in_our_folder_keeps_it(tmp_path: Path) -> None:
    nodes = folder_of({"Best of": ["1"]})
    data = document([track(1), track(2)], nodes, count=1)
    xml = Xml(tmp_path, data)
    xml.write({TWO: GREEN})
    assert xml.lists() == {"Best of": ["1"], "GREEN": ["2"]}
    xml.write({TWO: None})
    assert xml.path.read_bytes() == data


@pytest.mark.parametrize("playlists", ["", "<PLAYLISTS/>", "<PLAYLISTS>\n  </PLAYLISTS>"])
def test_playlists_are_made_where_there_are_none(tmp_path: Path, playlists: str) -> None:
    data = document([track(1)])
    start, end = data.index(b"<PLAYLISTS>"), data.index(b"</PLAYLISTS>") + len(b"</PLAYLISTS>")
    xml = Xml(tmp_path, data[:start] + playlists.encode() + data[end:])
    xml.write({ONE: GREEN})
    assert xml.lists() == {"GREEN": ["1"]}
    assert xml.root().findall("PLAYLISTS/NODE")[0].attrib == {"Type": "0", "Name": "ROOT", "Count": "1"}


@pytest.mark.parametrize(
    ("nodes", "reason"),
    [
        ('<NODE Name="MoodZone" Type="1" KeyType="0" Entries="0"/>', "MoodZone is no folder. Rename"),
        (folder_of({}) + folder_of({}), "2 lists or folders called MoodZone"),
        (
            folder_of({"GREEN": [], "YELLOW": []}).replace("YELLOW", "GREEN"),
            "2 lists or folders called GREEN",
        ),
        (folder_of({"GREEN": []}, key_type=2), "KeyType '2'"),
        (folder_of({"GREEN": []}).replace('Type="1"', 'Type="0"'), "GREEN is no playlist. Rename"),
    ],
)
def test_names_that_are_taken_are_refused(tmp_path: Path, nodes: str, reason: str) -> None:
    data = document([track(1)], nodes, count=1)
    xml = Xml(tmp_path, data)
    with pytest.raises(CollectionError, match=re.escape(reason)) as raised:
        xml.plan({ONE: GREEN})
    assert str(xml.path) in str(raised.value)
    assert xml.path.read_bytes() == data


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "damaged or cut off"),
        (b'<NML VERSION="19"/>', "no XML of rekordbox, but of NML"),
        (b'<DJ_PLAYLISTS Version="2.0.0"/>', "version 2.0.0"),
        (b"<DJ_PLAYLISTS/>", "version (none)"),
        (b'<!DOCTYPE x [<!ENTITY a "b">]><DJ_PLAYLISTS Version="1.0.0"/>', "DOCTYPE"),
        (b'<DJ_PLAYLISTS Version="1.0.0">&a;</DJ_PLAYLISTS>', "damaged"),
        (document([track(1), track(1, "/m/2.mp3")]), "TrackID, or with that of another ('1')"),
        (document([track(1)]).replace(b'TrackID="1" ', b""), "TrackID"),
        (document([track(1)]).replace(b'Type="0" Name="ROOT"', b'Type="1" Name="ROOT"'), "no folder"),
    ],
)
def test_what_is_not_understood_is_refused(tmp_path: Path, data: bytes, reason: str) -> None:
    xml = Xml(tmp_path, data)
    for use in (xml.collection.version, xml.collection.census, lambda: xml.plan({ONE: GREEN})):
        with pytest.raises(CollectionError, match=re.escape(reason)):
            use()
    assert xml.path.read_bytes() == data


def test_an_empty_export_and_one_without_collection(tmp_path: Path) -> None:
    xml = Xml(tmp_path, b'<DJ_PLAYLISTS Version="1.0.0"/>')
    assert paths(xml) == []
    assert xml.collection.version() == "1.0.0"
    assert [change.status for change in xml.write({ONE: GREEN})] == [SKIPPED]
    assert {change.status for change in xml.write({ONE: None})} == {WriteStatus.UNCHANGED}


def test_duplicates_of_one_file_are_written_alike_but_for_values_of_their_own(tmp_path: Path) -> None:
    rows = [track(1), track(2, "/m/1.mp3"), track(3, "/m/1.mp3", comments="own", more=' Colour="0xFF0000"')]
    data = document(rows)
    xml = Xml(tmp_path, data)
    assert len(xml.write({ONE: GREEN})) == 3
    told = [(one.get("Comments"), one.get("Colour")) for one in xml.root().findall("COLLECTION/TRACK")]
    assert told == [("#GREEN", "0x00FF00"), ("#GREEN", "0x00FF00"), ("own", "0xFF0000")]
    assert xml.lists() == {"GREEN": ["1"]}
    xml.write({ONE: None})
    assert xml.path.read_bytes() == data


def test_a_path_is_found_however_its_letters_are_composed(tmp_path: Path) -> None:
    xml = Xml(tmp_path, document([track(1, "/m/Ärger.mp3")]))
    xml.write({Path("/m/A\N{COMBINING DIAERESIS}rger.mp3"): GREEN})
    assert xml.track(Path("/m/Ärger.mp3")).get("Comments") == "#GREEN"


def test_a_wrong_number_of_entries_is_put_right(tmp_path: Path) -> None:
    xml = Xml(tmp_path, document([track(1)]).replace(b'Entries="1"', b'Entries="5"'))
    xml.write({ONE: GREEN})
    xml.root()


def test_a_new_file_holds_what_rekordbox_needs(tmp_path: Path) -> None:
    music = tmp_path / "Größer & so.mp3"
    music.write_bytes(b"x" * 1234)
    away = tmp_path / "away.aif"
    xml = Xml(tmp_path)
    wants = [
        Want(music, GREEN, artist="Ärzte\0", title="A & B", duration=61.6),
        Want(away, Mark(Zone.YELLOW, MarkState.UNSURE)),
        Want(tmp_path / "no zone.mp3", None),
    ]
    planned = list(xml.collection.preview(wants))
    assert [change.field for change in planned] == [TEXT, COLOUR, LIST] * 3
    assert xml.collection.version() == "1.0.0 (MoodZone)"
    assert not xml.path.exists()
    xml.carry_out(planned)
    assert xml.path.read_bytes().startswith(b'<?xml version="1.0" encoding="UTF-8"?>\n')
    root = xml.root()
    assert (root.tag, root.attrib) == ("DJ_PLAYLISTS", {"Version": "1.0.0"})
    assert [child.tag for child in root] == ["PRODUCT", "COLLECTION", "PLAYLISTS"]
    assert root[0].attrib == {"Name": "MoodZone"}
    assert [dict(element.attrib) for element in root[1]] == [
        {
            "TrackID": "1",
            "Name": "A & B",
            "Artist": "Ärzte\N{REPLACEMENT CHARACTER}",
            "Kind": "MP3 File",
            "Size": "1234",
            "TotalTime": "62",
            "Location": f"file://localhost{tmp_path}/Gr%c3%b6%c3%9fer%20%26%20so.mp3",
            "Comments": "#GREEN",
            "Colour": "0x00FF00",
        },
        {
            "TrackID": "2",
            "Name": "away",
            "Artist": "",
            "Kind": "AIFF File",
            "Location": f"file://localhost{tmp_path}/away.aif",
            "Comments": "#YELLOW?",
            "Colour": "0xFFFF00",
        },
    ]
    assert xml.lists() == {"GREEN": ["1"], "UNSURE": ["2"]}


def test_a_file_of_ours_takes_more_tracks_later(tmp_path: Path) -> None:
    xml = Xml(tmp_path)
    xml.write({ONE: GREEN})
    xml.write({TWO: GREEN, THREE: None})
    assert [element.get("TrackID") for element in xml.root().findall("COLLECTION/TRACK")] == ["1", "2"]
    assert xml.lists() == {"GREEN": ["1", "2"]}


def test_a_file_that_appeared_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    xml = Xml(tmp_path)
    planned = xml.plan({ONE: GREEN, TWO: GREEN})
    xml.path.write_bytes(document([track(1, comments="mine")]))
    done = {change.place: change.status for change in xml.carry_out(planned)}
    assert done[Place(ONE, TEXT)] is KEPT
    assert {done[Place(TWO, field)] for field in (TEXT, COLOUR, LIST)} == {SKIPPED}
    assert xml.track(ONE).get("Comments") == "mine"


def test_values_that_a_fresh_export_has_lost_are_not_put_back(tmp_path: Path) -> None:
    """Undo after the track left rekordbox, and of a take-out whose track did."""
    xml = Xml(tmp_path, document([track(1)]))
    xml.write({ONE: GREEN})
    xml.path.write_bytes(document([track(2)]))
    before = xml.path.read_bytes()
    changed = [Changed(str(ONE), "text", "", "#GREEN"), Changed(str(ONE), "colour", "0x00FF00", "")]
    with Journal(tmp_path / "journal").start("undo") as run:
        done = xml.collection.put_back(changed, run, tmp_path / "backups")
    assert [change.status for change in done] == [KEPT, SKIPPED]
    assert xml.path.read_bytes() == before


def test_a_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    collection = RekordboxXml(tmp_path / "none" / "new.xml", COLOURS)
    changes = list(collection.preview([Want(ONE, GREEN)]))
    with (
        Journal(tmp_path / "journal").start("write") as run,
        pytest.raises(CollectionError, match="could not be written"),
    ):
        list(collection.write(changes, run, tmp_path / "backups"))
    with pytest.raises(CollectionError, match="cannot be read"):
        RekordboxXml(tmp_path, COLOURS).version()


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    xml = Xml(tmp_path, document([track(1)]))
    link = tmp_path / "link.xml"
    link.symlink_to(xml.path)
    collection = RekordboxXml(link, COLOURS)
    with Journal(tmp_path / "journal").start("write") as run:
        list(collection.write(list(collection.preview([Want(ONE, GREEN)])), run, tmp_path / "backups"))
    assert link.is_symlink()
    assert xml.track(ONE).get("Comments") == "#GREEN"


def test_census_counts_what_is_not_ours(tmp_path: Path) -> None:
    rows = [
        track(1, comments="8A - 7", more=' Colour="0xffff00"'),
        track(2, comments="/* House */ #classic", more=' Colour="0x123456"'),
        track(3, more=' Colour="0x00FF00"'),
    ]
    xml = Xml(tmp_path, document(rows, folder_of({"GREEN": ["3"]}), count=1))
    ours = {Place(THREE, COLOUR): frozenset({"0x00FF00"})}
    census = xml.collection.census(lambda place: ours.get(place, frozenset()))
    assert census.tracks == 3
    assert census.colours == {"0xFFFF00": 1, "0x123456": 1}
    assert census.comments == {MIXED_IN_KEY: 1, MY_TAG: 1, "#classic": 1}
    assert census.lists == ("MoodZone",)
    assert census.energies == {ONE: 7}
    assert set(census.crowded(COLOURS)) == {Zone.YELLOW}
    assert Xml(tmp_path, document(rows)).collection.census().lists == ()


def machine(home: Path) -> Machine:
    return Machine(home, music=home / "Music", documents=home / "Documents")


def test_exports_are_found_where_users_put_them(tmp_path: Path) -> None:
    data = document([track(1)])
    there = {"rekordbox.xml", "Desktop/my Rekordbox export.XML", "Documents/rekordbox/rekordbox.xml"}
    others = {"Documents/library.xml": data, "Documents/deep/er/rekordbox.xml": data}
    others |= {"Music/rekordbox.xml": b"<NML/>", "Music/rekordbox 2.xml": b"<!DOCTYPE DJ_PLAYLISTS>"}
    for name, content in {**dict.fromkeys(there, data), **others, "Music/rekordbox.txt": data}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    (tmp_path / "Music" / "rekordbox folder.xml").mkdir()
    for number, name in enumerate(
        sorted(there), start=1
    ):  # the newest counts; an old one is a copy for safety
        os.utime(tmp_path / name, (number, number))
        newest = tmp_path / name
        for older in there - {name}:
            os.utime(tmp_path / older, (0, 0))
        (found,) = TARGET.find(machine(tmp_path), RekordboxXmlSettings())
        assert found.path == newest
        assert found.colours == COLOURS
    assert TARGET.find(machine(tmp_path / "none"), RekordboxXmlSettings()) == []


def test_the_settings_name_file_and_colours(tmp_path: Path) -> None:
    (tmp_path / "rekordbox.xml").write_bytes(document([]))
    (tmp_path / "mine.xml").write_bytes(document([]))
    toml = tmp_path / "settings.toml"
    toml.write_text(f'[rekordbox_xml]\nxml = "{tmp_path}/mine.xml"\nyellow = "Orange"\n')
    settings = load_settings(toml).rekordbox_xml
    (found,) = TARGET.find(machine(tmp_path), settings)
    assert found.path == tmp_path / "mine.xml"
    assert found.colours == {Zone.YELLOW: "0xFFA500", Zone.GREEN: "0x00FF00", Zone.PURPLE: "0x660099"}
    assert TARGET.find(machine(tmp_path), RekordboxXmlSettings(xml=str(tmp_path / "none.xml"))) == []
    opened = TARGET.open(tmp_path / "new.xml", machine(tmp_path), settings)
    assert (opened.path, opened.colours) == (tmp_path / "new.xml", found.colours)


def test_two_zones_of_one_colour_are_refused(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text('[rekordbox_xml]\nyellow = "Green"\n')
    with pytest.raises(UsageError, match="three colours"):
        load_settings(tmp_path / "settings.toml")


def test_the_eight_colours() -> None:
    assert len({colour.hex for colour in RekordboxColour}) == 8
    assert all(re.fullmatch("0x[0-9A-F]{6}", colour.hex) for colour in RekordboxColour)
    assert "rekordbox-xml" in TARGETS


def test_a_track_that_is_added_brings_the_comment_of_its_file(tmp_path: Path) -> None:
    from tests.audio_files import write_tone

    track = write_tone(tmp_path / "a.flac", seconds=0.1, metadata={"comment": "8A - 7 warm"})
    collection = RekordboxXml(tmp_path / "new.xml", RekordboxXmlSettings().colours)
    with Journal(tmp_path / "journal").start("rekordbox-xml") as run:
        wants = [Want(track, Mark(Zone.GREEN))]
        list(collection.write(list(collection.preview(wants)), run, tmp_path / "backups"))
    [written] = ET.parse(tmp_path / "new.xml").iterfind("COLLECTION/TRACK")
    assert written.get("Comments") == "8A - 7 #GREEN warm"
