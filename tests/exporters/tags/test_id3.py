"""ID3 as other programs write it, down to what mutagen would lose."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import mutagen.id3
import pytest
from mutagen.apev2 import APEv2

from exporters.tags.edit import TagField, apply_mark, encoded_audio_digest, read_state
from exporters.tags.id3 import Id3Tag, frames_of, texts_of_v1
from moodzone_agent.errors import TagError
from moodzone_agent.types import Mark, MarkState, Zone
from tests.exporters.tags.conftest import CopyTone

PURPLE = Mark(Zone.PURPLE)
MakeMp3 = Callable[..., Path]


def synchsafe(length: int) -> bytes:
    return bytes(length >> shift & 0x7F for shift in (21, 14, 7, 0))


def frame(
    name: str, payload: bytes, *, version: int = 3, flags: bytes = b"\0\0", plain: bool = False
) -> bytes:
    if version == 2:
        return name.encode() + len(payload).to_bytes(3, "big") + payload
    size = synchsafe(len(payload)) if version == 4 and not plain else len(payload).to_bytes(4, "big")
    return name.encode() + size + flags + payload


def tag(*frames: bytes, version: int = 3, padding: int = 0, flags: int = 0) -> bytes:
    body = b"".join(frames) + bytes(padding)
    return b"ID3" + bytes((version, 0, flags)) + synchsafe(len(body)) + body


def v1(title: bytes = b"Old", artist: bytes = b"Artist", comment: bytes = b"", genre: int = 17) -> bytes:
    fields = ((title, 30), (artist, 30), (b"Album", 30), (b"1999", 4), (comment, 28), (b"\0\x07", 2))
    return b"TAG" + b"".join(text.ljust(length, b"\0") for text, length in fields) + bytes([genre])


FOREIGN = (
    frame("GEOB", b"\0application/octet-stream\0\0Serato Markers2\0\1\1abc"),
    frame("GEOB", b"\1application/octet-stream\0\0\0\xff\xfeS\0e\0r\0a\0t\0o\0\0\0\1\1abc"),
    frame("GEOB", b"\0application/octet-stream\0\0Serato Markers2\0\1\1abc"),
    frame("COMM", b"\0engiTunNORM\0 00000A00 #GREEN"),
    frame("TXXX", b"\0KEY\x008A"),
    frame("TXXX", b"\0KEY\x009A"),
    frame("TIT2", b""),
    frame("TYER", b"\x001999"),
    frame("TCON", b"\0(17)"),
    frame("RVAD", b"\3\x10\0\0\0\0"),
    frame("IPLS", b"\0mix\0Fred\0"),
    frame("POPM", b"a@b\0\xff\0\0\0\1"),
    frame("PRIV", b"TRAKTOR4\0\xff\xe0\0\xff\0"),
    frame("ENCR", b"x\0\x80", flags=b"\0\x40"),
    frame("COM ", b"what iTunes leaves"),
    frame("APIC", b"\0image/png\0\3\0\x89PNG" + bytes(300)),
)


@pytest.fixture
def mp3(tone: CopyTone) -> MakeMp3:
    """``mp3(front, back)`` is MP3 audio between tags."""
    path = tone("bare-tone.mp3")
    audio = path.read_bytes()
    audio = audio[10 + int.from_bytes(audio[6:10], "big") :]
    assert audio[0] == 0xFF

    def make(front: bytes = b"", back: bytes = b"") -> Path:
        path.write_bytes(front + audio + back)
        return path

    return make


def round_trip(path: Path, field: TagField = TagField.COMMENT) -> bytes:
    """Write and take out a mark; the bytes in between."""
    before = path.read_bytes()
    state = apply_mark(path, PURPLE, field=field)
    assert (state.mark, state.token) == (PURPLE, PURPLE)
    marked = path.read_bytes()
    assert apply_mark(path, None, field=field).mark is None
    assert path.read_bytes() == before
    return marked


@pytest.mark.parametrize("padding", [0, 20, 500, 1024, 5000])
@pytest.mark.parametrize("field", list(TagField)[:3])
def test_foreign_frames_stay_byte_for_byte(padding: int, field: TagField, mp3: MakeMp3) -> None:
    others = [part for part in FOREIGN if field is not TagField.GENRE or not part.startswith(b"TCON")]
    path = mp3(tag(*FOREIGN, padding=padding))
    size = path.stat().st_size
    marked = round_trip(path, field)
    place = 0
    for part in others:
        place = marked.index(part, place) + len(part)
    assert len(marked) == size if padding >= 500 else len(marked) > size


def test_only_the_comment_without_description_is_used(mp3: MakeMp3) -> None:
    path = mp3(tag(*FOREIGN))
    assert read_state(path).token is None
    assert apply_mark(path, PURPLE).text == "#PURPLE"
    assert mutagen.id3.ID3(path)["COMM:iTunNORM:eng"].text == [" 00000A00 #GREEN"]


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (b"\0deu\0sch\xf6n", b"\0deu\0#PURPLE sch\xf6n"),
        (b"\0XXX\0twice\0\0", b"\0XXX\0#PURPLE twice\0\0"),
        (
            b"\1eng\xff\xfe\0\0\xff\xfeh\0i\0\0\0",
            b"\1eng\xff\xfe\0\0\xff\xfe" + "#PURPLE hi\0".encode("utf-16-le"),
        ),
        (b"\1eng\xfe\xff\0\0\xfe\xff\0h\0i", b"\1eng\xfe\xff\0\0\xfe\xff" + "#PURPLE hi".encode("utf-16-be")),
        (b"\1eng\0\0\xff\xfeh\0i\0\0", b"\1eng\0\0\xff\xfe" + "#PURPLE hi".encode("utf-16-le") + b"\0"),
        (b"\3eng\0\xc3\xa9", b"\3eng\0#PURPLE \xc3\xa9"),
        (b"\3eng\0\xe9", b"\3eng\0#PURPLE \xe9"),
        (b"\0eng\0", b"\0eng\0#PURPLE"),
    ],
)
def test_comment_keeps_encoding_language_and_terminators(
    payload: bytes, expected: bytes, mp3: MakeMp3
) -> None:
    path = mp3(tag(frame("COMM", payload), *FOREIGN, padding=500))
    assert frame("COMM", expected) in round_trip(path)


@pytest.mark.parametrize("field", list(TagField)[:3])
@pytest.mark.parametrize("version", [3, 4])
def test_a_text_that_cannot_be_read_is_not_hidden_by_a_new_one(
    field: TagField, version: int, mp3: MakeMp3
) -> None:
    name = {TagField.COMMENT: "COMM", TagField.GROUPING: "GRP1", TagField.GENRE: "TCON"}[field]
    for flags, payload in ((b"\0\x80" if version == 3 else b"\0\x08", b"packed"), (b"\0\0", b"\x09eng\0odd")):
        path = mp3(tag(frame(name, payload, version=version, flags=flags), version=version, padding=500))
        before = path.read_bytes()
        assert (read_state(path, field=field).text, apply_mark(path, None, field=field).mark) == ("", None)
        with pytest.raises(TagError, match=str(field)):
            apply_mark(path, PURPLE, field=field)
        assert path.read_bytes() == before
        round_trip(path, TagField.GENRE if field is TagField.COMMENT else TagField.COMMENT)
    round_trip(mp3(tag(frame(name, b"", version=version), version=version, padding=500)), field)


def test_a_token_copied_into_a_comment_of_another_language_goes_with_ours(mp3: MakeMp3) -> None:
    path = mp3(tag(frame("COMM", b"\0eng\x008A"), frame("COMM", b"\0deu\0mein"), padding=500))
    before = path.read_bytes()
    apply_mark(path, PURPLE)
    marked = path.read_bytes()
    assert marked.count(b"#PURPLE") == 1
    path.write_bytes(mp3_with_token_in_both(marked))
    assert apply_mark(path, Mark(Zone.GREEN)).tokens == (Mark(Zone.GREEN),) * 2
    assert b"#PURPLE" not in path.read_bytes()
    assert apply_mark(path, None).tokens == ()
    assert path.read_bytes() == before


def mp3_with_token_in_both(marked: bytes) -> bytes:
    """What another program makes of it that copies one comment's token into the other; padding shrinks."""
    plain, more = frame("COMM", b"\0deu\0mein"), frame("COMM", b"\0deu\0#PURPLE mein")
    end = 10 + int.from_bytes(marked[8:10], "big") % 128 + (marked[8] << 7)
    assert marked[end - 8 : end] == bytes(8)
    return (marked[: end - 8] + marked[end:]).replace(plain, more)


