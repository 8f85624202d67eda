"""The payloads "Serato Markers2" and "Serato Markers_", and the text around them."""

from __future__ import annotations

import base64
import binascii

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporters.serato import base64_text, markers, markers2
from exporters.serato.base64_text import Ending, Style
from exporters.serato.envelope import Envelope
from exporters.serato.markers2 import Entry, Markers2
from moodzone_agent.errors import TagError

Genuine = dict[str, dict[str, bytes]]
BINARY = ("aif", "id3", "mp4-decoded")
NAMES = st.binary(min_size=1, max_size=12).filter(lambda name: b"\0" not in name and name != b"COLOR")
ENTRIES = st.lists(st.builds(Entry, NAMES, st.binary(max_size=60)), max_size=6).map(tuple)
COLOURS = st.none() | st.integers(0, 0xFFFFFF)


def genuine(payloads: Genuine, name: str) -> list[bytes]:
    """All genuine payloads of one name, those in text taken out of it."""
    found = []
    for kind, by_path in payloads.items():
        for path, value in by_path.items():
            if path.endswith(name):
                found.append(value if kind in BINARY else Envelope.parse(value, name).payload)
    return found


def cues(payload: bytes) -> list[tuple[bytes, bytes]]:
    """All entries but the colour, read without our codec."""
    text = payload[2:].partition(b"\0")[0].replace(b"\n", b"")
    filled = text + (b"", b"A==", b"A=", b"=")[len(text) % 4]
    content = binascii.a2b_base64(filled)[2:]
    found = []
    while content[:1] not in (b"", b"\0"):
        name, _, rest = content.partition(b"\0")
        length = int.from_bytes(rest[:4], "big")
        found.append((name, rest[4 : 4 + length]))
        content = rest[4 + length :]
    return [entry for entry in found if entry[0] != b"COLOR"]


class TestEnvelope:
    @pytest.mark.shared
    def test_genuine_texts_come_out_the_same(self, payloads: Genuine) -> None:
        texts = [
            (path.rpartition("/")[2], text)
            for kind in ("flac", "mp4")
            for path, text in payloads[kind].items()
        ]
        assert len(texts) == 12
        for name, text in texts:
            envelope = Envelope.parse(text, name)
            assert envelope.dump() == text
            assert Envelope.new(envelope.payload, name).dump() == text

    def test_the_payload_of_another_name_is_refused(self) -> None:
        text = Envelope.new(b"data", "Serato Markers_").dump()
        with pytest.raises(TagError, match="something else"):
            Envelope.parse(text, "Serato Markers2")

    @given(st.binary(max_size=200))
    def test_any_text_is_refused_or_given_again(self, text: bytes) -> None:
        try:
            envelope = Envelope.parse(text, "Serato Markers2")
        except TagError:
            return
        assert envelope.dump() == text


class TestBase64:
    @given(st.binary(max_size=300))
    def test_of_n_bytes_serato_writes_four_thirds_rounded_down(self, data: bytes) -> None:
        text = base64_text.encode(data)
        characters = text.replace(b"\n", b"")
        assert len(characters) == 4 * len(data) // 3
        assert base64.b64encode(data).startswith(characters)
        assert all(len(line) == 72 for line in text.split(b"\n")[:-1])
        again, style = base64_text.decode(text)
        assert again[:-1] == data[:-1]
        assert base64_text.encode(again, style) == text

    @given(st.binary(min_size=1, max_size=300), st.sampled_from(Ending), st.sampled_from([1, 60, 72, 1000]))
    def test_other_writers_style_is_kept(self, data: bytes, ending: Ending, width: int) -> None:
        for last_line_ends in (False, True):
            text = base64_text.encode(data, Style(width, ending, last_line_ends))
            assert base64_text.encode(*base64_text.decode(text)) == text

    @pytest.mark.parametrize(
        "text", [b"AAAA\r\nAAAA", b"AA\nAAAA", b"AA AA", b"AAA\xff", b"A===", b"AB==", b"AA=A"]
    )
    def test_what_cannot_be_given_again_is_refused(self, text: bytes) -> None:
        with pytest.raises(TagError):
            base64_text.decode(text)


