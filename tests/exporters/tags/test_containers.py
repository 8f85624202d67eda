"""FLAC, Ogg, MP4, WAV and AIFF as other programs write them."""

from __future__ import annotations

import base64
import hashlib
import io
import shutil
import struct
import subprocess
from pathlib import Path

import av
import mutagen
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mutagen.flac import FLAC, Picture
from mutagen.id3 import COMM, ID3, TIT2
from mutagen.mp4 import MP4, AtomDataType, MP4Cover, MP4FreeForm
from mutagen.ogg import OggPage
from mutagen.oggopus import OggOpus
from mutagen.oggvorbis import OggVorbis
from mutagen.wave import WAVE

from exporters.tags.edit import TagField, apply_mark, encoded_audio_digest, read_state
from moodzone_agent.errors import TagError
from moodzone_agent.types import Mark, Zone
from tests.audio_files import write_tone
from tests.exporters.tags.conftest import CopyTone

PURPLE = Mark(Zone.PURPLE)


def round_trip(path: Path, field: TagField = TagField.COMMENT) -> bytes:
    """Write and take out a mark; the bytes in between."""
    before = path.read_bytes()
    state = apply_mark(path, PURPLE, field=field)
    assert (state.mark, state.token) == (PURPLE, PURPLE)
    marked = path.read_bytes()
    assert apply_mark(path, None, field=field).mark is None
    assert path.read_bytes() == before
    return marked


def assert_refused(path: Path, match: str | None = None) -> None:
    before = path.read_bytes()
    with pytest.raises(TagError, match=match):
        apply_mark(path, PURPLE)
    assert path.read_bytes() == before


def decoded(path: Path) -> str:
    digest = hashlib.sha256()
    with av.open(path) as container:
        for frame in container.decode(audio=0):
            digest.update(frame.to_ndarray().tobytes())
    return digest.hexdigest()


# Vorbis comments


def comment_block(*comments: bytes, vendor: bytes = b"some encoder", tail: bytes = b"") -> bytes:
    parts = [vendor, *comments]
    packed = [struct.pack("<I", len(part)) + part for part in parts]
    return packed[0] + struct.pack("<I", len(comments)) + b"".join(packed[1:]) + tail


def flac_with(path: Path, *blocks: tuple[int, bytes]) -> Path:
    """Put these metadata blocks between STREAMINFO and the frames."""
    data = path.read_bytes()
    end = 4
    while not data[end] & 0x80:
        end += 4 + int.from_bytes(data[end + 1 : end + 4], "big")
    frames = data[end + 4 + int.from_bytes(data[end + 1 : end + 4], "big") :]
    packed = [(0, data[8:42]), *blocks]
    metadata = b"".join(
        bytes([kind | (0x80 if index == len(packed) - 1 else 0)]) + len(block).to_bytes(3, "big") + block
        for index, (kind, block) in enumerate(packed)
    )
    path.write_bytes(b"fLaC" + metadata + frames)
    return path


COMMENTS = (
    b"TITLE=caf\xe9 not UTF-8",
    b"artist=One",
    b"ARTIST=Two",
    b"SERATO_MARKERS_V2=YXBw\nbGlj",
    b"EMPTY=",
    b"no equals sign",
    b"Comment=my w\xf6rds",
    b"DESCRIPTION=other",
    b"comment=second",
)


@pytest.mark.parametrize("padding", [None, 0, 3, 40, 46, 60, 4000])
def test_flac_keeps_comments_blocks_and_their_order(padding: int | None, tone: CopyTone) -> None:
    blocks = [(3, bytes(18)), (2, b"ATCHrubbish"), (4, comment_block(*COMMENTS)), (6, Picture().write())]
    blocks += [] if padding is None else [(1, bytes(padding))]
    path = flac_with(tone("tone.flac"), *blocks)
    size = path.stat().st_size
    marked = round_trip(path)
    for comment in COMMENTS[:6] + COMMENTS[7:]:
        assert struct.pack("<I", len(comment)) + comment in marked
    assert b"Comment=#PURPLE my w\xf6rds" in marked
    assert len(marked) == size if padding == 4000 else len(marked) >= size
    apply_mark(path, PURPLE)
    assert FLAC(path)["moodzone"] == [PURPLE.field]
    assert [block.code for block in FLAC(path).metadata_blocks][:5] == [0, 3, 2, 4, 6]


