"""What is special to VirtualDJ; what every collection keeps is tested in tests/contract."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape, quoteattr

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporters.base import Change, Field, Machine, Place, Want, WriteStatus
from exporters.census import MIXED_IN_KEY
from exporters.journal import Journal
from exporters.registry import TARGETS
from exporters.virtualdj.collection import TARGET, VirtualDjCollection, VirtualDjSettings
from exporters.virtualdj.files import SongList, path_of, read_database
from moodzone_agent.config import load_settings
from moodzone_agent.errors import CollectionError, UsageError
from moodzone_agent.types import ZONES, Mark, MarkState, Zone

TEXT, COLOUR, LIST = Field.TEXT, Field.COLOUR, Field.LIST
WRITTEN, SKIPPED, KEPT = WriteStatus.WRITTEN, WriteStatus.SKIPPED, WriteStatus.KEPT
YELLOW, GREEN, PURPLE = (Mark(zone) for zone in ZONES)
UNSURE = Mark(Zone.GREEN, MarkState.UNSURE)
ONE, TWO, THREE = (Path(f"/m/{number}.mp3") for number in (1, 2, 3))
COLOURS = VirtualDjSettings().colours


class VirtualDj:
    """A home folder, written as the agent writes: it remembers what is ours."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.folder = home / "VirtualDJ"
        self.lists_folder = self.folder / "MyLists" / "MoodZone.subfolders"
        self.ours: dict[Place, set[str]] = {}
        (self.folder / "MyLists").mkdir(parents=True)

    @property
    def collection(self) -> VirtualDjCollection:
        return VirtualDjCollection(self.folder, machine(self.home), COLOURS)

    def write(self, marks: Mapping[Path, Mark | None]) -> list[Change]:
        wants = [
            Want(
                path,
                mark,
                {one: frozenset(self.ours.get(Place(path, one), ())) for one in Field},
                "Ä & b",
                "T",
            )
            for path, mark in marks.items()
        ]
        with Journal(self.home / "journal").start("write") as run:
            planned = list(self.collection.preview(wants))
            done = list(self.collection.write(planned, run, self.home / "backups"))
        for change in done:
            if change.status is WRITTEN and change.ours:
                self.ours.setdefault(change.place, set()).add(change.ours)
        return done

    def file(self, name: str) -> Path:
        return self.lists_folder / f"{name}.vdjfolder"

    def put(self, name: str, data: bytes) -> None:
        self.lists_folder.mkdir(exist_ok=True)
        self.file(name).write_bytes(data)

    def lists(self) -> dict[str, list[str]]:
        return {
            file.stem: [song.attrib["path"] for song in ET.parse(file).getroot().findall("song")]
            for file in sorted(self.lists_folder.iterdir())
        }

    def put_database(self, *songs: str) -> bytes:
        data = (
            '<?xml version="1.0" encoding="UTF-8"?>\r\n<VirtualDJ_Database Version="2024">\r\n'
            f"{''.join(songs)}</VirtualDJ_Database>\r\n"
        ).encode()
        (self.folder / "database.xml").write_bytes(data)
        return data


def song(path: Path | str, *, colour: str = "", comment: str = "", grouping: str = "") -> str:
    """A track as the database has it."""
    told = f' UserColor="{colour}"' if colour else ""
    grouped = f" Grouping={quoteattr(grouping)}" if grouping else ""
    said = f"  <Comment>{escape(comment)}</Comment>\r\n" if comment else ""
    return (
        f' <Song FilePath={quoteattr(str(path))} FileSize="9" Flag="512">\r\n  <Tags Author="A"{grouped} />\r\n'
        f'  <Infos SongLength="61.5"{told} />\r\n{said}  <Scan Version="801" />\r\n'
        '  <Poi Pos="0.1" Type="beatgrid" />\r\n </Song>\r\n'
    )


def machine(home: Path, *volumes: Path) -> Machine:
    return Machine(home, music=home / "Music", documents=home / "Documents", volumes=volumes)


@pytest.fixture
def dj(tmp_path: Path) -> VirtualDj:
    return VirtualDj(tmp_path)


