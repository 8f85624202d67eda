"""Labels are read from whatever users have them in."""

from __future__ import annotations

import csv
import io
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import mutagen
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from exporters.tags.edit import apply_mark
from moodzone_agent.errors import DataSetError, LibraryError, UsageError
from moodzone_agent.features.spec import FEATURE_NAMES, FEATURES_VERSION
from moodzone_agent.library.records import Analysis, FileRecord, FileStatus, Stamp
from moodzone_agent.library.store import Library
from moodzone_agent.types import ZONES, Label, LabelOrigin, Mark, MarkState, Zone
from tests.trainer.music import make_track
from trainer.datasets.labels import GivenLabel, LabelFile, locate, parse_aliases, read_labels, read_paths
from trainer.datasets.user import Places

YELLOW, GREEN, PURPLE = ZONES


def read(path: Path, text: str | None = None, *aliases: str, encoding: str = "utf-8") -> LabelFile:
    if text is not None:
        path.write_bytes(text.encode(encoding))
    return read_labels(path, aliases=parse_aliases(aliases))


def pairs(labels: LabelFile) -> list[tuple[str, Zone]]:
    return [(str(label.path), label.zone) for label in labels.labels]


# Tables.


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "path,zone\nHouse/one.mp3,yellow\n/music/two.mp3,Purple\n"),
        ("a.csv", "Zone;Artist;File\nYELLOW;x;House/one.mp3\nPURPLE;y;/music/two.mp3\n"),
        ("a.tsv", "House/one.mp3\tYellow\n/music/two.mp3\tPURPLE\n"),
        ("a.txt", "yellow,House/one.mp3\r\npurple,/music/two.mp3\r\n"),
        ("a.txt", "\n#Yellow;House/one.mp3\n\n#Purple;/music/two.mp3\n"),
    ],
)
def test_tables_with_and_without_header(tmp_path: Path, name: str, text: str) -> None:
    labels = read(tmp_path / name, text)
    assert pairs(labels) == [("House/one.mp3", YELLOW), ("/music/two.mp3", PURPLE)]
    assert {label.origin for label in labels.labels} == {LabelOrigin.IMPORTED}


EXPORT = [
    ["BPM", "Key", "Zone", "Artist", "Track Title", "Location"],
    ["125.00", "8A", "YELOW", "Somebody", '"12 Inch', "D:\\Music\\House\\one.mp3"],
    ["128.00", "9A", "Purple", "Somebody", 'Two "Live"', "D:\\Music\\two.mp3"],
    ["128.00", "9A", "", "Nobody", "Three", "D:\\Music\\three.mp3"],
    ["130.00", "9A", "YELOW", "Ünder", '"Four"', "D:\\Music\\four.mp3"],
]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-8", "utf-8-sig"])
def test_text_export_of_dj_software(tmp_path: Path, encoding: str) -> None:
    """Unquoted, although titles hold quotes."""
    text = "".join("\t".join(row) + "\r\n" for row in EXPORT)
    labels = read(tmp_path / "history.txt", text, "Yelow=yellow", encoding=encoding)
    labels.check()
    assert labels.without_zone == 1
    assert labels.labels == (
        GivenLabel(
            YELLOW,
            LabelOrigin.IMPORTED,
            "history.txt:2",
            Path("D:\\Music\\House\\one.mp3"),
            "Somebody",
            '"12 Inch',
        ),
        GivenLabel(
            PURPLE,
            LabelOrigin.IMPORTED,
            "history.txt:3",
            Path("D:\\Music\\two.mp3"),
            "Somebody",
            'Two "Live"',
        ),
        GivenLabel(
            YELLOW, LabelOrigin.IMPORTED, "history.txt:5", Path("D:\\Music\\four.mp3"), "Ünder", '"Four"'
        ),
    )


def test_misspelt_zones_are_reported_with_the_cure(tmp_path: Path) -> None:
    labels = read(tmp_path / "a.csv", "path,zone\na.mp3,YELOW\nb.mp3,warm up\nc.mp3,YELOW\nd.mp3,green\n")
    assert pairs(labels) == [("d.mp3", GREEN)]
    with pytest.raises(DataSetError, match="unknown zones") as caught:
        labels.check()
    assert "'YELOW' (2 times, first at a.csv:2)" in str(caught.value)
    assert '--alias "YELOW=YELLOW"' in str(caught.value)
    assert '--alias "warm up=ZONE"' in str(caught.value)
    cured = read(tmp_path / "a.csv", None, "yelow=YELLOW", "Warm  Up=none")
    cured.check()
    assert [zone for _, zone in pairs(cured)] == [YELLOW, YELLOW, GREEN]
    assert cured.without_zone == 1


