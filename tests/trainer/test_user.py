"""Labels find their recordings, and what finds none is said."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from moodzone_agent.errors import DataSetError, UsageError
from moodzone_agent.features.spec import FEATURES_VERSION
from moodzone_agent.library.store import Library
from moodzone_agent.types import Label, LabelOrigin, Zone
from tests.trainer.music import make_track
from trainer.datasets.labels import read_labels
from trainer.datasets.store import Analysed, adopt, analyse_into, open_cache
from trainer.datasets.user import PathMap, Places, UserLabels, Why, resolve

OTHER = "D:\\DJ\\Music"


@dataclass
class Collection:
    """Music that was analysed into a cache."""

    root: Path
    cache: Library
    analysed: Analysed
    progress: list[tuple[int, int]]

    def id_of(self, name: str) -> str:
        track = self.cache.track_of(self.root / name)
        assert track is not None
        return track.audio_id


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collection]:
    root = tmp_path_factory.mktemp("music")
    for seed, (name, artist, title) in enumerate(
        [
            ("House/One.flac", "Some  Body", "One"),
            ("House/two ä.wav", "", ""),
            ("Deep/three.mp3", "NOBODY", "Three"),
            ("Deep/three again.mp3", "Nobody", "three"),
            ("other/unnamed.flac", "", "Intro"),
        ]
    ):
        make_track(root / name, seed, seconds=3.0 + (seed == 3) * 4, artist=artist, title=title)
    (root / "other" / "broken.mp3").write_bytes(b"not music")
    shutil.copyfile(root / "House" / "One.flac", root / "other" / "copy.flac")
    progress: list[tuple[int, int]] = []
    with open_cache(root.parent / "home" / "cache.sqlite") as cache:
        analysed = analyse_into(cache, [root], jobs=2, progress=lambda *at: progress.append(at))
        yield Collection(root, cache, analysed, progress)


def labels(collection: Collection, where: Path, *texts: str, maps: tuple[PathMap, ...] = ()) -> UserLabels:
    """What tables of these texts, in the folder, come to."""
    files = []
    for number, text in enumerate(texts):
        path = where / f"labels{number}.csv"
        path.write_text(text, encoding="utf-8")
        files.append(read_labels(path, aliases={}))
    return resolve(files, collection.cache, places=Places(maps))


def whys(found: UserLabels) -> list[tuple[str, Why]]:
    return [(left.label.where, left.why) for left in found.report.left_out]


def test_each_recording_is_analysed_once(collection: Collection) -> None:
    assert len(collection.analysed.recordings) == 5
    assert [result.path.name for result in collection.analysed.failed] == ["broken.mp3"]
    assert "not a music file" in collection.analysed.complaints()[0]
    assert collection.progress[0] == (0, 7)
    assert collection.progress[-1] == (7, 7)
    assert all(collection.cache.has_features(key, FEATURES_VERSION) for key in collection.analysed.recordings)
    assert not any(track.estimate for track in collection.cache.tracks()), "nothing was to be rated"


def test_what_is_cached_is_not_read_again(collection: Collection) -> None:
    progress: list[tuple[int, int]] = []
    again = analyse_into(
        collection.cache, [collection.root], jobs=1, progress=lambda *at: progress.append(at)
    )
    assert again.recordings == collection.analysed.recordings
    assert set(progress) == {(0, 0)}


def test_labels_find_their_files(collection: Collection) -> None:
    found = labels(
        collection,
        collection.root,
        f"path,zone,origin\nHouse/One.flac,yellow,asked\n{collection.root / 'Deep' / 'three.mp3'},purple,\n"
        "house\\TWO a\u0308.WAV,green,corrected\n",
    )
    assert found.report.left_out == ()
    assert [(track.path.name, track.zone, track.origin, track.artist) for track in found.tracks] == [
        ("One.flac", Zone.YELLOW, LabelOrigin.ASKED, "some body"),
        ("three.mp3", Zone.PURPLE, LabelOrigin.IMPORTED, "nobody"),
        ("two ä.wav", Zone.GREEN, LabelOrigin.CORRECTED, collection.id_of("House/two ä.wav")),
    ]
    assert found.tracks[0].audio_id == collection.id_of("House/One.flac")


def test_paths_of_another_computer_are_mapped(collection: Collection, tmp_path: Path) -> None:
    text = (
        f"path,zone\n{OTHER}\\House\\one.FLAC,yellow\n"
        "d:/dj/music/Deep/three.mp3,green\nD:\\DJ\\Musical\\x.mp3,green\n"
    )
    unmapped = labels(collection, tmp_path, text)
    assert [why for _, why in whys(unmapped)] == [Why.MISSING] * 3
    with pytest.raises(DataSetError, match="--map OLD=NEW"):
        unmapped.report.check(skip_missing=True)
    found = labels(collection, tmp_path, text, maps=(PathMap.parse(f"{OTHER}={collection.root}"),))
    assert [track.path.name for track in found.tracks] == ["One.flac", "three.mp3"]
    assert whys(found) == [("labels0.csv:4", Why.MISSING)]
    found.report.check(skip_missing=True)
    with pytest.raises(DataSetError, match="1 label has no audio, 2 have") as caught:
        found.report.check()
    assert "--skip-missing" in str(caught.value)


@pytest.mark.parametrize("option", ["nothing", "=x", "D:\\=", "D:\\=/not/there"])
def test_maps_that_lead_nowhere_are_refused(option: str) -> None:
    with pytest.raises(UsageError, match="OLD=NEW"):
        PathMap.parse(option)


def test_a_map_may_hold_equals_signs(tmp_path: Path) -> None:
    new = tmp_path / "a=b"
    new.mkdir()
    parsed = PathMap.parse(f"/x=y/z={new}")
    assert (parsed.old, parsed.new) == ("/x=y/z", new)
    assert parsed.apply(Path("/x=y/z/deep/one.mp3")) == new / "deep" / "one.mp3"
    assert parsed.apply(Path("/x=y/zz/one.mp3")) is None


def test_artist_title_and_duration_tell_the_rest(collection: Collection, tmp_path: Path) -> None:
    found = labels(
        collection,
        tmp_path,
        "Zone,Artist,Track Title,Time,Location\n"
        "yellow,SOME BODY,one,,D:\\gone.mp3\n"
        "purple,Nobody,Three,3.0,\n"
        "green,nobody,THREE,0:08,\n"
        "green,,Intro,3.4,\n",
    )
    assert [(track.path.name, track.zone) for track in found.tracks] == [
        ("One.flac", Zone.YELLOW),
        ("three.mp3", Zone.PURPLE),
        ("three again.mp3", Zone.GREEN),
        ("unnamed.flac", Zone.GREEN),
    ]
    assert whys(found) == []


def test_nothing_is_guessed(collection: Collection, tmp_path: Path) -> None:
    found = labels(
        collection,
        tmp_path,
        "zone,artist,title,duration,path,audio_id\n"
        "green,Nobody,Three,,,\n"
        "green,Some Body,One,20,,\n"
        "green,,Intro,,,\n"
        "green,Else,Where,,,\n"
        f"green,,,,{collection.root / 'other' / 'broken.mp3'},\n"
        "green,,,,,unheard\n",
    )
    assert found.tracks == ()
    assert whys(found) == [
        ("labels0.csv:2", Why.AMBIGUOUS),
        ("labels0.csv:3", Why.UNMATCHED),
        ("labels0.csv:4", Why.UNMATCHED),
        ("labels0.csv:5", Why.UNMATCHED),
        ("labels0.csv:6", Why.NOT_ANALYSED),
        ("labels0.csv:7", Why.MISSING),
    ]
    text = str(found.report)
    assert "labels0.csv:2: GREEN Nobody – Three (2 tracks)" in text
    assert "one of another duration is there" in text
    assert "broken.mp3 (not a music file" in text


def test_the_newest_label_wins_and_the_rest_is_reported(collection: Collection, tmp_path: Path) -> None:
    one = collection.root / "House" / "One.flac"
    copy = collection.root / "other" / "copy.flac"
    found = labels(
        collection,
        tmp_path,
        f"path,zone\n{one},yellow\n{copy},green\n",
        f"path,zone,audio_id\n,green,{collection.id_of('House/One.flac')}\n{one},purple,\n",
    )
    assert [(track.zone, track.path.name) for track in found.tracks] == [(Zone.PURPLE, "One.flac")]
    assert whys(found) == [
        ("labels0.csv:2", Why.CONTRADICTED),
        ("labels0.csv:3", Why.DUPLICATE),
        ("labels1.csv:2", Why.CONTRADICTED),
    ]
    found.report.check()
    lines = found.report.lines()
    assert lines[0] == "1 labelled track (1 imported)"
    assert any("a newer label of the same track" in line for line in lines)
    assert any("labels1.csv:3 says PURPLE" in line for line in lines)


def test_no_labels_are_an_error(collection: Collection, tmp_path: Path) -> None:
    found = labels(collection, tmp_path, "path,zone\na.mp3,\n")
    with pytest.raises(DataSetError, match=r"not one label.*1 row or file has no zone"):
        found.report.check(skip_missing=True)


def test_features_of_the_agents_library_are_taken_over(collection: Collection, tmp_path: Path) -> None:
    audio_id = collection.id_of("House/One.flac")
    collection.cache.add_label(Label(audio_id, Zone.GREEN, LabelOrigin.ASKED, "test", 0))
    with open_cache(tmp_path / "other.sqlite") as cache:
        assert adopt(cache, collection.cache) == 1
        assert adopt(cache, collection.cache) == 0
        progress: list[tuple[int, int]] = []
        one = Path(os.path.realpath(collection.root / "House" / "One.flac"))
        analysed = analyse_into(cache, [one], jobs=1, progress=lambda *at: progress.append(at))
        assert analysed.recordings == {audio_id: one}
        assert set(progress) == {(0, 0)}
