"""The tags of music files as a target: a visible token, and our own field beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final

from exporters.atomic import Times, edit_file
from exporters.base import Change, Collection, Field, Place, Sighting, Target, Want, WriteStatus
from exporters.census import Census, take_census
from exporters.tags.edit import TagField, TagState, apply_mark, preview_text, read_state
from moodzone_agent.errors import FileChangedError, FileError, TagError
from moodzone_agent.types import Mark, MarkState

if TYPE_CHECKING:
    from exporters.journal import Run

_MEANWHILE: Final = "another program edited its tags just now; nothing was written"


@dataclass(frozen=True, slots=True)
class TagSettings:
    """How zones are written into files."""

    field: TagField = TagField.COMMENT
    """Where the visible token goes: comment, grouping, genre or none."""
    times: Times = Times.NUDGE
    """What becomes of the modification time: nudge (two seconds later), keep or now."""


class TagCollection(Collection):
    """The tags of some music files. Each file is edited on its own; one that fails is a failed change.

    A file tells by its own field which token is ours, so `Want.ours` is not looked at.
    """

    target: ClassVar[str] = "tags"
    carries: ClassVar[frozenset[Field]] = frozenset({Field.OWN, Field.TEXT})
    in_file = carries
    by_file = True

    def __init__(self, tracks: Callable[[], Iterable[Path]], settings: TagSettings) -> None:
        super().__init__(Path("tags"))
        self._tracks = tracks
        self._field = settings.field
        self._times = settings.times
        self._shown = Field.OWN if settings.field is TagField.NONE else Field.TEXT

    def version(self) -> str:
        """The formats are told apart by file."""
        return "ID3, MP4, Vorbis comments, RIFF"

    def census(self, ours: Callable[[Place], frozenset[str]] = lambda _: frozenset()) -> Census:
        """What stands in the field; files that cannot be read are left out."""
        del ours  # our token counts as no pattern, whoever wrote it
        states = ((path, self._try_read(path)) for path in self._tracks())
        return take_census((path, state.text, "") for path, state in states if state is not None)

    def read(self, among: frozenset[Path] | None = None) -> Iterator[Sighting]:
        """Of each file that can be read its own field and, if there is one, its visible field.

        The tokens count that are not ours; one of the user's that takes the question mark off ours is not ours.
        """
        for path in self._tracks() if among is None else sorted(among):
            state = self._try_read(path)
            if state is not None:
                yield from self.sightings(path, state)

    def sightings(self, path: Path, state: TagState) -> Iterator[Sighting]:
        """What stands in the places of a file in this state."""
        own = () if state.mark is None else (state.mark,)
        yield Sighting(Place(path, Field.OWN), state.mark.field if state.mark else "", own)
        if self._shown is Field.TEXT:
            yield Sighting(Place(path, Field.TEXT), state.text, state.user_tokens or state.tokens)

    def preview(self, wants: Iterable[Want]) -> Iterator[Change]:
        """One change a file, of its visible field or, where none is wanted, of its own."""
        for want in wants:
            try:
                state = read_state(want.path, field=self._field)
            except FileError as error:
                yield Change(want, self._shown, "", "").failed(str(error))
            else:
                yield self._planned(want, state)

    def files(self) -> list[Path]:
        """None: the journal keeps the way back of each music file."""
        return []

    def _planned(self, want: Want, state: TagState) -> Change:
        change = Change(want, self._shown, state.text, preview_text(state, want.mark))
        objection = _objection(state, want.mark)
        if objection:
            return change.kept(state.text, objection)
        if state.mark == want.mark and change.after == change.before:
            return replace(change, status=WriteStatus.UNCHANGED)
        return replace(change, ours=want.mark.token if want.mark else "")

    def _apply(self, changes: Sequence[Change], run: Run) -> Iterator[Change]:
        for change in changes:
            yield self._write(change, run)

    def _write(self, change: Change, run: Run) -> Change:
        found = change.before

        def edit(copy: Path) -> None:
            nonlocal found
            found = read_state(copy, field=self._field).text
            if found != change.before:
                raise FileChangedError(_MEANWHILE)
            apply_mark(copy, change.want.mark, field=self._field)

        note = {**change.want.note, "field": str(self._field)}
        try:
            if edit_file(change.want.path, edit, run, times=self._times, note=note):
                return change
        except FileError as error:
            return change.failed(str(error)) if found == change.before else change.kept(found, _MEANWHILE)
        return replace(change, status=WriteStatus.UNCHANGED, ours="")

    def _try_read(self, path: Path) -> TagState | None:
        try:
            return read_state(path, field=self._field)
        except TagError:
            return None


def _objection(state: TagState, mark: Mark | None) -> str:
    """Why a file is left alone: somebody else's token stands there, and it is not what its user told us."""
    if mark is None:
        return ""
    other = next((token for token in state.user_tokens if token.zone is not mark.zone), None)
    token = other or next(iter(state.user_tokens), None)
    if token is None or (other is None and mark.state is MarkState.LABELLED):
        return ""
    return (
        f"somebody put {token.token} into its {state.field}; take that over with "
        f"`moodzone label FILE {token.zone.lower()}`, or take the token out of the {state.field}"
    )


TARGET: Final[Target[TagSettings]] = Target(
    name=TagCollection.target,
    shown_in="the tags of your files",
    carries=TagCollection.carries,
    find=lambda machine, settings: [TagCollection(machine.tracks, settings)],
    open=lambda _, machine, settings: TagCollection(machine.tracks, settings),
    after=(
        "New imports into any program show the zone by themselves.",
        "Serato: drag files that it knows already onto Rescan ID3 Tags in the Files panel.",
        "Traktor reads a changed file when it shows it. VirtualDJ: Reload tags. Engine DJ: Re-import.",
        "rekordbox: Reload Tag, on chosen tracks only, never on all: it replaces what you edited in rekordbox.",
        "Mixxx: Import From File Tags, on chosen tracks only: it also resets Mixxx's own track colours.",
    ),
)
