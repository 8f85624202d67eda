"""MP3 with an APEv2 tag, as mutagen writes it: a new ID3v2 tag says what it says, and it stays as it is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import mutagen.id3
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mutagen.apev2 import BINARY, APEv2, APEValue

from exporters.tags.ape import FOOTER, read_items, texts_of_ape
from exporters.tags.edit import TagField, apply_mark, encoded_audio_digest, preview_text, read_state
from exporters.tags.payloads import MARKERS2, write_payloads
from moodzone_agent.errors import TagError
from moodzone_agent.types import Mark, Zone
from tests.exporters.tags.conftest import CopyTone
from tests.exporters.tags.test_id3 import v1

GREEN, PURPLE = Mark(Zone.GREEN), Mark(Zone.PURPLE)
FIELDS = (TagField.COMMENT, TagField.GROUPING, TagField.GENRE, TagField.NONE)
ITEMS = {
    "Title": "Ton",
    "Artist": ["Ärzte", "東京"],
    "ALBUM": "Platte",
    "Album Artist": "Alle",
    "Comment": "8A - 6 Schön",
    "Genre": "House",
    "Grouping": "Festival",
    "Year": "2004-05-06",
    "Track": "3/12",
    "Disc": "1/2",
    "BPM": "128",
    "Composer": "Bach",
    "Label": "Laden",
    "MixArtist": "Mischer",
    "ISRC": "DEA123456789",
    "initialkey": "Am",
    "Compilation": "1",
    "REPLAYGAIN_TRACK_GAIN": "-6.02 dB",
}
FRAMES = {
    "TIT2": "Ton",
    "TPE1": "Ärzte/東京",
    "TALB": "Platte",
    "TPE2": "Alle",
    "COMM::eng": "8A - 6 Schön",
    "TCON": "House",
    "TIT1": "Festival",
    "TYER": "2004",
    "TRCK": "3/12",
    "TPOS": "1/2",
    "TBPM": "128",
    "TCOM": "Bach",
    "TPUB": "Laden",
    "TPE4": "Mischer",
    "TSRC": "DEA123456789",
    "TKEY": "Am",
    "TCMP": "1",
}
"""The frames that say the same."""
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@pytest.fixture
def ape(tone: CopyTone) -> Path:
    """An MP3 whose only tag is APEv2."""
    return with_ape(tone("bare-tone.mp3"), ITEMS)


def with_ape(path: Path, items: Mapping[str, object], back: bytes = b"") -> Path:
    mutagen.id3.delete(path)
    tags = APEv2()
    tags.update(items)
    tags.save(path)
    path.write_bytes(path.read_bytes() + back)
    return path


def frames(path: Path) -> dict[str, str]:
    """What mutagen finds in the ID3v2 tag."""
    tag = mutagen.id3.ID3(path, translate=False, load_v1=False)
    return {name: str(frame) for name, frame in tag.items() if name != "TXXX:MOODZONE"}


def test_before_marking_its_texts_are_known(ape: Path) -> None:
    state = read_state(ape)
    assert (state.artist, state.title, state.text) == ("Ärzte/東京", "Ton", "8A - 6 Schön")
    assert read_state(ape, field=TagField.GENRE).text == "House"
    assert read_state(ape, field=TagField.GROUPING).text == "Festival"


@pytest.mark.parametrize("field", FIELDS)
def test_its_texts_stay_visible_and_its_bytes_stay(field: TagField, ape: Path) -> None:
    before, audio = ape.read_bytes(), encoded_audio_digest(ape)
    preview = preview_text(read_state(ape, field=field), PURPLE)
    assert apply_mark(ape, PURPLE, field=field).text == preview
    shown = {TagField.COMMENT: "COMM::eng", TagField.GROUPING: "TIT1", TagField.GENRE: "TCON"}
    assert frames(ape) == FRAMES | ({shown[field]: preview} if field in shown else {})
    assert ape.read_bytes().endswith(before)
    assert encoded_audio_digest(ape) == audio
    assert list(APEv2(ape)["Artist"]) == ITEMS["Artist"]
    apply_mark(ape, GREEN, field=field)
    apply_mark(ape, None, field=field)
    assert ape.read_bytes() == before


def test_id3v1_says_what_it_leaves_open(tone: CopyTone) -> None:
    path = with_ape(tone("tone.mp3"), {"title": "A title of more than thirty letters"}, v1(comment=b"old"))
    before = path.read_bytes()
    assert read_state(path).title == "A title of more than thirty letters"
    apply_mark(path, PURPLE)
    assert frames(path) == {
        "TIT2": "A title of more than thirty letters",
        "TPE1": "Artist",
        "TALB": "Album",
        "TYER": "1999",
        "COMM::eng": "#PURPLE old",
        "TRCK": "7",
        "TCON": "(17)",
    }
    apply_mark(path, None)
    assert path.read_bytes() == before


def test_beside_id3v2_it_is_not_looked_at(tone: CopyTone) -> None:
    path = tone("tone.mp3")
    tags = APEv2()
    tags["Comment"] = "#GREEN"
    tags.save(path)
    before = path.read_bytes()
    assert apply_mark(path, PURPLE).text == "#PURPLE"
    apply_mark(path, None)
    assert path.read_bytes() == before


def test_a_token_of_the_users_in_it_is_seen(tone: CopyTone) -> None:
    path = with_ape(tone("bare-tone.mp3"), {"Comment": ["8A", "#green closing"]})
    before = path.read_bytes()
    assert read_state(path).user_tokens == (GREEN,)
    with pytest.raises(TagError, match="comment says #GREEN"):
        apply_mark(path, PURPLE)
    assert path.read_bytes() == before
    assert apply_mark(path, GREEN).text == "8A/#green closing"
    apply_mark(path, None)
    assert path.read_bytes() == before


def test_payloads_come_with_its_texts_and_go_again(ape: Path) -> None:
    before = ape.read_bytes()
    write_payloads(ape, {MARKERS2: b"\1\1abc"})
    assert frames(ape).items() >= FRAMES.items()
    write_payloads(ape, {MARKERS2: None})
    assert ape.read_bytes() == before


def test_of_several_keys_for_one_frame_the_first_counts(tone: CopyTone) -> None:
    path = with_ape(tone("bare-tone.mp3"), {"Publisher": "P", "Label": "L", "Key": "Am", "Remixer": ""})
    apply_mark(path, PURPLE)
    assert frames(path) == {"TPUB": "L", "TKEY": "Am", "COMM::eng": "#PURPLE"}


def test_items_without_text_or_frame_are_left_alone(tone: CopyTone) -> None:
    path = with_ape(
        tone("bare-tone.mp3"),
        {"Title": APEValue(b"\xff\xd8", BINARY), "MP3GAIN_MINMAX": "1,2", "Artist": " "},
    )
    apply_mark(path, PURPLE)
    assert frames(path) == {"TPE1": " ", "COMM::eng": "#PURPLE"}


def test_malformed_one_is_refused_where_a_new_tag_would_hide_it(ape: Path) -> None:
    data = bytearray(ape.read_bytes())
    data[len(data) - 16] += 1  # one item more than there are
    ape.write_bytes(data)
    assert read_state(ape).title == ""
    assert apply_mark(ape, None).mark is None
    with pytest.raises(TagError, match="APEv2 tag is malformed"):
        apply_mark(ape, PURPLE)
    assert ape.read_bytes() == data
    mutagen.id3.ID3().save(ape)
    tags = mutagen.id3.ID3(ape)
    tags.add(mutagen.id3.TIT2(encoding=3, text="New"))
    tags.save(ape)
    before = ape.read_bytes()
    assert apply_mark(ape, PURPLE).title == "New"
    apply_mark(ape, None)
    assert ape.read_bytes() == before


@pytest.fixture(scope="module")
def block(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("ape") / "ape"
    path.write_bytes(b"")
    return with_ape(path, ITEMS).read_bytes()


def test_cut_off_anywhere(block: bytes) -> None:
    for end in range(len(block)):
        with pytest.raises(TagError):
            read_items(block[:end])
    for start in range(FOOTER + 1, len(block)):
        try:
            read_items(block[start:])
        except TagError:
            continue
    assert read_items(block[FOOTER:]) == read_items(block)


@given(data=st.data())
def test_bytes_changed_anywhere(block: bytes, data: st.DataObject) -> None:
    damaged = bytearray(block)
    changes = st.tuples(st.integers(0, len(block) - 1), st.integers(0, 255))
    for place, value in data.draw(st.lists(changes, min_size=1, max_size=6)):
        damaged[place] = value
    try:
        assert all(texts_of_ape(bytes(damaged)).values())
    except TagError:
        return


@given(body=st.binary(max_size=120), count=st.integers(0, 2**32 - 1))
def test_any_bytes_before_a_footer(body: bytes, count: int) -> None:
    footer = b"APETAGEX" + (2000).to_bytes(4, "little") + (len(body) + FOOTER).to_bytes(4, "little")
    footer += count.to_bytes(4, "little") + bytes(12)
    try:
        read_items(body + footer)
    except TagError:
        return


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    items=st.dictionaries(
        st.sampled_from([*ITEMS, "Publisher", "Lyrics"]),
        st.lists(TEXTS, min_size=1, max_size=3),
        min_size=1,
    )
)
def test_items_are_those_that_mutagen_wrote(items: dict[str, list[str]], tmp_path: Path) -> None:
    path = tmp_path / "ape"
    path.write_bytes(b"")
    expected = {
        key.lower(): "/".join(filter(None, "\0".join(values).split("\0"))) for key, values in items.items()
    }
    assert read_items(with_ape(path, items).read_bytes()) == expected


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(items=st.dictionaries(st.sampled_from(list(ITEMS)), TEXTS, min_size=1), field=st.sampled_from(FIELDS))
def test_any_texts_survive_mark_and_removal(
    items: dict[str, str], field: TagField, tones: Path, tmp_path: Path
) -> None:
    path = tmp_path / "a.mp3"
    path.write_bytes((tones / "bare-tone.mp3").read_bytes())
    before = with_ape(path, items).read_bytes()
    state = read_state(path, field=field)
    after = apply_mark(path, PURPLE, field=field)
    assert (after.artist, after.title) == (state.artist, state.title)
    apply_mark(path, None, field=field)
    assert path.read_bytes() == before
