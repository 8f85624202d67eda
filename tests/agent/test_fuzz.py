"""Valid files of every container, damaged at random, through a real scan: a rating or a named failure each.

300 of them here, 5,000 with ``-m fuzz``. A mutant is its number: the same one has the same bytes on every machine
whose encoders make the same originals, and its number stands in its name.
"""

from __future__ import annotations

import hashlib
import math
import multiprocessing
import random
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from moodzone_agent.classify.session import ZoneModel
from moodzone_agent.library.records import FileStatus, Stamp
from moodzone_agent.library.store import Library
from moodzone_agent.pipeline import ScanResult, scan
from tests.audio_files import write_adts, write_tone

ORIGINALS = [  # suffix, codec, options of the container
    (".mp3", None, None),
    (".mp3", None, {"write_xing": "0", "id3v2_version": "0"}),
    (".mp3", None, {"id3v2_version": "3", "write_id3v1": "1"}),
    (".flac", None, None),
    (".wav", None, None),
    (".wav", "pcm_f32le", None),
    (".wav", "adpcm_ms", None),
    (".aiff", None, None),
    (".m4a", None, None),
    (".m4a", None, {"movflags": "faststart"}),
    (".m4a", "alac", None),
    (".ogg", None, None),
    (".ogg", "flac", None),
    (".opus", None, None),
]
SUFFIXES = sorted({suffix for suffix, _, _ in ORIGINALS} | {".aac"})
TAGS = {"title": "A title", "artist": "Somebody", "comment": "8A - 7", "genre": "Techno"}
EDGES = (0, 1, 2, 3, 4, 7, 8, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
CHUNKS = (b"RIFF", b"FORM", b"fmt ", b"data", b"LIST", b"fact", b"COMM", b"SSND", b"ID3 ", b"id3 ")
BOXES = (
    b"ftyp moov mvhd trak tkhd mdia mdhd hdlr minf stbl stsd mp4a alac esds stts stsc stsz stco edts elst udta meta "
    b"ilst mdat free smhd dinf dref sgpd sbgp"
).split()


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, bytes]]:
    folder = tmp_path_factory.mktemp("valid")
    made = []
    for number, (suffix, codec, options) in enumerate(ORIGINALS):
        path = write_tone(
            folder / f"{number}{suffix}", seconds=1.2, codec=codec, metadata=TAGS, options=options
        )
        made.append((suffix, path.read_bytes()))
    made.append((".aac", write_adts(folder / "0.aac", seconds=1.2).read_bytes()))
    return made


Data = bytearray
Mutation = Callable[[Data, random.Random, list[tuple[str, bytes]]], Data]


def place(data: Data, rnd: random.Random) -> int:
    """Anywhere, but oftener in the first bytes, where headers are."""
    if not data:
        return 0
    return rnd.randrange(min(len(data), 600) if rnd.random() < 0.5 else len(data))


def block(data: Data, rnd: random.Random) -> slice:
    start = place(data, rnd)
    return slice(start, start + int(2 ** rnd.uniform(0, 14)))


def truncate(data: Data, rnd: random.Random, _: object) -> Data:
    return data[: place(data, rnd)]


def flip_bits(data: Data, rnd: random.Random, _: object) -> Data:
    for _ in range(int(2 ** rnd.uniform(0, 8))):
        if data:
            data[place(data, rnd)] ^= 1 << rnd.randrange(8)
    return data


def lie_about_a_size(data: Data, rnd: random.Random, _: object) -> Data:
    """In the size of a chunk or box, of a FLAC block, of an Ogg page, or what a Xing header counts."""
    fields: list[tuple[int, str]] = []
    for name in CHUNKS:
        fields += [(at + 4, "<I" if data[:4] == b"RIFF" else ">I") for at in found(data, name)]
    for name in BOXES:
        fields += [(at - 4, ">I") for at in found(data, name)]
        fields += [(at + 4 * step, ">I") for at in found(data, name) for step in (1, 2, 3, 4)]
    for name in (b"Xing", b"Info"):
        fields += [(at + step, ">I") for at in found(data, name) for step in (4, 8, 12)]
    fields += [(at + step, "B") for at in found(data, b"OggS") for step in (4, 5, 26, 27, 28)]
    fields += [(at + step, "<I") for at in found(data, b"OggS") for step in (6, 10, 14, 18)]
    if data[:4] == b"fLaC":
        fields += [(4, ">I"), (8, ">I"), (12, ">I"), (18, ">I"), (22, ">I"), (42, ">I")]
    fields = [(at, kind) for at, kind in fields if 0 <= at <= len(data) - 4] or [(0, ">I")]
    at, kind = rnd.choice(fields)
    if len(data) >= 4:
        old = struct.unpack_from(kind, data, at)[0]
        new = rnd.choice((*EDGES, old + 1, old - 1, old * 2, len(data), rnd.getrandbits(32)))
        struct.pack_into(kind, data, at, new % 256 ** struct.calcsize(kind))
    return data


def found(data: Data, name: bytes) -> list[int]:
    places, at = [], data.find(name)
    while at >= 0 and len(places) < 50:
        places.append(at)
        at = data.find(name, at + 1)
    return places


def lie_about_id3(data: Data, rnd: random.Random, _: object) -> Data:
    """A tag whose header, or whose frame, states another size than it has; in front or already there."""
    size = rnd.choice((*EDGES, len(data), len(data) - 10, rnd.getrandbits(28)))
    stated = bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0))
    if rnd.random() < 0.2:
        stated = struct.pack(">I", size % 2**32)
    header = (
        b"ID3" + bytes((rnd.choice((0, 2, 3, 4, 9)), 0, rnd.choice((0, 0, 0x10, 0x40, 0x80, 0xFF)))) + stated
    )
    frame = b"TIT2" + struct.pack(">I", rnd.choice((*EDGES, 20)) % 2**32) + bytes(2) + b"\3" + b"x" * 19
    match rnd.randrange(4):
        case 0 if data[:3] == b"ID3":
            data[: len(header)] = header
            return data
        case 1:
            return Data(header + frame) + data
        case 2:
            return data + Data(frame + b"3DI" + header[3:])
        case _:
            return Data(header) + data