def test_an_own_mapping_may_exchange_zones(tmp_path: Path) -> None:
    folder = tmp_path / "labels"
    make_track(folder / "Yellow" / "one.flac", 1)
    (tmp_path / "a.csv").write_text("path,zone\na.mp3,yellow\nb.mp3,2\n")
    aliases = ("yellow=PURPLE", "2=green")
    assert pairs(read(tmp_path / "a.csv", None, *aliases)) == [("a.mp3", PURPLE), ("b.mp3", GREEN)]
    assert [label.zone for label in read(folder, None, *aliases).labels] == [PURPLE]


@pytest.mark.parametrize("option", ["YELOW", "=yellow", "a=blue", "a="])
def test_aliases_that_say_nothing_are_refused(option: str) -> None:
    with pytest.raises(UsageError, match="WORD=ZONE"):
        parse_aliases([option])


def test_what_else_a_table_may_tell(tmp_path: Path) -> None:
    text = (
        "path,zone,origin,source,audio_id,Time\n"
        "file://localhost/Users/dj/B%c3%a4r%20%26%20x.mp3,GREEN,corrected,cli,abc,3:45\n"
        ",PURPLE,weak,tags,def,\n"
    )
    first, second = read(tmp_path / "a.csv", text).labels
    assert first.path == Path("/Users/dj/Bär & x.mp3")
    assert (first.origin, first.audio_id, first.duration) == (LabelOrigin.CORRECTED, "abc", 225.0)
    assert (second.origin, second.path, second.audio_id) == (LabelOrigin.WEAK, None, "def")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "empty"),
        ("a.mp3,b,c\n", "without a header"),
        ("some words\nand more\n", "without a header"),
        ("a.mp3,blue note\nb.mp3,bossa\n", "names no zone"),
        ("path,zone,origin\na.mp3,green,heard\n", "a.csv:2: the origin 'heard' is none of asked"),
        ("path,zone\na.mp3,gr\0een\n", "no text"),
    ],
)
def test_tables_that_make_no_sense_say_what_would(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(DataSetError, match=complaint):
        read(tmp_path / "a.csv", text)


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataSetError, match="no kind that holds labels"):
        read(tmp_path / "a.nml", "<NML/>")
    with pytest.raises(DataSetError, match="cannot be read"):
        read(tmp_path / "nothing.csv")
    (tmp_path / "cut.txt").write_bytes("Zone\tLocation\r\nGREEN\ta.mp3".encode("utf-16")[:-1])
    with pytest.raises(DataSetError, match="cut off"):
        read(tmp_path / "cut.txt")


NAMES = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], include_characters=["\t", "\n", "\r", '"']), min_size=1
)
ROWS = st.lists(st.tuples(NAMES, st.sampled_from(ZONES), st.sampled_from([str.lower, str.title, str.upper])))


@settings(deadline=None)
@given(
    rows=ROWS,
    header=st.booleans(),
    delimiter=st.sampled_from("\t,;"),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
def test_any_table_comes_back(rows: list, header: bool, delimiter: str, encoding: str, quoting: int) -> None:  # type: ignore[type-arg]
    # Where a cell holds a tab and a line's end, a table written by a spreadsheet can't be told from an export
    # that quotes nothing.
    assume(not any("\t" in name and "\n" in name for name, _, _ in rows))
    assume(all(name.strip() and "://" not in name and not name.startswith("file:/") for name, _, _ in rows))
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=delimiter, quoting=quoting)
    if header:
        writer.writerow(["Location", "Zone"])
    else:
        assume(rows and not any(other in name for name, _, _ in rows for other in "\t,;"))
    writer.writerows((name, case(zone)) for name, zone, case in rows)
    with TemporaryDirectory() as folder:
        labels = read(Path(folder) / "a.txt", text.getvalue(), encoding=encoding)
    assert labels.unknown == ()
    assert [(label.path, label.zone) for label in labels.labels] == [
        (Path(name), zone) for name, zone, _ in rows
    ]


@settings(deadline=None)
@given(st.binary(max_size=200), st.sampled_from([".csv", ".txt", ".m3u8", ".xml", ".sqlite"]))
def test_any_bytes_are_read_or_refused(data: bytes, ending: str) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"yellow{ending}"
        path.write_bytes(data)
        with suppress(DataSetError, LibraryError):
            read(path)
        assert path.read_bytes() == data


# Folders and tags.


def test_a_folder_for_each_zone(tmp_path: Path) -> None:
    for seed, name in enumerate(["01 Yellow/a.flac", "PURPLE tracks/deep/b.flac", "other/c.flac"]):
        make_track(tmp_path / name, seed)
    (tmp_path / "01 Yellow" / "cover.jpg").write_bytes(b"")
    assert pairs(read(tmp_path)) == [
        (str(tmp_path / "01 Yellow" / "a.flac"), YELLOW),
        (str(tmp_path / "PURPLE tracks" / "deep" / "b.flac"), PURPLE),
    ]