def test_grouping_is_grp1_else_tit1(mp3: MakeMp3) -> None:
    both = frame("TIT1", b"\0work"), frame("GRP1", b"\0group")
    path = mp3(tag(*both, padding=500))
    marked = round_trip(path, TagField.GROUPING)
    assert both[0] in marked
    assert frame("GRP1", b"\0#PURPLE group") in marked
    assert frame("TIT1", b"\0#PURPLE work") in round_trip(mp3(tag(both[0], padding=500)), TagField.GROUPING)
    assert frame("TIT1", b"\0#PURPLE") in round_trip(mp3(tag(padding=500)), TagField.GROUPING)


def test_version_is_kept(mp3: MakeMp3) -> None:
    for version, title, own in ((2, "TT2", b"TXX"), (3, "TIT2", b"TXXX"), (4, "TIT2", b"TXXX")):
        path = mp3(tag(frame(title, b"\0Name", version=version), version=version, padding=300))
        marked = round_trip(path)
        assert marked[3] == version
        assert own in marked
        apply_mark(path, PURPLE)
        seen = mutagen.id3.ID3(path)
        assert seen["TXXX:MOODZONE"].text == [PURPLE.field]
        assert seen["COMM::eng"].text == ["#PURPLE"]
        assert read_state(path).title == "Name"