class TestMarkers2:
    @pytest.mark.shared
    def test_genuine_payloads_keep_all_but_the_colour(self, payloads: Genuine) -> None:
        found = genuine(payloads, "Serato Markers2")
        assert len(found) == 25
        for payload in found:
            assert Markers2.parse(payload).dump() == payload
            old = markers2.track_colour(payload)
            for colour in (0x99FF99, 0xFFFFFF, 0, None):
                new = markers2.with_track_colour(payload, colour)
                assert markers2.track_colour(new) == colour
                assert len(new) == len(payload)
                assert cues(new) == cues(payload)
                assert markers2.with_track_colour(new, old) == payload

    @pytest.mark.shared
    def test_one_genuine_payload_differs_from_another_in_nothing_but_the_colour(
        self, payloads: Genuine
    ) -> None:
        plain, coloured = (
            payloads["id3"][f"{name}/Serato Markers2"] for name in ("analyzed", "tracklist-color")
        )
        assert markers2.with_track_colour(plain, 0x99FF99) == coloured
        assert markers2.with_track_colour(coloured, 0xFFFFFF) == plain

    @pytest.mark.shared
    def test_a_new_payload_has_the_size_and_the_entries_of_a_genuine_one(self, payloads: Genuine) -> None:
        for kind, size in (("id3", markers2.ID3_SIZE), ("flac", markers2.TEXT_SIZE)):
            plain = payloads[kind]["analyzed/Serato Markers2"]
            if kind == "flac":
                plain = Envelope.parse(plain, "Serato Markers2").payload
            new = Markers2.new(0xFFFFFF, size).dump()
            assert len(new) == len(plain)
            assert new != plain
            assert sorted(Markers2.parse(new).entries) == sorted(Markers2.parse(plain).entries)

    @given(ENTRIES, COLOURS, COLOURS, st.integers(0, 600), st.sampled_from(Ending))
    def test_round_trip(
        self, entries: tuple[Entry, ...], old: int | None, new: int | None, size: int, ending: Ending
    ) -> None:
        made = Markers2(entries, b"\0", Style(ending=ending), b"\0", size).with_colour(old)
        payload = made.dump()
        assert Markers2.parse(payload).entries == made.entries
        changed = markers2.with_track_colour(payload, new)
        assert markers2.track_colour(changed) == new
        assert cues(changed) == [tuple(entry) for entry in entries]
        assert len(changed) in (len(payload), len(payload) + 512)
        keeps_length = len(changed) == len(payload) and (old is None) == (new is None)
        if keeps_length or (ending is Ending.CUT and len(changed) == len(payload)):
            assert markers2.with_track_colour(changed, old) == payload

    @given(st.data())
    def test_damage_is_refused_or_kept(self, data: st.DataObject) -> None:
        payload = Markers2.new(0x99FF99, 60).dump()
        place = data.draw(st.integers(0, len(payload)))
        damage = data.draw(st.binary(max_size=4))
        damaged = payload[:place] + damage + payload[place + data.draw(st.integers(0, 8)) :]
        try:
            before = Markers2.parse(damaged)
            changed = markers2.with_track_colour(damaged, 0x123456)
        except TagError:
            return
        assert before.dump() == damaged
        after = Markers2.parse(changed)
        assert after.colour == 0x123456
        assert cues(changed) == cues(damaged)

    def test_cut_at_any_byte(self) -> None:
        payload = Markers2.new(0x99FF99, 60).dump()
        text_end = payload.index(0)
        for end in range(text_end - 2):
            with pytest.raises(TagError):
                markers2.track_colour(payload[:end])

    def test_unknown_versions_are_refused(self) -> None:
        with pytest.raises(TagError, match="02 01"):
            markers2.track_colour(b"\2\1" + base64_text.encode(b"\1\1\0") + b"\0")
        with pytest.raises(TagError, match="01 02"):
            markers2.track_colour(b"\1\1" + base64_text.encode(b"\1\2\0") + b"\0")

    def test_two_colours_are_refused(self) -> None:
        two = Markers2((Entry(b"COLOR", bytes(4)),) * 2, b"\0", base64_text.SERATO, b"\0", 470)
        with pytest.raises(TagError, match="damaged"):
            markers2.track_colour(two.dump())


class TestMarkers:
    @pytest.mark.shared
    def test_genuine_payloads_keep_all_but_the_colour(self, payloads: Genuine) -> None:
        found = genuine(payloads, "Serato Markers_")
        assert len(found) == 21
        for payload in found:
            old = markers.track_colour(payload)
            for colour in (0, 0x123456, 0x99FF99, 0xFFFFFF):
                new = markers.with_track_colour(payload, colour)
                assert markers.track_colour(new) == colour
                assert new[:-5] == payload[:-5]
                assert len(new) == len(payload)
                assert markers.with_track_colour(new, old) == payload

    @pytest.mark.shared
    def test_one_genuine_payload_differs_from_another_in_nothing_but_the_colour(
        self, payloads: Genuine
    ) -> None:
        for kind, coloured, colour in (
            ("id3", "tracklist-color", 0x99FF99),
            ("mp4-decoded", "track-color-993333", 0xFF9999),
        ):
            found = payloads[kind]
            plain = found["analyzed/Serato Markers_"]
            assert markers.with_track_colour(plain, colour) == found[f"{coloured}/Serato Markers_"]

    @pytest.mark.shared
    def test_both_payloads_of_a_genuine_file_agree(self, payloads: Genuine) -> None:
        for kind in BINARY:
            for path, payload in payloads[kind].items():
                if path.endswith("Markers_"):
                    other = payloads[kind][path.replace("Markers_", "Markers2")]
                    assert markers.track_colour(payload) == markers2.track_colour(other)

    def test_other_versions_and_lengths_are_refused(self) -> None:
        good = b"\2\5\0\0\0\1" + bytes(22) + b"\7\x7f\x7f\x7f"
        assert markers.track_colour(good) == 0xFFFFFF
        with pytest.raises(TagError, match="02 04"):
            markers.track_colour(b"\2\4" + good[2:])
        for end in set(range(len(good))) - {6 + 19 + 4, 6 + 19 + 5}:
            with pytest.raises(TagError):
                markers.track_colour(good[:end])

    @pytest.mark.parametrize("colour", [b"\x08\0\0\0", b"\7\x7f\x7f\x80"])
    def test_a_colour_of_too_many_bits_is_refused(self, colour: bytes) -> None:
        with pytest.raises(TagError, match="damaged"):
            markers.track_colour(b"\2\5\0\0\0\1" + bytes(22) + colour)