def test_lists_are_files_as_virtualdj_names_them(dj: VirtualDj, tmp_path: Path) -> None:
    music = tmp_path / "Größer & 'so' \"<😀>.mp3"
    music.write_bytes(b"x" * 1234)
    dj.write({music: GREEN, TWO: UNSURE, THREE: YELLOW})
    assert dj.lists() == {"GREEN": [str(music)], "UNSURE": [str(TWO)], "YELLOW": [str(THREE)]}
    root = ET.parse(dj.file("GREEN")).getroot()
    assert (root.tag, root.attrib) == ("VirtualFolder", {})
    assert [dict(one.attrib) for one in root] == [
        {"path": str(music), "size": "1234", "artist": "Ä & b", "title": "T"}
    ]
    assert (
        dj.file("YELLOW").read_bytes()
        == (
            '<?xml version="1.0" encoding="UTF-8"?>\r\n<VirtualFolder>\r\n'
            '  <song path="/m/3.mp3" artist="Ä &amp; b" title="T"/>\r\n</VirtualFolder>\r\n'
        ).encode()
    )


def test_foreign_attributes_songs_and_order_survive_byte_for_byte(dj: VirtualDj) -> None:
    theirs = (
        "\ufeff<?xml version='1.0' encoding='UTF-8'?>\r\n"
        '<VirtualFolder noDuplicates="no"  ordered="yes" color="#ff0000">\r\n'
        '\t<song path="netsearch://td71717731" songlength="299.0" artist="Drake" idx="0" />\r\n'
        '\t<song  path="/elsewhere/&#228;.mp3" size=\'7\' idx="3" odd="&quot;" />\r\n'
        '\t<song path="relative.mp3" idx="1" />\r\n<!-- mine -->\r\n'
        "</VirtualFolder>\r\n"
    ).encode()
    dj.put("GREEN", theirs)
    dj.write({ONE: GREEN, TWO: GREEN})
    written = dj.file("GREEN").read_bytes()
    head, tail = theirs.split(b"\r\n<!-- mine -->")
    assert written.startswith(head)
    assert [one.get("idx") for one in ET.fromstring(written)] == ["0", "3", "1", "4", "5"]
    assert written.endswith(tail)
    dj.write({ONE: None, TWO: None})
    assert dj.file("GREEN").read_bytes() == theirs


def test_a_track_that_the_dj_moved_is_read_and_stays(dj: VirtualDj) -> None:
    dj.write({ONE: GREEN, TWO: PURPLE})
    moved = dj.file("GREEN").read_bytes()
    dj.file("PURPLE").write_bytes(moved)
    dj.file("GREEN").unlink()
    assert {sight.place: sight.marks for sight in dj.collection.read()} == {Place(ONE, LIST): (PURPLE,)}
    done = {change.place: change for change in dj.write({ONE: GREEN, TWO: YELLOW})}
    assert (done[Place(ONE, LIST)].status, done[Place(ONE, LIST)].before) == (KEPT, "PURPLE")
    assert done[Place(TWO, LIST)].status is WRITTEN
    assert dj.lists() == {"PURPLE": [str(ONE)], "YELLOW": [str(TWO)]}


def test_a_track_in_several_lists_shows_several_zones(dj: VirtualDj) -> None:
    dj.write({ONE: GREEN})
    dj.put("PURPLE", dj.file("GREEN").read_bytes())
    assert [(sight.value, sight.marks) for sight in dj.collection.read()] == [
        ("GREEN + PURPLE", (GREEN, PURPLE))
    ]


def test_a_path_is_found_however_its_letters_are_composed(dj: VirtualDj) -> None:
    composed, apart = Path("/m/Ärger.mp3"), Path("/m/A\N{COMBINING DIAERESIS}rger.mp3")
    dj.write({composed: GREEN})
    dj.ours[Place(apart, LIST)] = {"GREEN"}
    assert [change.status for change in dj.write({apart: YELLOW})] == [WRITTEN]
    assert dj.lists() == {"YELLOW": [str(apart)]}


def test_colours_and_texts_of_the_database_are_read_and_never_written(dj: VirtualDj) -> None:
    data = dj.put_database(
        song(ONE, colour="4294967040"),
        song(TWO, colour="4278255360", comment="8A - 7 #purple", grouping="#GREEN?"),
        song(THREE, colour="4294901760", comment="nothing"),
        song("netsearch://td1", colour="4294967040"),
        song("C:\\Music\\a.mp3", colour="4294967040"),
        song("/m/4.mp3", colour="4287103180", grouping="Party #yellow"),
    )
    four = Path("/m/4.mp3")
    dj.write({ONE: GREEN, THREE: YELLOW})
    assert (dj.folder / "database.xml").read_bytes() == data
    assert {(sight.place, sight.value, sight.marks) for sight in dj.collection.read()} == {
        (Place(ONE, LIST), "GREEN", (GREEN,)),
        (Place(THREE, LIST), "YELLOW", (YELLOW,)),
        (Place(ONE, COLOUR), "4294967040", (YELLOW,)),
        (Place(ONE, TEXT), "", ()),
        (Place(THREE, COLOUR), "4294901760", ()),
        (Place(THREE, TEXT), "nothing", ()),
        (Place(TWO, COLOUR), "4278255360", (GREEN,)),
        (Place(TWO, TEXT), "8A - 7 #purple\n#GREEN?", (PURPLE, UNSURE)),
        (Place(four, COLOUR), "4287103180", (PURPLE,)),
        (Place(four, TEXT), "Party #yellow", (YELLOW,)),
    }
    assert {sight.place.track for sight in dj.collection.read(frozenset({TWO}))} == {TWO}
    assert list(dj.collection.tracks()) == [ONE, TWO, THREE, four]