def test_file_without_tag_gets_v23_and_loses_it_again(mp3: MakeMp3) -> None:
    marked = round_trip(mp3())
    assert marked[:4] == b"ID3\3"


@pytest.mark.parametrize("padding", [0, 10, 300, 1024])
def test_tag_without_frames_stays(padding: int, mp3: MakeMp3) -> None:
    if padding:
        round_trip(mp3(tag(padding=padding)))
    apply_mark(mp3(tag(padding=padding)), PURPLE)


@pytest.mark.parametrize("padding", range(40, 80, 3))
def test_entry_that_we_made_goes_to_the_front_with_our_own_field(padding: int, mp3: MakeMp3) -> None:
    path = mp3(tag(frame("TIT2", b"\0Name"), frame("TPE1", b"\0Artist"), padding=padding))
    before = path.read_bytes()
    for mark in (Mark(Zone.GREEN), Mark(Zone.YELLOW), Mark(Zone.YELLOW, MarkState.LABELLED), PURPLE):
        apply_mark(path, mark)
    apply_mark(path, None)
    assert path.read_bytes() == before


def test_text_of_id3v1_stays_visible(mp3: MakeMp3) -> None:
    path = mp3(back=v1(comment=b"from v1"))
    assert read_state(path).artist == "Artist"
    assert read_state(path).text == "from v1"
    marked = round_trip(path)
    assert marked.endswith(v1(comment=b"from v1"))
    apply_mark(path, PURPLE)
    seen = mutagen.id3.ID3(path, load_v1=False)
    assert [str(seen[name]) for name in ("TIT2", "TPE1", "TALB", "TDRC", "TRCK", "TCON")] == [
        "Old", "Artist", "Album", "1999", "7", "Rock",
    ]  # fmt: skip
    assert seen["COMM::eng"].text == ["#PURPLE from v1"]


def test_title_edited_meanwhile_is_not_taken_out(mp3: MakeMp3) -> None:
    path = mp3(back=v1())
    apply_mark(path, PURPLE)
    seen = mutagen.id3.ID3(path)
    seen.add(mutagen.id3.TIT2(encoding=3, text="New"))
    seen.save(path, v2_version=3, v1=0)
    apply_mark(path, None)
    assert read_state(path).title == "New"