def test_a_misspelt_folder_is_reported(tmp_path: Path) -> None:
    for seed, name in enumerate(["YELOW/a.flac", "Grey/b.flac"]):
        make_track(tmp_path / name, seed)
    labels = read(tmp_path)
    assert labels.labels == ()
    with pytest.raises(DataSetError, match='--alias "YELOW=YELLOW"'):
        labels.check()
    assert pairs(read(tmp_path, None, "yelow=yellow")) == [(str(tmp_path / "YELOW" / "a.flac"), YELLOW)]


def test_tags_hold_labels_but_the_models_word_is_none(tmp_path: Path) -> None:
    paths = {
        name: make_track(tmp_path / f"{name}.flac", seed, artist="Somebody", title=name)
        for seed, name in enumerate(["labelled", "rated", "none"])
    }
    apply_mark(paths["labelled"], Mark(GREEN, MarkState.LABELLED))
    apply_mark(paths["rated"], Mark(PURPLE, MarkState.RATED))
    labels = read(tmp_path)
    assert labels.labels == (
        GivenLabel(
            GREEN,
            LabelOrigin.IMPORTED,
            str(paths["labelled"]),
            paths["labelled"],
            "Somebody",
            "labelled",
        ),
    )
    assert labels.without_zone == 2


@pytest.mark.parametrize(("comment", "zones"), [("8A - 7 #purple", [PURPLE]), ("8A - 7 #PURPLE?", [])])
def test_a_token_that_the_user_typed_is_a_label(tmp_path: Path, comment: str, zones: list[Zone]) -> None:
    path = make_track(tmp_path / "a.flac", 1)
    tags = mutagen.File(path)
    tags["comment"] = comment
    tags.save()
    assert [label.zone for label in read(tmp_path).labels] == zones


def test_a_folder_without_music_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataSetError, match="holds no music"):
        read(tmp_path)


# Playlists.


def test_playlists_are_named_by_their_zone(tmp_path: Path) -> None:
    text = (
        "#EXTM3U\r\n#EXTINF:225,Some Body - A - B\r\n../House/one.mp3\r\n"
        "# a remark\r\nfile:///music/two%20three.mp3\r\nhttps://radio.example/stream\r\n"
    )
    labels = read(tmp_path / "MoodZone PURPLE.m3u8", text, encoding="utf-8-sig")
    assert labels.without_zone == 1
    first, second = labels.labels
    assert (first.path, first.artist, first.title, first.duration) == (
        Path("../House/one.mp3"),
        "Some Body",
        "A - B",
        225.0,
    )
    assert (second.path, second.title, second.zone) == (Path("/music/two three.mp3"), "", PURPLE)


@pytest.mark.parametrize("name", ["Sunday", "yellow to green", "greenhouse"])
def test_a_playlists_name_must_say_one_zone(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataSetError, match="--alias"):
        read(tmp_path / f"{name}.m3u", "one.mp3\n")


def test_an_own_word_in_a_playlists_name(tmp_path: Path) -> None:
    assert pairs(read(tmp_path / "Warm_up 2024.m3u", "one.mp3\n", "warm up=yellow")) == [("one.mp3", YELLOW)]


XML = """<?xml version="1.0" encoding="UTF-8"?>
<DJ_PLAYLISTS Version="1.0.0"><COLLECTION Entries="4">
<TRACK TrackID="1" Name="One" Artist="Somebody" TotalTime="172" Location="file://localhost/C:/Music/%5bx%5d%20one.mp3"/>
<TRACK TrackID="2" Name="Two" Artist="" TotalTime="0" Location="file://localhost/Users/dj/two%20%c3%a4.mp3"/>
<TRACK TrackID="3" Name="Far" Artist="" TotalTime="9" Location="file://localhostspotify:track:77"/>
</COLLECTION><PLAYLISTS><NODE Type="0" Name="ROOT" Count="2">
<NODE Name="Purple" Type="0" Count="2">
<NODE Name="Peak" Type="1" KeyType="0" Entries="2"><TRACK Key="1"/><TRACK Key="3"/></NODE>
<NODE Name="yellow / green" Type="1" KeyType="0" Entries="1"><TRACK Key="1"/></NODE>
</NODE>
<NODE Name="My Green" Type="1" KeyType="1" Entries="2">
<TRACK Key="file://localhost/Users/dj/two%20%c3%a4.mp3"/><TRACK Key="file://localhost/gone.mp3"/></NODE>
</NODE></PLAYLISTS></DJ_PLAYLISTS>
"""


