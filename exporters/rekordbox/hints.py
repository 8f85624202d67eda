"""What a user of rekordbox has to know after a write, whichever way it went."""

from __future__ import annotations


def hints(yellow: str, green: str, purple: str) -> tuple[str, ...]:
    """Lines for `Target.after`, with the zones' usual colours by the names that the target has for them."""
    return (
        "Sticks must be exported again.",
        "Names to type in Preferences > Advanced > Browse > Color, unless you set other colours:",
        f"{yellow} = YELLOW, {green} = GREEN, {purple} = PURPLE.",
        "Never Reload Tag on the whole collection: it replaces what you edited in rekordbox by what the files say.",
    )