def test_a_comment_in_pieces_is_one_text(dj: VirtualDj) -> None:
    data = dj.put_database(
        song(ONE).replace("  <Scan", "  <Comment>a &amp; b&#10;#GR<!-- x -->EEN</Comment>\r\n  <Scan"),
        song(TWO).replace(
            "  <Scan", '  <Other><Comment>#GREEN</Comment><Infos UserColor="1"/></Other>\r\n  <Scan'
        ),
    )
    one, two = read_database(data)
    assert (one.comment, two.comment) == ("a & b\n#GREEN", "")


def test_a_colour_0_is_none(dj: VirtualDj) -> None:
    (track,) = read_database(dj.put_database(song(ONE, colour="0")))
    assert track.colour == ""


def test_a_track_without_a_colour_of_ours_shows_no_zone(dj: VirtualDj) -> None:
    dj.put_database(song(ONE, colour="4294901760", comment="8A - 7"))
    assert {sight.marks for sight in dj.collection.read()} == {()}


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "damaged or cut off"),
        (b"<VirtualFolder><song", "damaged or cut off"),
        (b'<FilterFolder filter="x"/>', "no list of songs"),
        (b'<VirtualFolder filter="color=red"/>', "no list of songs"),
        (b'<!DOCTYPE x [<!ENTITY a "b">]><VirtualFolder/>', "DOCTYPE"),
    ],
)
def test_a_list_that_is_not_understood_is_refused(dj: VirtualDj, data: bytes, reason: str) -> None:
    dj.put("PURPLE", data)
    for use in (dj.collection.version, lambda: dj.write({ONE: GREEN}), lambda: list(dj.collection.read())):
        with pytest.raises(CollectionError, match=reason) as raised:
            use()
        assert str(dj.file("PURPLE")) in str(raised.value)
    assert {file.name: file.read_bytes() for file in dj.lists_folder.iterdir()} == {"PURPLE.vdjfolder": data}


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "damaged or cut off"),
        (b"<VirtualDJ_Database><Song>", "damaged or cut off"),
        (b"<NML/>", "no database of VirtualDJ, but NML"),
        (b"<VirtualDJ_Database>" + b"<a>" * 300, "inside one another"),
    ],
)
def test_a_damaged_database_stops_reading_but_no_write(dj: VirtualDj, data: bytes, reason: str) -> None:
    (dj.folder / "database.xml").write_bytes(data)
    assert [change.status for change in dj.write({ONE: GREEN})] == [WRITTEN]
    for use in (lambda: list(dj.collection.read()), dj.collection.census):
        with pytest.raises(CollectionError, match=reason):
            use()


def test_without_my_lists_nothing_is_made(tmp_path: Path) -> None:
    dj = VirtualDj(tmp_path)
    (dj.folder / "MyLists").rmdir()
    (change,) = dj.write({ONE: GREEN})
    assert change.status is SKIPPED
    assert "2024" in change.reason
    assert list(dj.folder.iterdir()) == []
    assert [change.status for change in dj.write({ONE: None})] == [WriteStatus.UNCHANGED]


def test_a_path_that_xml_cannot_hold_is_left_out(dj: VirtualDj) -> None:
    done = dj.write({Path("/m/\x01.mp3"): GREEN, Path("/m/\udcff.mp3"): GREEN, ONE: GREEN})
    assert sorted(change.status for change in done) == [SKIPPED, SKIPPED, WRITTEN]
    assert dj.lists() == {"GREEN": [str(ONE)]}