def test_tags_behind_the_audio_and_further_ones_in_front_stay(mp3: MakeMp3, tmp_path: Path) -> None:
    plain = encoded_audio_digest(mp3())
    ape = tmp_path / "ape"
    ape.write_bytes(b"")
    gain = APEv2()
    gain["MP3GAIN_MINMAX"] = "1,2"
    gain.save(ape)
    lyrics = b"LYRICSBEGININD0000200"
    lyrics += b"%06dLYRICS200" % len(lyrics)
    second = tag(frame("TIT2", b"\0Second"), padding=7)
    back = ape.read_bytes() + lyrics + v1()
    path = mp3(tag(*FOREIGN, padding=30) + second, back)
    assert encoded_audio_digest(path) == plain
    marked = round_trip(path)
    assert second in marked
    assert marked.endswith(back)


def test_whole_tag_unsynchronisation_is_kept(mp3: MakeMp3) -> None:
    for version in (2, 3):
        name, own = ("GEO", "COM") if version == 2 else ("GEOB", "COMM")
        body = frame(name, b"\0m\0f\0d\0\xff\xe0\xff\0\xff", version=version)
        body += frame(own, b"\1eng\xff\xfe\0\0\xff\xfeh\0i\0", version=version)
        safe = (
            body.replace(b"\xff\0", b"\xff\0\0")
            .replace(b"\xff\xe0", b"\xff\0\xe0")
            .replace(b"\xff\xfe", b"\xff\0\xfe")
        )
        path = mp3(tag(safe, version=version, flags=0x80, padding=200))
        assert round_trip(path)[5] == 0x80
        apply_mark(path, PURPLE)
        seen = mutagen.id3.ID3(path)
        assert seen["COMM::eng"].text == ["#PURPLE hi"]
        assert seen["GEOB:d"].data == b"\xff\xe0\xff\0\xff"


def test_unsynchronised_comment_of_v24(mp3: MakeMp3) -> None:
    payload = "\xff\xfe\0\0\xff\xfeh\0i\0".encode("latin-1")
    payload = b"\1eng" + payload
    packed = synchsafe(len(payload)) + payload.replace(b"\xff", b"\xff\0")
    comment = frame("COMM", packed, version=4, flags=b"\0\3")
    path = mp3(tag(comment, version=4, flags=0x80, padding=200))
    assert read_state(path).text == "hi"
    round_trip(path)
    apply_mark(path, PURPLE)
    assert mutagen.id3.ID3(path)["COMM::eng"].text == ["#PURPLE hi"]


@pytest.mark.parametrize("behind", [(), (frame("TIT2", b"\3Name", version=4),)])
def test_a_long_frame_before_padding_can_be_read_in_two_ways_and_is_read_as_the_standard_says(
    behind: tuple[bytes, ...], mp3: MakeMp3
) -> None:
    long = frame("PRIV", b"x\0" + b"y" * 200, version=4)
    path = mp3(tag(long, *behind, version=4, padding=500))
    assert mutagen.id3.ID3(path)["PRIV:x:" + "y" * 200].data == b"y" * 200
    marked = round_trip(path)
    assert marked[10 : 10 + len(long)] == long


def test_plain_sizes_in_v24_are_recognised(mp3: MakeMp3) -> None:
    parts = [frame("PRIV", b"x\0" + bytes(300), version=4, plain=True), frame("TIT2", b"\3Name", version=4)]
    path = mp3(tag(*parts, version=4, padding=200))
    assert read_state(path).title == "Name"
    assert b"".join(parts) in round_trip(path)


