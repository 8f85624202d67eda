"""How a place is changed: nothing and what is ours give way, what is the user's stays and is handed back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from exporters.base import Change, Field, Want, WriteStatus
from exporters.lists import list_marks, list_of
from exporters.tags import mapping
from moodzone_agent.errors import UsageError
from moodzone_agent.types import ZONES, Mark, Zone


def plan_place(want: Want, field_: Field, found: str, colours: Mapping[Zone, str]) -> Change:
    """The change of a place in which a text, a colour or a list shows the zone."""
    match field_:
        case Field.TEXT:
            return plan_text(want, found)
        case Field.COLOUR:
            return plan_colour(want, found, colours)
        case _:
            return plan_value(want, field_, found, list_of(want.mark))


def marks_in(field_: Field, value: str, colours: Mapping[Zone, str]) -> tuple[Mark, ...]:
    """The zones that a text, a colour or a list stands for."""
    match field_:
        case Field.TEXT:
            return text_marks(value)
        case Field.COLOUR:
            return colour_marks(value, colours)
        case _:
            return list_marks(value)


def plan_value(want: Want, field_: Field, found: str, wanted: str) -> Change:
    """The change of a place that holds one value, such as a colour: nothing and ours give way."""
    change = Change(want, field_, found, wanted, ours=wanted)
    if found == wanted:
        return replace(change, status=WriteStatus.UNCHANGED, ours="")
    if found and found not in want.ours.get(field_, ()):
        return change.kept(found)
    return change


def expect_three(colours: Mapping[Zone, str], table: str) -> None:
    """Raises UsageError where zones share a colour; ``table`` of the settings is where the cure is."""
    if len(set(colours.values())) < len(ZONES):
        raise UsageError(f"[{table}] in the settings needs three colours for yellow, green and purple")


def plan_colour(want: Want, found: str, colours: Mapping[Zone, str]) -> Change:
    """The change of a track's colour. Where the zone has no colour, one of ours gives way to none."""
    wanted = colours.get(want.mark.zone, "") if want.mark else ""
    change = plan_value(want, Field.COLOUR, found, wanted)
    if want.mark and not wanted and change.status is not WriteStatus.WRITTEN:
        return change.skipped(f"no colour is left for {want.mark.zone}; choose one in the settings")
    return change


def colour_marks(colour: str, colours: Mapping[Zone, str]) -> tuple[Mark, ...]:
    """The zones that a colour stands for."""
    return tuple(Mark(zone) for zone in ZONES if colour and colours.get(zone) == colour)


def plan_text(want: Want, text: str) -> Change:
    """The change of a text of the user's that shows a token; a token that isn't ours is never touched."""
    ours = _token_of_ours(want, text)
    users = [token for token, is_ours in mapping.find_tokens(text, ours) if not is_ours]
    if want.mark is None:
        change = Change(want, Field.TEXT, text, mapping.without_token(text, ours))
    elif other := next((token for token in users if token.zone is not want.mark.zone), None):
        return Change(want, Field.TEXT, text, text).kept(text, f"somebody wrote {other.token} there")
    elif users:
        change = Change(want, Field.TEXT, text, text)
    else:
        change = Change(
            want, Field.TEXT, text, mapping.with_token(text, want.mark, ours), ours=want.mark.token
        )
    if change.before == change.after:
        return replace(change, status=WriteStatus.UNCHANGED, ours="")
    return change


def _token_of_ours(want: Want, text: str) -> Mark | None:
    marks = (Mark.from_token(token) for token in sorted(want.ours.get(Field.TEXT, ())))
    return next((mark for mark in marks if mark and mapping.has_token(text, mark)), None)


def text_marks(text: str) -> tuple[Mark, ...]:
    """The zones that the tokens of a text stand for."""
    return tuple(mark for mark, _ in mapping.find_tokens(text, None))