@pytest.mark.parametrize("padding", [None, 8, 4000])
def test_flac_without_comments_gets_a_block_and_loses_it(padding: int | None, tone: CopyTone) -> None:
    path = flac_with(tone("tone.flac"), *([] if padding is None else [(1, bytes(padding))]))
    round_trip(path)


def test_flac_padding_that_holds_data_is_kept(tone: CopyTone) -> None:
    path = flac_with(tone("tone.flac"), (4, comment_block()), (1, b"hidden" + bytes(3000)))
    assert b"hidden" in round_trip(path)


def test_flac_between_id3_tags(tone: CopyTone) -> None:
    path = tone("tone.flac")
    plain = encoded_audio_digest(path)
    front = b"ID3\3\0\0\0\0\0\x0a" + bytes(10)
    back = b"TAG" + bytes(125)
    path.write_bytes(front + path.read_bytes() + back)
    assert encoded_audio_digest(path) == plain
    marked = round_trip(path)
    assert marked.startswith(front + b"fLaC")
    assert marked.endswith(back)


@pytest.mark.parametrize("key", ["DESCRIPTION", "description"])
def test_vorbis_description_is_used_where_there_is_no_comment(key: str, tone: CopyTone) -> None:
    path = flac_with(tone("tone.flac"), (4, comment_block(f"{key}=8A - 7".encode())))
    assert f"{key}=8A - 7 #PURPLE".encode() in round_trip(path)


def test_flac_with_two_comment_blocks_is_refused(tone: CopyTone) -> None:
    path = flac_with(tone("tone.flac"), (4, comment_block(b"TITLE=One")), (4, comment_block(b"TITLE=Two")))
    assert read_state(path).title == "One"
    assert apply_mark(path, None).mark is None
    assert_refused(path, "two comment blocks")


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("name", ["tone.flac", "tone.ogg", "tone.opus"])
def test_a_token_that_a_program_copied_into_a_second_comment_goes_with_ours(
    name: str, order: int, tone: CopyTone
) -> None:
    path = tone(name)
    file = mutagen.File(path)
    file["description"] = "8A"
    file.save()
    apply_mark(path, PURPLE)
    file = mutagen.File(path)
    copied = file.pop("description")
    for key in ("description", "comment")[::order]:
        file[key] = copied
    file.save()
    state = apply_mark(path, Mark(Zone.GREEN))
    assert state.tokens == (Mark(Zone.GREEN),) * 2
    assert mutagen.File(path)["comment"] == mutagen.File(path)["description"] == ["8A #GREEN"]
    assert apply_mark(path, None).tokens == ()
    assert mutagen.File(path)["comment"] == mutagen.File(path)["description"] == ["8A"]


@pytest.mark.parametrize("name", ["tone.ogg", "tone.opus"])
def test_ogg_keeps_comments(name: str, tone: CopyTone) -> None:
    path = tone(name)
    picture = Picture()
    picture.data = bytes(range(256)) * 800
    kind = OggVorbis if name.endswith("ogg") else OggOpus
    file = kind(path)
    file["metadata_block_picture"] = [base64.b64encode(picture.write()).decode()]
    file["artist"] = ["One", "Two"]
    file["comment"] = ["8A - 7", "second"]
    file.save()
    before = dict(kind(path))
    samples = decoded(path)
    round_trip(path)
    apply_mark(path, PURPLE)
    after = dict(kind(path))
    assert after.pop("moodzone") == [PURPLE.field]
    assert after.pop("comment") == ["8A - 7 #PURPLE", "second"]
    before.pop("comment")
    assert after == before
    assert decoded(path) == samples