def test_links_that_lead_elsewhere_are_refused(dj: VirtualDj, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    dj.lists_folder.symlink_to(secret)
    with pytest.raises(CollectionError, match="leads out of its folder"):
        dj.write({ONE: GREEN})
    dj.lists_folder.unlink()
    dj.lists_folder.mkdir()
    dj.file("GREEN").symlink_to(secret / "mine.vdjfolder")
    with pytest.raises(CollectionError, match="leads out of its folder"):
        dj.write({ONE: GREEN})
    assert list(secret.iterdir()) == []


def test_a_drive_with_lists_gets_those_of_its_own_tracks(tmp_path: Path) -> None:
    home, usb, bare = tmp_path / "home", tmp_path / "usb", tmp_path / "bare"
    for folder in (
        home / "Documents" / "VirtualDJ" / "MyLists",
        usb / "VirtualDJ" / "MyLists",
        bare / "VirtualDJ",
    ):
        folder.mkdir(parents=True)
    found = TARGET.find(machine(home, tmp_path, usb, bare), VirtualDjSettings())
    held = {
        str(one.path.relative_to(tmp_path)): {
            name for name in ("home", "usb", "bare") if one.holds(tmp_path / name / "a.mp3")
        }
        for one in found
    }
    assert held == {
        "home/Documents/VirtualDJ": {"home", "bare"},
        "usb/VirtualDJ": {"usb"},
        "bare/VirtualDJ": set(),
    }


def test_home_folders_are_found(tmp_path: Path) -> None:
    there = {"Documents/VirtualDJ", "Library/Application Support/VirtualDJ", "AppData/Local/VirtualDJ"}
    assert TARGET.find(machine(tmp_path), VirtualDjSettings()) == []
    for name in there | {"mine"}:
        (tmp_path / name).mkdir(parents=True)
    found = TARGET.find(machine(tmp_path), VirtualDjSettings())
    assert {str(one.path.relative_to(tmp_path)) for one in found} == there
    (one,) = TARGET.find(machine(tmp_path), VirtualDjSettings(folder=str(tmp_path / "mine")))
    assert one.path == tmp_path / "mine"
    assert TARGET.open(tmp_path / "mine", machine(tmp_path), VirtualDjSettings()).path == tmp_path / "mine"


def test_no_colour_is_settled_as_none_is_written(dj: VirtualDj) -> None:
    assert dict(dj.collection.colours) == {}
    assert TARGETS["virtualdj"].carries == {LIST}


def test_the_settings_name_the_colours(tmp_path: Path) -> None:
    toml = tmp_path / "settings.toml"
    toml.write_text('[virtualdj]\nyellow = "ff8800"\n')
    assert load_settings(toml).virtualdj.colours == {
        Zone.YELLOW: str(0xFFFF8800),
        Zone.GREEN: "4278255360",
        Zone.PURPLE: "4287103180",
    }
    assert COLOURS[Zone.YELLOW] == "4294967040"
    for line, reason in (
        ('yellow = "00ff00"', "three colours"),
        ('green = "lime"', "six hexadecimal digits"),
    ):
        toml.write_text(f"[virtualdj]\n{line}\n")
        with pytest.raises(UsageError, match=reason):
            load_settings(toml)


def test_census_counts_the_database(dj: VirtualDj) -> None:
    dj.put_database(
        song(ONE, colour="4294967040", comment="8A - 7"),
        song(TWO, comment="#classic"),
        song(THREE, colour="0"),
    )
    dj.write({ONE: GREEN})
    census = dj.collection.census()
    assert census.tracks == 3
    assert census.colours == {"4294967040": 1}
    assert census.comments == {MIXED_IN_KEY: 1, "#classic": 1}
    assert census.energies == {ONE: 7}
    assert census.lists == ("GREEN",)


@given(st.text())
def test_a_path_of_a_list_is_absolute_or_none(text: str) -> None:
    path = path_of(text)
    assert path is None or path.is_absolute()


names = st.text(st.characters(exclude_characters="/\0", codec="utf-8"), min_size=1, max_size=9).filter(
    lambda name: (
        name not in {".", ".."} and all(letter >= " " and letter not in "\ufffe\uffff" for letter in name)
    )
)


@given(st.lists(names.map(lambda name: Path("/m") / name), min_size=1, max_size=5, unique=True))
def test_what_is_added_is_read_and_taken_out_again(paths: list[Path]) -> None:
    songs = SongList()
    songs.edit([], [Want(path, GREEN) for path in paths])
    data = songs.to_bytes()
    assert data is not None
    assert list(SongList(data).tracks()) == paths
    emptied = SongList(data)
    emptied.edit(paths, [])
    assert emptied.to_bytes() is None