def garbage_behind(data: Data, rnd: random.Random, originals: list[tuple[str, bytes]]) -> Data:
    tail = rnd.choice(
        (
            rnd.randbytes(rnd.randrange(1, 20_000)),
            bytes(rnd.randrange(1, 20_000)),
            b"TAG" + rnd.randbytes(125),
            b"APETAGEX" + struct.pack("<IIII", 2000, rnd.choice(EDGES), 1, rnd.getrandbits(32)) + bytes(8),
            b"LYRICSBEGIN" + rnd.randbytes(30) + b"%06dLYRICS200" % rnd.randrange(10**6),
            rnd.choice(originals)[1],
        )
    )
    return data + tail


def garbage_in_front(data: Data, rnd: random.Random, _: object) -> Data:
    length = rnd.randrange(1, 3000)
    return (
        Data(rnd.choice((rnd.randbytes(length), bytes(length), b"\xff" * length, b"APETAGEX" + bytes(24))))
        + data
    )


def blank(data: Data, rnd: random.Random, _: object) -> Data:
    part = block(data, rnd)
    length = len(data[part])
    data[part] = rnd.choice((bytes(length), b"\xff" * length, rnd.randbytes(length)))
    return data


def duplicate(data: Data, rnd: random.Random, _: object) -> Data:
    part = block(data, rnd)
    data[part.stop : part.stop] = data[part] * rnd.choice((1, 1, 5))
    return data


def drop(data: Data, rnd: random.Random, _: object) -> Data:
    del data[block(data, rnd)]
    return data


def move(data: Data, rnd: random.Random, _: object) -> Data:
    part = data[(where := block(data, rnd))]
    del data[where]
    at = place(data, rnd)
    data[at:at] = part
    return data


def insert(data: Data, rnd: random.Random, _: object) -> Data:
    at = place(data, rnd)
    data[at:at] = rnd.randbytes(rnd.randrange(1, 3000))
    return data


def splice(data: Data, rnd: random.Random, originals: list[tuple[str, bytes]]) -> Data:
    other = rnd.choice(originals)[1]
    return data[: place(data, rnd)] + other[place(Data(other), rnd) :]


MUTATIONS: list[Mutation] = [
    truncate,
    flip_bits,
    flip_bits,
    lie_about_a_size,
    lie_about_a_size,
    lie_about_a_size,
    lie_about_id3,
    garbage_behind,
    garbage_in_front,
    blank,
    duplicate,
    drop,
    move,
    insert,
    splice,
]


def write_mutant(folder: Path, seed: int, originals: list[tuple[str, bytes]]) -> Path:
    rnd = random.Random(seed)
    suffix, content = originals[seed % len(originals)]
    chosen = rnd.choices(MUTATIONS, k=rnd.choice((1, 1, 1, 2, 3)))
    data = Data(content)
    for mutation in chosen:
        data = mutation(data, rnd, originals)
    if rnd.random() < 0.1:
        suffix = rnd.choice(SUFFIXES)
    kinds = " ".join(mutation.__name__ for mutation in chosen)
    path = folder / f"{seed:05d} of {seed % len(originals)} {kinds}{suffix}"
    path.write_bytes(data)
    return path


def check_mutants(folder: Path, seeds: range, originals: list[tuple[str, bytes]], model: ZoneModel) -> None:
    music = folder / "music"
    music.mkdir()
    paths = [write_mutant(music, seed, originals) for seed in seeds]
    before = {path: (hashlib.sha256(path.read_bytes()).digest(), Stamp.of(path.stat())) for path in paths}
    with Library.open(folder / "library.sqlite") as library:
        results = list(scan([music], library, model, jobs=1))
    assert not multiprocessing.active_children()
    assert sorted(result.path for result in results) == paths
    wrong = [f"{result.path.name}: {why}" for result in results if (why := what_is_wrong_with(result))]
    assert not wrong, "\n".join(wrong)
    changed = [path.name for path in paths if before[path][1] != Stamp.of(path.stat())]
    changed += [path.name for path in paths if before[path][0] != hashlib.sha256(path.read_bytes()).digest()]
    assert not changed
    statuses = [result.status for result in results]
    assert 0.2 < statuses.count(FileStatus.OK) / len(statuses) < 0.95


def what_is_wrong_with(result: ScanResult) -> str:
    if result.status is FileStatus.OK:
        assert result.track is not None
        estimate = result.track.estimate
        if estimate is None or not math.isfinite(estimate.arousal) or not result.track.duration:
            return f"rated as {estimate}"
        return ""
    for bad in (
        "crashed",
        "could not be analysed",
        "took too long",
        "killed",
        "MB of memory",
        "disk",
        "changed",
    ):
        if bad in result.reason:
            return result.reason
    return "" if result.reason else "no reason given"


def test_300_damaged_files(tmp_path: Path, originals: list[tuple[str, bytes]], model: ZoneModel) -> None:
    check_mutants(tmp_path, range(300), originals, model)


@pytest.mark.fuzz
@pytest.mark.parametrize("first", range(1000, 6000, 500))
def test_5000_damaged_files(
    tmp_path: Path, originals: list[tuple[str, bytes]], model: ZoneModel, first: int
) -> None:
    check_mutants(tmp_path, range(first, first + 500), originals, model)