@pytest.mark.parametrize("name", ["tone.ogg", "tone.opus"])
@pytest.mark.parametrize("spare", [10, 100])
def test_ogg_pages_are_renumbered_when_there_is_one_more(name: str, spare: int, tmp_path: Path) -> None:
    path = tmp_path / name
    length = 60_000
    for _ in range(2):  # the second time the header page is full but for the spare bytes
        write_tone(path, seconds=0.4, metadata={"lyrics": "x" * length})
        comment, *setup = [packet for page in pages_of(path.read_bytes())[1:2] for packet in page.packets]
        segments = 255 - sum(len(packet) // 255 + 1 for packet in setup)
        length += segments * 255 - 1 - spare - len(comment)
    samples = decoded(path)
    marked = round_trip(path)
    before, after = pages_of(path.read_bytes()), pages_of(marked)
    assert len(after) - len(before) == (spare == 10)
    assert [page.sequence for page in after] == list(range(len(after)))
    assert after[-1].packets == before[-1].packets
    path.write_bytes(marked)
    assert decoded(path) == samples


def pages_of(data: bytes) -> list[OggPage]:
    """All pages, by mutagen, which also checks the checksums."""
    file = io.BytesIO(data)
    pages = []
    while file.tell() < len(data):
        start = file.tell()
        page = OggPage(file)
        assert page.write() == data[start : file.tell()]
        pages.append(page)
    return pages


def test_opus_keeps_what_follows_the_comments(tone: CopyTone) -> None:
    path = tone("tone.opus")
    file = OggOpus(path)
    file["artist"] = "One"
    file.tags._pad_data = b"\1binary that must stay" + bytes(50)
    file.save()
    assert b"binary that must stay" in path.read_bytes()
    assert b"binary that must stay" in round_trip(path)


def test_ogg_with_other_streams_is_refused(tone: CopyTone) -> None:
    path = tone("tone.opus")
    data = path.read_bytes()
    pages = pages_of(data)
    other = pages_of(data)[0]
    other.serial += 1
    path.write_bytes(pages[0].write() + other.write() + data[pages[1].offset :])
    assert_refused(path, "several streams")
    path = tone("tone.ogg")
    path.write_bytes(path.read_bytes().replace(b"\1vorbis", b"\x7fFLACxx"))
    assert_refused(path, "Vorbis and Opus")


def test_ogg_with_false_checksum_in_its_header_is_refused(tone: CopyTone) -> None:
    path = tone("tone.ogg")
    data = bytearray(path.read_bytes())
    data[data.index(b"\3vorbis") - 20] ^= 1
    path.write_bytes(data)
    with pytest.raises(TagError):
        apply_mark(path, PURPLE)


def test_ogg_with_rubbish_at_its_end_keeps_it(tone: CopyTone) -> None:
    path = tone("tone.ogg")
    path.write_bytes(path.read_bytes() + b"TAG" + bytes(125))
    assert round_trip(path).endswith(b"TAG" + bytes(125))


# MP4


def atom(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I", 8 + len(body)) + kind + body


def data_atom(value: bytes, kind: int = 1, locale: int = 0) -> bytes:
    return atom(b"data", struct.pack(">II", kind, locale), value)


def mp4_with_udta(path: Path, udta: bytes) -> Path:
    """Give an MP4 file whose index is at its end other user data."""
    data = path.read_bytes()
    start = data.index(b"moov") - 4
    moov = data[start:]
    place = moov.rindex(b"udta") - 4
    moov = moov[:place] + udta
    path.write_bytes(data[:start] + struct.pack(">I", len(moov)) + moov[4:])
    return path


def ilst_in_udta(*items: bytes, free: int | None = None, tail: bytes = b"") -> bytes:
    hdlr = atom(b"hdlr", bytes(8), b"mdirappl", bytes(9))
    padding = b"" if free is None else atom(b"free", bytes(free))
    return atom(b"udta", atom(b"meta", bytes(4), hdlr, atom(b"ilst", *items), padding), tail)


ITEMS = (
    atom(b"\xa9nam", data_atom(b"Name", locale=0x15)),
    atom(b"gnre", data_atom(b"\0\x12", kind=0)),
    atom(b"tmpo", data_atom(b"\0\x80", kind=0x15)),
    atom(b"trkn", data_atom(bytes(8), kind=0)),
    atom(b"\xa9cmt", data_atom("8A - 7 ü".encode(), locale=7), data_atom(b"second")),
    atom(
        b"----",
        atom(b"mean", bytes(4), b"com.serato.dj"),
        atom(b"name", bytes(4), b"markersv2"),
        data_atom(b"YXBw"),
    ),
    atom(b"covr", data_atom(bytes(300), kind=14), data_atom(bytes(200), kind=13)),
    atom(b"xyz?", b"not an atom at all"),
)


@pytest.mark.parametrize("free", [None, 0, 30, 90, 91, 92, 99, 2000])
@pytest.mark.parametrize("tail", [b"", bytes(4), atom(b"Xtra", b"of Windows")])
def test_mp4_keeps_items_and_their_order(free: int | None, tail: bytes, tone: CopyTone) -> None:
    path = mp4_with_udta(tone("tone.m4a"), ilst_in_udta(*ITEMS, free=free, tail=tail))
    size = path.stat().st_size
    samples = decoded(path)
    marked = round_trip(path)
    assert b"".join(ITEMS[:4]) in marked
    assert b"".join(ITEMS[5:]) in marked
    assert atom(b"\xa9cmt", data_atom("8A - 7 #PURPLE ü".encode(), locale=7), data_atom(b"second")) in marked
    assert (len(marked) == size) == (free in (90, 99, 2000))
    apply_mark(path, PURPLE)
    assert decoded(path) == samples
    if tail != bytes(4):  # mutagen does not know how QuickTime ends a list
        assert MP4(path)["----:com.apple.iTunes:MOODZONE"][0].decode() == PURPLE.field


@pytest.mark.parametrize(
    "udta",
    [
        b"",
        atom(b"udta"),
        atom(b"udta", bytes(4)),
        atom(b"udta", atom(b"name", b"of QuickTime")),
        ilst_in_udta(),
        ilst_in_udta(free=8),
        ilst_in_udta(free=2000),
    ],
)
def test_mp4_without_items_loses_only_what_we_made(udta: bytes, tone: CopyTone) -> None:
    path = mp4_with_udta(tone("tone.m4a"), udta)
    before = path.read_bytes()
    apply_mark(path, PURPLE)
    if bytes(4) != udta[8:12]:
        assert MP4(path)["\xa9cmt"] == ["#PURPLE"]
    apply_mark(path, None)
    if udta == atom(b"udta"):
        before = mp4_with_udta(tone("tone.m4a"), b"").read_bytes()  # an empty one is taken for ours
    assert path.read_bytes() == before


def test_mp4_metadata_without_a_list_gets_one(tone: CopyTone) -> None:
    udta = atom(b"udta", atom(b"meta", bytes(4), atom(b"hdlr", bytes(8), b"mdirappl", bytes(9))))
    path = mp4_with_udta(tone("tone.m4a"), udta)
    apply_mark(path, PURPLE)
    assert MP4(path)["\xa9cmt"] == ["#PURPLE"]
    apply_mark(path, None)
    assert MP4(path).tags == {}


def test_mp4_offsets_follow_the_audio(tmp_path: Path) -> None:
    path = write_tone(tmp_path / "a.m4a", seconds=2, options={"movflags": "faststart"})
    assert path.read_bytes().index(b"moov") < path.read_bytes().index(b"mdat")
    samples = decoded(path)
    marked = round_trip(path)
    assert len(marked) > path.stat().st_size
    apply_mark(path, PURPLE)
    assert decoded(path) == samples


def test_mp4_wide_offsets_follow_the_audio(tone: CopyTone) -> None:
    path = tone("faststart.m4a")
    samples = decoded(path)
    data = path.read_bytes()
    place = data.index(b"stco") - 4
    length, _, _, count = struct.unpack(">I4sII", data[place : place + 16])
    offsets = struct.unpack(f">{count}I", data[place + 16 : place + length])
    grown = 4 * count
    table = atom(
        b"co64", struct.pack(">II", 0, count), struct.pack(f">{count}Q", *(at + grown for at in offsets))
    )
    new = bytearray(data[:place] + table + data[place + length :])
    for kind in (b"moov", b"trak", b"mdia", b"minf", b"stbl"):
        at = new.index(kind) - 4
        new[at : at + 4] = struct.pack(">I", int.from_bytes(new[at : at + 4], "big") + grown)
    path.write_bytes(new)
    assert decoded(path) == samples
    round_trip(path)
    apply_mark(path, PURPLE)
    assert decoded(path) == samples


def test_mp4_through_mutagen(tone: CopyTone) -> None:
    path = tone("tone.m4a")
    file = MP4(path)
    file["covr"] = [MP4Cover(bytes(5000), MP4Cover.FORMAT_PNG)]
    file["----:com.apple.iTunes:initialkey"] = [MP4FreeForm(b"8A", AtomDataType.UTF8)]
    file["tmpo"] = [128]
    file.save()
    before = dict(MP4(path))
    apply_mark(path, PURPLE)
    after = dict(MP4(path))
    assert after.pop("\xa9cmt") == ["#PURPLE"]
    assert bytes(after.pop("----:com.apple.iTunes:MOODZONE")[0]) == PURPLE.field.encode()
    assert after == before


def test_mp4_of_other_kinds_is_refused(tmp_path: Path, tone: CopyTone) -> None:
    options = {"movflags": "frag_keyframe+empty_moov"}
    assert_refused(write_tone(tmp_path / "fragments.m4a", options=options), "fragmented")
    keys = atom(b"udta", atom(b"meta", bytes(4), atom(b"hdlr", bytes(8), b"mdta", bytes(13)), atom(b"ilst")))
    assert_refused(mp4_with_udta(tone("tone.m4a"), keys), "metadata")
    path = tone("tone.m4a")
    path.write_bytes(path.read_bytes().replace(b"soun", b"vide"))
    assert_refused(path, "no audio")


# WAV and AIFF


def chunk(name: bytes, data: bytes, order: str = "<") -> bytes:
    return name + struct.pack(f"{order}I", len(data)) + data + bytes(len(data) % 2)


def wav(*chunks: bytes, size: int | None = None, cut: int = 0) -> bytes:
    fmt = chunk(b"fmt ", struct.pack("<HHIIHH", 1, 1, 8000, 8000, 1, 8))
    body = b"WAVE" + fmt + b"".join(chunks)
    body = body[: len(body) - cut]
    return b"RIFF" + struct.pack("<I", len(body) if size is None else size) + body


SAMPLES = chunk(b"data", bytes(range(200)) * 5 + b"\x80")


def info(*entries: tuple[bytes, bytes]) -> bytes:
    return chunk(b"LIST", b"INFO" + b"".join(chunk(name, text) for name, text in entries))


def test_wav_gets_id3_and_info(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(wav(SAMPLES))
    marked = round_trip(path)
    assert info((b"ICMT", b"#PURPLE\0")) in marked
    apply_mark(path, PURPLE)
    assert WAVE(path)["COMM::eng"].text == ["#PURPLE"]
    assert struct.unpack("<I", marked[4:8])[0] == len(marked) - 8


def test_wav_keeps_chunks_and_their_order(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    tag = tmp_path / "tag"
    id3 = ID3()
    id3.add(TIT2(encoding=1, text="Name"))
    id3.add(COMM(encoding=1, lang="deu", text="8A - 7 ü"))
    id3.save(tag, v2_version=3)
    before = info((b"INAM", b"Name\0"), (b"ICMT", b"8A - 7 \xfc\0\0"), (b"IART", b"odd"), (b"IGNR", b"House"))
    parts = [
        chunk(b"bext", bytes(601)),
        chunk(b"LIST", b"adtl" + bytes(20)),
        before,
        SAMPLES,
        chunk(b"iXML", b"<x/>"),
        chunk(b"ID3 ", tag.read_bytes() + b"rest"),
        chunk(b"cue ", bytes(28)),
        chunk(b"id3 ", tag.read_bytes()),
    ]
    path.write_bytes(wav(*parts))
    marked = round_trip(path)
    assert marked.count(b"#PURPLE") == 1  # the ID3 comment is UTF-16
    after = info(
        (b"INAM", b"Name\0"), (b"ICMT", b"8A - 7 #PURPLE \xfc\0\0"), (b"IART", b"odd"), (b"IGNR", b"House")
    )
    place = 0
    for part in [*parts[:2], after, parts[3], parts[4], b"ID3 ", b"rest", *parts[6:]]:
        place = marked.index(part, place) + len(part)


def test_wav_corrected_in_its_info_list_only(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(wav(SAMPLES))
    apply_mark(path, PURPLE)
    data = path.read_bytes()
    path.write_bytes(data.replace(chunk(b"ICMT", b"#PURPLE\0"), chunk(b"ICMT", b"#GREEN \0")))
    state = read_state(path)
    assert (state.mark, state.token, state.text) == (PURPLE, Mark(Zone.GREEN), "#GREEN ")


def test_wav_names_from_info(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(wav(info((b"INAM", "Näme".encode("latin-1")), (b"IART", "Ärtist\0".encode())), SAMPLES))
    assert (read_state(path).title, read_state(path).artist) == ("Näme", "Ärtist")


@pytest.mark.parametrize("text", ["日本", "a – b’s", "Ärger 🎧", "caf\xe9"])
def test_wav_with_info_only_of_any_script(text: str, tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    write_tone(path, metadata={"title": text, "artist": "x", "comment": f"8A - 7 {text}"})
    assert b"id3 " not in path.read_bytes()
    assert read_state(path).title == text
    round_trip(path)
    apply_mark(path, PURPLE)
    tags = WAVE(path).tags
    assert tags is not None
    assert tags.version == (2, 3, 0)
    assert (str(tags["TIT2"]), str(tags["TPE1"])) == (text, "x")
    assert [frame.text for frame in tags.getall("COMM")] == [[f"8A - 7 #PURPLE {text}"]]
    assert tags["COMM::eng"].desc == ""


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    texts=st.lists(
        st.tuples(
            st.sampled_from([b"INAM", b"ICMT", b"IGNR", b"IART"]),
            st.binary(max_size=12).map(b"x".__add__),  # what is empty is taken for ours
        ),
        min_size=1,
    )
)
def test_wav_with_any_info_text(texts: list[tuple[bytes, bytes]], tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(wav(SAMPLES, info(*texts)))
    before = path.read_bytes()
    assert apply_mark(path, PURPLE).mark == PURPLE
    apply_mark(path, None)
    assert path.read_bytes() == before


def test_wav_with_two_info_lists_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(wav(info((b"INAM", b"One\0")), SAMPLES, info((b"INAM", b"Two\0"))))
    assert read_state(path).title == "One"
    assert_refused(path, "two INFO lists")


def test_wav_keeps_tokens_of_the_user_in_info(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    entries = (b"INAM", b"#PURPLE rain\0"), (b"ICMT", b"opener #purple\0"), (b"IGNR", b"House #PURPLE?\0")
    path.write_bytes(wav(info(*entries), SAMPLES))
    before = path.read_bytes()
    assert apply_mark(path, PURPLE).user_tokens == (PURPLE, PURPLE)
    assert info(*entries) in path.read_bytes()
    tags = WAVE(path).tags
    assert tags is not None
    assert [str(tags[name]) for name in ("TIT2", "COMM::eng", "TCON")] == [
        "#PURPLE rain", "opener #purple", "House #PURPLE?",
    ]  # fmt: skip
    apply_mark(path, None)
    assert path.read_bytes() == before


def test_wav_without_last_pad_byte(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(wav(SAMPLES, cut=1))
    audio = encoded_audio_digest(path)
    marked_state = apply_mark(path, PURPLE)
    assert marked_state.mark == PURPLE
    assert WAVE(path)["TXXX:MOODZONE"].text == [PURPLE.field]
    apply_mark(path, None)
    assert path.read_bytes()[8:] == wav(SAMPLES)[8:]
    assert encoded_audio_digest(path) == audio


@pytest.mark.parametrize(
    "data",
    [
        wav(SAMPLES, size=0),
        wav(SAMPLES, size=0xFFFFFFFF),
        wav(SAMPLES, size=100),
        wav(SAMPLES) + b"more behind the end",
        wav(SAMPLES)[:-300],
        wav(b"data\xff\xff\xff\xff" + bytes(1000)),
        wav(chunk(b"data", bytes(11))[:-1], chunk(b"iXML", b"not padded")),
        wav(chunk(b"LIST", b"INFOICMT\xff\0\0\0x"), SAMPLES),
        wav(chunk(b"id3 ", b"no tag"), SAMPLES),
        wav(chunk(b"id3 ", b"ID3\3\0\0\0\0\1\0"), SAMPLES),
        wav(),
    ],
    ids=[
        "size 0",
        "size -1",
        "size small",
        "rest",
        "cut",
        "data -1",
        "no pad",
        "INFO",
        "no ID3",
        "ID3 cut",
        "no data",
    ],
)
def test_wav_that_lies_is_refused(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(data)
    assert_refused(path)


def test_aiff_names_from_its_own_chunks(tmp_path: Path) -> None:
    comm = struct.pack(">hIh", 1, 4, 8) + b"\x40\x0b\xfa\0" + bytes(6)
    parts = [
        (b"NAME", b"Name"),
        (b"AUTH", "Ärtist".encode()),
        (b"COMM", comm),
        (b"SSND", bytes(12)),
        (b"ANNO", b"odd"),
    ]
    body = b"AIFF" + b"".join(chunk(name, data, ">") for name, data in parts)
    path = tmp_path / "a.aiff"
    path.write_bytes(b"FORM" + struct.pack(">I", len(body)) + body)
    marked = round_trip(path)
    assert body in marked
    assert (read_state(path).title, read_state(path).artist) == ("Name", "Ärtist")


@pytest.mark.skipif(shutil.which("mediainfo") is None, reason="needs mediainfo")
def test_mediainfo_reads_the_info_list(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(wav(SAMPLES))
    apply_mark(path, PURPLE)
    assert "#PURPLE" in subprocess.check_output(["mediainfo", str(path)], text=True)


def test_files_that_mutagen_wrote_last_are_read(tone: CopyTone) -> None:
    for name in ("tone.flac", "tone.ogg", "tone.opus", "tone.m4a", "tone.mp3", "tone.aiff", "tone.wav"):
        path = tone(name)
        apply_mark(path, PURPLE)
        mutagen.File(path).save()
        state = read_state(path)
        assert (state.mark, state.token) == (PURPLE, PURPLE)
        assert apply_mark(path, None).mark is None


def test_a_wav_that_only_had_info_keeps_its_comment_for_readers_of_id3(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    write_tone(path, metadata={"comment": "8A - 7", "title": "Song", "artist": "Ä"})
    original = path.read_bytes()
    assert apply_mark(path, Mark(Zone.GREEN)).text == "8A - 7 #GREEN"
    tags = mutagen.wave.WAVE(path).tags
    assert [frame.text for frame in tags.getall("COMM")] == [["8A - 7 #GREEN"]]
    assert (str(tags["TIT2"]), str(tags["TPE1"])) == ("Song", "Ä")
    marked = path.read_bytes()
    apply_mark(path, Mark(Zone.GREEN))
    assert path.read_bytes() == marked
    apply_mark(path, Mark(Zone.PURPLE))
    assert read_state(path).text == "8A - 7 #PURPLE"
    apply_mark(path, None)
    assert path.read_bytes() == original