def test_extended_header_is_kept_true(mp3: MakeMp3) -> None:
    part = frame("TIT2", b"\0Name")
    path = mp3(tag(b"\0\0\0\6\0\0" + (200).to_bytes(4, "big") + part, padding=200, flags=0x40))
    marked = round_trip(path)
    padding = int.from_bytes(marked[16:20], "big")
    end = 10 + len(part) + 10 + 200
    assert marked[end - padding : end] == bytes(padding)
    assert marked[end - padding - 1] != 0
    round_trip(
        mp3(tag(b"\0\0\0\6\1\0" + frame("TIT2", b"\0Name", version=4), version=4, padding=200, flags=0x40))
    )


@pytest.mark.parametrize(
    "front",
    [
        tag(frame("TIT2", b"\0Name"), version=5),
        tag(frame("TT2", b"\0Name", version=2), version=2, flags=0x40),
        tag(frame("TIT2", b"\0Name", version=4), version=4, flags=0x10) + b"3DI\4\0\x10\0\0\0\x0f",
        tag(b"\0\0\0\x0a\x80\0" + bytes(8) + frame("TIT2", b"\0Name"), flags=0x40),
        tag(frame("TIT2", b"\0Name")[:-1]),
        tag(frame("TIT2", b"\0Name"), b"\0\0garbage"),
        tag(b"tit2" + frame("TIT2", b"\0Name")[4:]),
        tag(b"PRIV" + b"\0\0\1\0\0\0" + b"x" * 128 + b"TIT2" + b"\0\0\0\x76\0\0" + b"y" * 118, version=4),
        b"ID3\3\0\0\0\0\0\xff" + bytes(200),
        b"ID3\3\0\0\x7f\x7f\x7f\x7f",
    ],
    ids=[
        "v2.5",
        "compressed v2.2",
        "footer",
        "checksum",
        "cut",
        "padding",
        "name",
        "ambiguous",
        "size",
        "too long",
    ],
)
def test_what_cannot_be_spliced_is_refused(front: bytes, mp3: MakeMp3) -> None:
    path = mp3(front)
    before = path.read_bytes()
    with pytest.raises(TagError):
        apply_mark(path, PURPLE)
    assert path.read_bytes() == before


def test_appended_tag_is_refused(mp3: MakeMp3) -> None:
    part = frame("TIT2", b"\0Name", version=4)
    size = synchsafe(len(part))
    path = mp3(back=b"ID3\4\0\x10" + size + part + b"3DI\4\0\x10" + size)
    assert encoded_audio_digest(path) == encoded_audio_digest(mp3())
    path = mp3(back=b"ID3\4\0\x10" + size + part + b"3DI\4\0\x10" + size)
    with pytest.raises(TagError, match="at its end"):
        apply_mark(path, PURPLE)


def test_own_field_of_any_spelling_is_ours(mp3: MakeMp3) -> None:
    twice = frame("TXXX", b"\1" + "\ufeffmoodzone\0\ufeffGREEN;state=labelled\0".encode("utf-16-le"))
    path = mp3(tag(frame("TXXX", b"\0MOODZONE\0GREEN;state=labelled"), twice, padding=300))
    apply_mark(path, PURPLE)
    assert mutagen.id3.ID3(path).getall("TXXX:MOODZONE")[0].text == [PURPLE.field]
    assert path.read_bytes().lower().count(b"moodzone") == 1
    path = mp3(tag(frame("TXXX", b"\0MOODZONE\0rubbish"), padding=300))
    assert read_state(path).mark is None


def test_tag_of_another_program_keeps_what_it_added_to_our_comment(mp3: MakeMp3) -> None:
    path = mp3()
    apply_mark(path, PURPLE)
    seen = mutagen.id3.ID3(path)
    seen["COMM::eng"].text = ["#PURPLE and my words"]
    seen.save(path, v2_version=3)
    assert apply_mark(path, None).text == "and my words"


def test_frames_of_v1_are_those_a_reader_shows() -> None:
    parsed = Id3Tag.new(frames_of(texts_of_v1(v1(title=b"Old  ", genre=255))))
    assert (parsed.texts(TagField.GENRE).title, parsed.texts(TagField.GENRE).visible) == ("Old", ())
    assert frames_of(texts_of_v1(b"TAG" + bytes(124) + b"\xff")) == []