def test_rekordbox_playlists(tmp_path: Path) -> None:
    labels = read(tmp_path / "rekordbox.xml", XML)
    assert labels.without_zone == 2
    assert labels.labels == (
        GivenLabel(
            PURPLE,
            LabelOrigin.IMPORTED,
            "rekordbox.xml:Peak[1]",
            Path("C:/Music/[x] one.mp3"),
            "Somebody",
            "One",
            172.0,
        ),
        GivenLabel(
            GREEN, LabelOrigin.IMPORTED, "rekordbox.xml:My Green[1]", Path("/Users/dj/two ä.mp3"), "", "Two"
        ),
    )


def test_a_misspelt_playlist_of_rekordbox_is_reported(tmp_path: Path) -> None:
    text = XML.replace("My Green", "GREN")
    with pytest.raises(DataSetError, match='--alias "GREN=GREEN"'):
        read(tmp_path / "rekordbox.xml", text).check()
    assert [label.zone for label in read(tmp_path / "rekordbox.xml", text, "gren=none").labels] == [PURPLE]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (XML.replace("Purple", "Loud").replace("My Green", "Calm"), r"there are: Peak, yellow / green, Calm"),
        (XML[:-60], "complete XML"),
        ("<NML/>", "not rekordbox"),
        (
            XML.replace("<DJ_P", '<!DOCTYPE x [<!ENTITY a "b">]><DJ_P', 1),
            "document type",
        ),
    ],
)
def test_other_xml_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(DataSetError, match=complaint):
        read(tmp_path / "rekordbox.xml", text)


@pytest.mark.shared
def test_a_real_rekordbox_export(shared: Path) -> None:
    path = shared / "fixtures" / "dj" / "rekordbox" / "rekordbox5" / "database.xml"
    with pytest.raises(DataSetError, match="there are: Sub Playlist, Playlist1"):
        read(path)
    labels = read(path, None, "sub playlist=yellow", "playlist1=purple")
    folder = Path("C:/Music/PioneerDJ/Demo Tracks")
    assert [(label.path, label.zone, label.title, label.duration) for label in labels.labels] == [
        (folder / f"Demo Track {number}.mp3", zone, f"Demo Track {number}", seconds)
        for zone in (YELLOW, PURPLE)
        for number, seconds in ((1, 172.0), (2, 128.0))
    ]


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("file://localhost/D:/a%20b.mp3", "D:/a b.mp3"),
        ("file:///music/%ff.mp3", "/music/\udcff.mp3"),
        ("file://nas/share/a.mp3", "//nas/share/a.mp3"),
        ("C:\\Music\\a.mp3", "C:\\Music\\a.mp3"),
        ("Mix: a.mp3", "Mix: a.mp3"),
    ],
)
def test_locations(text: str, path: str) -> None:
    assert locate(text) == Path(path)


def test_lists_of_paths(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text("# some\none.mp3\n\n/music/two.mp3\n", encoding="utf-16")
    assert read_paths(path) == [tmp_path / "one.mp3", Path("/music/two.mp3")]


# The agent's library.


def test_the_agents_library_tells_how_labels_came(tmp_path: Path) -> None:
    path = tmp_path / "library.sqlite"
    with Library.open(path) as library:
        library.add_label(Label("a", YELLOW, LabelOrigin.ASKED, "cli", 1))
        library.add_label(Label("a", PURPLE, LabelOrigin.CORRECTED, "cli", 2))
        library.add_label(Label("b", GREEN, LabelOrigin.WEAK, "cli", 3))
        library.add_label(Label("c", GREEN, LabelOrigin.ASKED, "cli", 4))
        library.retract_label("c", "cli", 5)
    labels = read(path)
    assert labels.is_library
    assert sorted((label.audio_id, label.zone, label.origin) for label in labels.labels) == [
        ("a", PURPLE, LabelOrigin.CORRECTED),
        ("b", GREEN, LabelOrigin.WEAK),
    ]


def test_music_that_the_agents_library_knows_is_not_looked_at_again(tmp_path: Path) -> None:
    path = tmp_path / "library.sqlite"
    windows = np.zeros((1, len(FEATURE_NAMES)), np.float32)
    with Library.open(path) as library:
        for name in ("known", "unknown"):
            file = tmp_path / f"{name}.mp3"
            file.write_bytes(b"no music")
            library.put_file(FileRecord(file, Stamp.of(file.stat()), FileStatus.OK, name))
            library.add_label(Label(name, GREEN, LabelOrigin.ASKED, "cli", 1))
        library.put_analysis(Analysis("known", 15.0, 120.0, (), FEATURES_VERSION, windows[0], windows))
        assert list(Places().files(read(path), library)) == [tmp_path / "unknown.mp3"]


def test_a_damaged_library_is_left_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "library.sqlite"
    path.write_bytes(b"SQLite format 3\0" + bytes(200))
    with pytest.raises(LibraryError, match="set the file aside"):
        read(path)
    assert path.read_bytes() == b"SQLite format 3\0" + bytes(200)
