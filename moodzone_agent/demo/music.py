"""Dance music with known truth: `compose` decides what a song is, `render` makes its samples.

A song is fixed by its seed and the few properties asked for. Its truth (tempo, sections, drops, loudness,
zone) is decided first and rendered after, so that a measurement of the samples can be held against it. It is
rendered bar by bar, so that a mix of hours needs no more memory than a song.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np

from moodzone_agent.demo import sounds
from moodzone_agent.errors import UsageError
from moodzone_agent.types import Zone

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from moodzone_agent.demo.sounds import Samples


class Style(StrEnum):
    """How the drums go."""

    FOUR_ON_THE_FLOOR = "four-on-the-floor"
    """A kick on every beat."""
    BREAKBEAT = "breakbeat"
    """Syncopated kicks, snare on 2 and 4."""
    HALF_TIME = "half-time"
    """Kick on 1, snare on 3; hats and bass keep the full tempo."""
    SWING = "swing"
    """Off-beats come late."""
    AMBIENT = "ambient"
    """Pads and bells without drums; no breaks and no drops."""


class SectionKind(StrEnum):
    """What a section does."""

    INTRO = "intro"
    """Drums without bass."""
    GROOVE = "groove"
    BREAK = "break"
    """Neither kick nor bass."""
    BUILD = "build"
    """The end of a break: rising noise and a roll of the snare, still without kick and bass."""
    FAKE_DROP = "fake drop"
    """One bar of kick between two breaks."""
    DROP = "drop"
    """Everything plays; its start is a drop."""
    OUTRO = "outro"
    """Drums without bass."""


# The ends of the scale of energy and the borders of the zones.
_ENERGIES: Final = (0.0, 0.33, 0.66, 1.0)
_LEVELS: Final = {
    SectionKind.INTRO: 0.7,
    SectionKind.GROOVE: 0.85,
    SectionKind.BREAK: 0.6,
    SectionKind.BUILD: 0.7,
    SectionKind.FAKE_DROP: 0.85,
    SectionKind.DROP: 1.0,
    SectionKind.OUTRO: 0.6,
}
_WITH_KICK: Final = {
    SectionKind.INTRO,
    SectionKind.GROOVE,
    SectionKind.FAKE_DROP,
    SectionKind.DROP,
    SectionKind.OUTRO,
}
_FULL: Final = {SectionKind.GROOVE, SectionKind.DROP}


@dataclass(frozen=True, slots=True)
class Section:
    """A stretch of whole bars (the song's end may cut the last); times in seconds, `end` exclusive."""

    kind: SectionKind
    start: float
    end: float
    level: float
    """Gain into the master, 1 in a drop."""


@dataclass(frozen=True, slots=True)
class Song:
    """What is true of a song. `render` follows it to the letter."""

    seed: int
    style: Style
    tempo: float
    """Beats a minute, constant; four beats make a bar and the first bar starts at 0."""
    energy: float
    """0 (calm) to 1 (hard)."""
    zone: Zone
    """The zone it is meant for: below an energy of 0.33 YELLOW, above 0.66 PURPLE."""
    key: int
    """Pitch class of the tonic, 0 (C) to 11 (B)."""
    minor: bool
    sections: tuple[Section, ...]
    """Without gaps from 0 to `duration`."""
    drops: tuple[float, ...]
    """Seconds at which kick and bass return after a break, fake drops excluded."""
    fake_drops: tuple[float, ...]
    """Seconds at which a break that seems to end goes on, with or without a bar of kick."""
    loudness: float
    """RMS of both channels in dB below full scale (a constant 1) while everything plays."""
    duration: float
    """Seconds."""
    title: str
    artist: str

    @property
    def bar(self) -> float:
        """Seconds of one bar."""
        return 240 / self.tempo


def compose(
    seed: int,
    *,
    style: Style | None = None,
    tempo: float | None = None,
    energy: float | None = None,
    duration: float | None = None,
    fake_drop: bool = False,
) -> Song:
    """The song of a seed. What is not asked for is drawn from it, alike on every machine.

    Except in AMBIENT style, a song of some 30 s has at least one break, in which kick and bass are silent for
    at least 6 s and, in songs of more than 64 bars, for at least 8 bars. A shorter song is one groove.

    Raises UsageError where a value is out of range or there is no room for a fake drop.
    """
    if seed < 0:
        raise UsageError(f"The seed of a song must not be negative, but is {seed}.")
    rng = np.random.Generator(np.random.PCG64([seed, 0]))
    # All draws are made in any case and in one order, so that asking for one property changes no other.
    drawn_energy, tempo_place, style_place, drawn_length = rng.random(4)
    key, minor = int(rng.integers(12)), bool(rng.random() < 0.5)
    title = f"{_ADJECTIVES[rng.integers(len(_ADJECTIVES))]} {_NOUNS[rng.integers(len(_NOUNS))]}"
    given, family = rng.permutation(len(_NAMES))[:2]
    artist = f"{_NAMES[given]} {_NAMES[family]}"

    energy = float(drawn_energy) if energy is None else energy
    _check("energy", energy, 0, 1)
    zone = Zone.YELLOW if energy < _ENERGIES[1] else Zone.PURPLE if energy > _ENERGIES[2] else Zone.GREEN
    if style is None:
        styles = [style for style in _STYLES[zone] if not (fake_drop and style is Style.AMBIENT)]
        style = styles[int(style_place * len(styles))]
    if tempo is None:
        low = np.interp(energy, _ENERGIES, (60, 84, 118, 140))
        high = np.interp(energy, _ENERGIES, (75, 100, 130, 175))
        tempo = round(float(low + tempo_place * (high - low)), 1)
    _check("tempo", tempo, 40, 250)
    duration = float(150 + round(90 * drawn_length)) if duration is None else duration
    _check("duration", duration, 0.1, 86_400)

    bar = 240 / tempo
    bars = math.ceil(duration / bar - 1e-6)
    plan = (
        [(SectionKind.GROOVE, bars)] if style is Style.AMBIENT else _plan(bars, bar, rng, fake_drop=fake_drop)
    )
    if fake_drop and not any(kind is SectionKind.DROP for kind, _ in plan):
        raise UsageError("There is no room for a fake drop: give the song more duration or another style.")
    sections: list[Section] = []
    done = 0
    for kind, length in plan:
        end = min(duration, (done + length) * bar)
        sections.append(Section(kind, done * bar, end, _LEVELS[kind]))
        done += length
    kinds = [section.kind for section in sections]
    fakes = [
        section.start
        for section, kind, before in zip(sections[1:], kinds[1:], kinds, strict=False)
        if kind is SectionKind.FAKE_DROP or (kind is SectionKind.BREAK and before is SectionKind.BUILD)
    ]
    return Song(
        seed=seed,
        style=style,
        tempo=tempo,
        energy=energy,
        zone=zone,
        key=key,
        minor=minor,
        sections=tuple(sections),
        drops=tuple(section.start for section in sections if section.kind is SectionKind.DROP),
        fake_drops=tuple(fakes),
        loudness=round(float(np.interp(energy, _ENERGIES, (-30, -20, -11.5, -8))), 2),
        duration=duration,
        title=title,
        artist=artist,
    )


def render(song: Song, *, rate: int = 44_100) -> Samples:
    """All samples of a song, float32 ``[round(duration * rate), 2]``, none beyond -1 to 1."""
    return np.concatenate(list(_Renderer(song, rate).bars()))


def render_blocks(song: Song, *, rate: int = 44_100, seconds: float = 10.0) -> Iterator[Samples]:
    """The samples of `render` in blocks of so many seconds (the last may be shorter), in bounded memory."""
    size = max(1, round(seconds * rate))
    waiting: list[Samples] = []
    held = 0
    for bar in _Renderer(song, rate).bars():
        waiting.append(bar)
        held += len(bar)
        if held >= size:
            joined = np.concatenate(waiting)
            whole = held // size * size
            yield from (joined[start : start + size] for start in range(0, whole, size))
            waiting, held = [joined[whole:]], held - whole
    if held:
        yield np.concatenate(waiting)


def _check(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise UsageError(f"The {name} of a song must be from {low} to {high}, but is {value}.")


def _plan(
    bars: int, bar: float, rng: np.random.Generator, *, fake_drop: bool
) -> list[tuple[SectionKind, int]]:
    """Kinds of section and their bars. Where there is no room for a break, all is groove."""
    phrase = 8 if bars > 64 else 4 if bars >= 24 else 2
    edge = phrase if phrase == 8 else phrase // 2
    quiet = max(phrase, math.ceil(6 / bar))
    build = quiet // 2
    with_kick = bool(rng.random() < 0.5)
    false_end = [(SectionKind.BREAK, quiet - build), (SectionKind.BUILD, build)]
    if with_kick:
        false_end.append((SectionKind.FAKE_DROP, 1))
    extra = sum(length for _, length in false_end) if fake_drop else 0
    inner = bars - 2 * edge - extra
    rounds = inner // (4 * phrase + quiet) or inner // (2 * phrase + quiet)
    if rounds < 1:
        return [(SectionKind.GROOVE, bars)]
    false_round = int(rng.integers(rounds))
    spare = inner - rounds * (2 * phrase + quiet)
    # Spare bars lengthen grooves and drops in turn, by whole phrases; the very last drop takes the rest.
    longer = [spare // phrase // (2 * rounds)] * (2 * rounds)
    for place in range(spare // phrase % (2 * rounds)):
        longer[place] += 1
    lengths = [phrase * (1 + more) for more in longer]
    lengths[-1] += spare % phrase
    plan = [(SectionKind.INTRO, edge)]
    for number in range(rounds):
        plan.append((SectionKind.GROOVE, lengths[2 * number]))
        if fake_drop and number == false_round:
            plan += false_end
        plan += [(SectionKind.BREAK, quiet - build), (SectionKind.BUILD, build)]
        plan.append((SectionKind.DROP, lengths[2 * number + 1]))
    return [*plan, (SectionKind.OUTRO, edge)]


class _Renderer:
    """Plays a song bar by bar. Sounds that outlast their bar are carried into the next."""

    def __init__(self, song: Song, rate: int) -> None:
        if not 8000 <= rate <= 192_000:
            raise UsageError(f"The sample rate must be from 8000 to 192000, but is {rate}.")
        self._song, self._rate = song, rate
        # Zones are felt at their borders: most of the way to hard lies in the middle third.
        self._hard = hard = float(np.interp(song.energy, _ENERGIES, (0, 0.36, 0.8, 1)))
        rng = np.random.Generator(np.random.PCG64([song.seed, 1]))
        scale = (0, 2, 3, 5, 7, 8, 10) if song.minor else (0, 2, 4, 5, 7, 9, 11)
        self._progression = _PROGRESSIONS[song.minor][rng.integers(3)]
        self._scale = [song.key + step for step in scale]
        self._swing = 0.6 + 0.06 * float(rng.random()) if song.style is Style.SWING else 0.5
        self._line = self._compose_line(rng)
        self._bass_steps = _BASS_STEPS[0 if hard < 0.33 else 1 if hard < 0.66 else 2]
        self._shots: dict[tuple[str, float, float], Samples] = {}
        self._kick = sounds.kick(rate, hard)
        self._snare = sounds.snare(rate, hard)
        self._clap = sounds.clap(rate, hard)
        self._hat = sounds.cymbal(rate, hard, 0.03)
        self._open_hat = sounds.cymbal(rate, hard, 0.12)
        self._crash = sounds.cymbal(rate, hard, 0.5)
        self._tail = round(3.0 * rate)
        self._gain = self._find_gain()

    def bars(self) -> Iterator[Samples]:
        """The finished samples of one bar after another."""
        song, rate = self._song, self._rate
        total = round(song.duration * rate)
        fade = round(min(3.0, song.duration / 4) * rate)
        carried = [np.zeros((self._tail, 2), np.float32) for _ in range(2)]
        index = start = 0
        while start < total:
            size = self._bar_start(index + 1) - start
            drums, music = self._play_bar(index)
            for bus, rest in zip((drums, music), carried, strict=True):
                bus[: self._tail] += rest
            out = self._master(drums[:size], music[:size], index)[: total - start]
            left = total - start - np.arange(len(out))
            if left[-1] < fade:
                out *= np.minimum(1, left / fade).astype(np.float32)[:, None]
            yield out
            carried = [bus[size:] for bus in (drums, music)]
            index, start = index + 1, start + size

    def _bar_start(self, index: int) -> int:
        return round(index * self._song.bar * self._rate)

    def _section(self, index: int) -> Section:
        middle = min((index + 0.5) * self._song.bar, self._song.duration - 1e-9)
        return next(section for section in self._song.sections if middle < section.end)

    def _find_gain(self) -> float:
        """The gain into the saturating master that makes the fullest section as loud as the song asks."""
        fullest = max(self._song.sections, key=lambda section: (section.level, section.end - section.start))
        first = round(fullest.start / self._song.bar)
        mixed = []
        for index in range(first, first + 4):
            drums, music = self._play_bar(index)
            size = self._bar_start(index + 1) - self._bar_start(index)
            mixed.append(self._duck(drums[:size], music[:size], index)[:: 8 if size > 8000 else 1])
        sample = np.concatenate(mixed) * fullest.level
        wanted = 10 ** (self._song.loudness / 20)
        low, high = 1e-4, 1e3
        for _ in range(30):
            gain = math.sqrt(low * high)
            rms = math.sqrt(float(np.mean(np.square(np.tanh(gain * sample)))))
            low, high = (gain, high) if rms < wanted else (low, gain)
        return math.sqrt(low * high)

    def _master(self, drums: Samples, music: Samples, index: int) -> Samples:
        """Duck, set the level and saturate."""
        gain = self._gain * self._section(index).level
        saturated: Samples = np.tanh(np.float32(gain) * self._duck(drums, music, index))
        return saturated

    def _duck(self, drums: Samples, music: Samples, index: int) -> Samples:
        """Drums over music that gives way to each kick, as a compressor in side-chain would make it."""
        depth = 0.25 + 0.5 * self._hard
        hole = round(0.6 * self._song.bar / 4 * self._rate)
        room = np.ones(len(music), np.float32)
        for step in self._kicks(index):
            at = round(self._time(step) * self._rate)
            part = room[at : at + hole]
            np.minimum(
                part, 1 - depth * (1 - np.arange(len(part)) / hole) ** 2, out=part, casting="same_kind"
            )
        return drums + music * room[:, None]

    def _time(self, step: float) -> float:
        """Seconds from the start of the bar to a sixteenth, swung."""
        beat, place = divmod(step / 4, 1)
        late = place * 2 * self._swing if place < 0.5 else 1 - (1 - place) * 2 * (1 - self._swing)
        return (beat + late) * self._song.bar / 4

    def _add(self, bus: Samples, shot: Samples, step: float, gain: float) -> None:
        at = round(self._time(step) * self._rate)
        part = bus[at : at + len(shot)]
        part += shot[: len(part)] * np.float32(gain)

    def _shot(self, name: str, midi: float, steps: float, make: Callable[[], Samples]) -> Samples:
        found = self._shots.get((name, midi, steps))
        if found is None:
            found = self._shots[name, midi, steps] = make()
        return found

    def _kicks(self, index: int) -> tuple[int, ...]:
        if self._song.style is Style.AMBIENT or self._section(index).kind not in _WITH_KICK:
            return ()
        patterns = _KICKS[self._song.style]
        return patterns[index % len(patterns)]

    def _play_bar(self, index: int) -> tuple[Samples, Samples]:
        """Drums and music that start in a bar, each followed by room for their tails."""
        size = self._bar_start(index + 1) - self._bar_start(index)
        drums, music = (np.zeros((size + self._tail, 2), np.float32) for _ in range(2))
        section = self._section(index)
        place = index - round(section.start / self._song.bar)
        length = max(1, round((section.end - section.start) / self._song.bar))
        rng = np.random.Generator(np.random.PCG64([self._song.seed, 2, index]))
        if self._song.style is not Style.AMBIENT:
            self._play_drums(drums, section, place, index, rng)
        if section.kind is SectionKind.BUILD:
            self._play_build(drums, place, length)
        self._play_harmony(music, section, index)
        self._play_line(music, section, index, rng)
        return drums, music

    def _play_drums(
        self, bus: Samples, section: Section, place: int, index: int, rng: np.random.Generator
    ) -> None:
        hard, style = self._hard, self._song.style
        for step in self._kicks(index):
            self._add(bus, self._kick, step, 0.5 + 0.5 * hard)
        if place == 0 and section.kind in (SectionKind.DROP, SectionKind.FAKE_DROP, SectionKind.BREAK):
            self._add(bus, self._crash, 0, 0.1 + 0.4 * hard)
        if section.kind in (SectionKind.BREAK, SectionKind.BUILD, SectionKind.FAKE_DROP):
            return
        back = self._clap if style is Style.FOUR_ON_THE_FLOOR else self._snare
        for step in (8,) if style is Style.HALF_TIME else (4, 12):
            self._add(bus, back, step, 0.3 + 0.3 * hard)
        if style is Style.BREAKBEAT:
            for step in (7, 9, 15):
                if rng.random() < 0.3 + 0.5 * hard:
                    self._add(bus, self._snare, step, 0.05 + 0.15 * hard)
        every = 1 if hard > 0.6 else 2
        for step in range(0, 16, every):
            accent = 1.0 if step % 4 == 2 else 0.65
            self._add(bus, self._hat, step, (0.08 + 0.3 * hard) * accent * rng.uniform(0.8, 1.0))
        if hard > 0.4 and style is not Style.BREAKBEAT:
            for step in (2, 6, 10, 14):
                self._add(bus, self._open_hat, step, 0.05 + 0.25 * hard)
        if index % 4 == 3 and hard > 0.3:
            for step in range(16 - round(8 * hard), 16):
                self._add(bus, self._snare, step, (0.1 + 0.25 * hard) * (0.5 + (step - 8) / 16))

    def _play_build(self, bus: Samples, place: int, length: int) -> None:
        hard = self._hard
        size = self._bar_start(1)
        noise = self._shot("riser", 0, length, partial(sounds.riser, self._rate, length * self._song.bar))
        part = noise[place * size : (place + 1) * size]
        bus[: len(part)] += part * np.float32(0.15 + 0.5 * hard)
        every = 4 if place < length / 2 else 2 if place < length - 1 else 1
        for step in range(0, 16, every):
            growth = (place + step / 16) / length
            self._add(bus, self._snare, step, (0.1 + 0.4 * hard) * (0.3 + 0.7 * growth))

    def _play_harmony(self, bus: Samples, section: Section, index: int) -> None:
        hard, bar = self._hard, self._song.bar
        ambient = self._song.style is Style.AMBIENT
        degree = self._progression[index % 4]
        soft = 1 - hard
        pitches = [self._pitch(degree + third, 55) for third in ((0, 2, 4, 6) if hard < 0.5 else (0, 2, 4))]
        pad = self._shot(
            "pad",
            degree,
            16,
            partial(
                sounds.chord,
                self._rate,
                pitches,
                bar,
                cutoff=320 * 2 ** (5 * hard),
                attack=0.02 + soft**2 * 0.4 * bar,
                release=0.05 + min(2.0, soft**2 * 1.5),
                drive=0.5 + 7 * max(0.0, hard - 0.4),
                seed=self._song.seed + degree,
            ),
        )
        gain = 0.28 if section.kind in _FULL else 0.4 if section.kind in _WITH_KICK else 0.55
        self._add(bus, pad, 0, gain if not ambient else 0.6)
        if section.kind not in _FULL:
            return
        root = 28 + (self._scale[degree % 7] - 28) % 12
        steps = (0,) if ambient else self._bass_steps
        seconds = (16 if ambient else min(8, 16 / len(steps))) * bar / 16 * 0.9
        note = self._shot("bass", root, 0, partial(sounds.bass, self._rate, _hertz(root), seconds, hard))
        for step in steps:
            self._add(bus, note, step, 0.2 if ambient else 0.3)

    def _compose_line(self, rng: np.random.Generator) -> list[tuple[int, int, float]]:
        """The notes of two bars: sixteenth, step above the chord's root, openness of the filter (0 to 1)."""
        hard = self._hard
        grid = 1 if hard > 0.6 else 2 if hard > 0.3 else 4
        line = []
        for step in range(0, 32, grid):
            played, choice, openness = rng.random(3)
            if played < 0.35 + 0.4 * hard:
                line.append((step, (0, 2, 4, 7, 4, 9)[int(choice * 6)], int(openness * 4) / 4))
        return line

    def _play_line(self, bus: Samples, section: Section, index: int, rng: np.random.Generator) -> None:
        if section.kind in (SectionKind.INTRO, SectionKind.OUTRO, SectionKind.FAKE_DROP):
            return
        hard = self._hard
        degree = self._progression[index % 4]
        seconds = 0.2 + 1.6 * max(0.0, 0.6 - hard)
        for step, above, openness in self._line:
            if step // 16 != index % 2:
                continue
            shot = self._shot(
                "lead",
                degree + above,
                openness,
                partial(
                    sounds.lead,
                    self._rate,
                    self._pitch(degree + above, 60),
                    seconds,
                    cutoff=500 * 2 ** (3.5 * hard + 1.5 * openness),
                    resonance=4 * hard,
                    drive=0.5 + 6 * hard**2,
                ),
            )
            self._add(bus, shot, step % 16, (0.12 + 0.2 * hard) * rng.uniform(0.8, 1.0))

    def _pitch(self, degree: int, lowest: int) -> float:
        """Hertz of a degree of the scale in the first octave from a MIDI note up, higher degrees above it."""
        octave, step = divmod(degree, 7)
        midi = self._scale[step] % 12 + 12 * octave
        base = lowest - lowest % 12
        return _hertz(base + midi if base + midi >= lowest else base + midi + 12)


def _hertz(midi: float) -> float:
    return float(440 * 2 ** ((midi - 69) / 12))


_STYLES: Final = {
    Zone.YELLOW: (Style.AMBIENT, Style.AMBIENT, Style.HALF_TIME),
    Zone.GREEN: (Style.FOUR_ON_THE_FLOOR, Style.SWING, Style.HALF_TIME, Style.BREAKBEAT),
    Zone.PURPLE: (Style.FOUR_ON_THE_FLOOR, Style.FOUR_ON_THE_FLOOR, Style.BREAKBEAT),
}
# Sixteenths of the bar, one pattern a bar in turn.
_KICKS: Final[dict[Style, tuple[tuple[int, ...], ...]]] = {
    Style.FOUR_ON_THE_FLOOR: ((0, 4, 8, 12),),
    Style.BREAKBEAT: ((0, 2, 10), (0, 10, 11), (0, 2, 10), (0, 7, 10)),
    Style.HALF_TIME: ((0,), (0, 10), (0,), (0, 6)),
    Style.SWING: ((0, 8), (0, 8, 14), (0, 8), (0, 6, 8)),
}
_BASS_STEPS: Final[tuple[tuple[int, ...], ...]] = (
    (0, 8),
    (0, 2, 6, 8, 10, 14),
    (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
)
# Degrees of the scale, one chord a bar; by `Song.minor`.
_PROGRESSIONS: Final = (
    ((0, 4, 5, 3), (0, 3, 4, 4), (0, 5, 3, 4)),
    ((0, 5, 2, 6), (0, 3, 5, 6), (0, 0, 5, 6)),
)
_ADJECTIVES: Final = (
    "Amber",
    "Broken",
    "Cold",
    "Distant",
    "Electric",
    "Golden",
    "Hollow",
    "Midnight",
    "Velvet",
)
_NOUNS: Final = (
    "Arcade",
    "Circuit",
    "Drift",
    "Harbour",
    "Mirror",
    "Orbit",
    "Parade",
    "Signal",
    "Tide",
    "Voltage",
)
_NAMES: Final = (
    "Ada",
    "Brandt",
    "Cosmo",
    "Delia",
    "Ferro",
    "Juno",
    "Kaspar",
    "Lumen",
    "Mika",
    "Nova",
    "Vega",
)
