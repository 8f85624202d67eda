"""The models of this machine: bundles in numbered folders, never changed, and which of them is in use.

::

    lock              held by the one process that adds or promotes
    champion.json     the history of promotions; the last word is the bundle in use; and which bundle waits for a yes
    0001/             a bundle as it was added, read-only, and CARD.md, made from its manifest
    .adding-3f2a.../  what a killed process was adding; the next one that adds removes it

Number 0 is the bundle that ships with the program. A number is never given twice.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from exporters.filesystem import replace_file, sync, sync_folder, try_lock
from exporters.journal import TEMP_NAME
from moodzone_agent.classify.bundle import MANIFEST, Bundle, load_bundle
from moodzone_agent.classify.card import CARD, model_card
from moodzone_agent.classify.session import ZoneModel
from moodzone_agent.errors import BundleError, UsageError

SHIPPED: Final = 0
"""The number of the bundle that ships."""

_SCHEMA: Final = 1
_CHAMPION: Final = "champion.json"
_LOCK: Final = "lock"
_STAGED: Final = ".adding-"
_NUMBER: Final = re.compile(r"\d{4,}")
_WAIT_SECONDS: Final = 30.0
_JUDGED: Final = frozenset({"base", "contest", "metrics", "holdout", "trained_on", "packages"})
_CURE: Final = "`moodzone model promote` another, or retrain"


@dataclass(frozen=True, slots=True)
class Entry:
    """One bundle of the registry."""

    number: int
    bundle: Bundle | None
    """None where it can't be used."""
    error: str = ""
    """Why it can't be used."""


@dataclass(frozen=True, slots=True)
class Champion:
    """The bundle in use."""

    number: int
    bundle: Bundle
    warning: str = ""
    """Why it isn't the one that was promoted, if so."""
    shipped_chosen: str | None = None
    """Id of the bundle that shipped when the user last chose it by its number, if that was the last choice."""


class _DamagedHistoryError(BundleError):
    """It is not known what was promoted."""


class Registry:
    """The bundles in a folder, which needn't exist. Reading takes no lock and changes nothing.

    All methods that change something raise `BundleError` where the folder can't be written, or another
    process is at it for more than half a minute.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def champion_file(self) -> Path:
        """The file that says which bundle is in use; it changes with every promotion."""
        return self.folder / _CHAMPION

    def bundles(self) -> list[Entry]:
        """All by number, the one that ships first; those that can't be used too, with the reason."""
        return [self._entry(number) for number in (SHIPPED, *self._numbers())]

    def bundle(self, number: int) -> Bundle:
        """One bundle, checked. Errors: `UsageError` if there is none; `BundleError` if it can't be used."""
        if number == SHIPPED:
            return load_bundle()
        if number not in self._numbers():
            raise UsageError(f"there is no model {number}; `moodzone model list` shows those that are there")
        return load_bundle(self._place(number), cure=_CURE)

    def champion(self) -> Champion:
        """The bundle in use: the one promoted last, or the one that ships if there is none that can be used.

        Errors: `BundleError` if that one can't be used, either.
        """
        try:
            history = self._history()
            number = (_replayed(history) or [SHIPPED])[-1]
            return Champion(number, self.bundle(number), shipped_chosen=_shipped_chosen(history))
        except (BundleError, UsageError) as error:
            return Champion(SHIPPED, load_bundle(), f"the model that ships is used, since {error}")

    def add(self, folder: Path) -> int:
        """Take in a copy of a bundle; returns its number, which is an old one if it is here already.

        Errors: `BundleError` if the bundle can't be used, or has the id of another.
        """
        bundle = load_bundle(folder)
        with self._held():
            self._sweep()
            with _translated(self.folder):
                staged = self.folder / f"{_STAGED}{secrets.token_hex(4)}"
                staged.mkdir()
                try:
                    return self._settle(staged, bundle)
                finally:
                    _delete(staged)

    def _settle(self, staged: Path, source: Bundle) -> int:
        """Copy a bundle to `staged`, prove the copy, and give it its number."""
        for name in (MANIFEST, *source.manifest["files"]):
            _write(staged / name, (source.folder / name).read_bytes())
        bundle = load_bundle(staged)
        ZoneModel(bundle).load()
        known = self._known(bundle)
        if known is not None:
            return known
        if CARD not in bundle.manifest["files"]:
            _write(staged / CARD, model_card(bundle).encode())
        sync_folder(staged)
        number = max((SHIPPED, *self._numbers(), *self._ever_promoted())) + 1
        staged.rename(self._place(number))
        sync_folder(self.folder)
        return number

    def promote(self, number: int, *, by_user: bool = False) -> None:
        """Use this bundle from now on; none waits for a yes any more. Errors: as of `bundle`."""
        bundle = self.bundle(number)
        ZoneModel(bundle).load()
        with self._held():
            is_damaged = False
            try:
                history = self._history()
            except _DamagedHistoryError:  # which this cures
                history, is_damaged = [], True
            in_use = (_replayed(history) or [SHIPPED])[-1] == number
            if number == SHIPPED:
                in_use &= _shipped_chosen(history) == bundle.model_id
            if is_damaged or not in_use:
                self._note(history, "promote", number, bundle.model_id, by_user=by_user)

    def challenge(self, number: int) -> None:
        """Note that this bundle waits for the user's yes, in place of any that did. Errors: as of `bundle`."""
        bundle = self.bundle(number)
        with self._held():
            self._put(self._history(), {"number": number, "id": bundle.model_id})

    def challenger(self) -> Entry | None:
        """The bundle that waits for the user's yes. Errors: `BundleError` if the history can't be read."""
        waiting = self._told().get("waiting")
        if not isinstance(waiting, dict) or waiting.get("number") not in self._numbers():
            return None
        return self._entry(int(waiting["number"]))

    def decline(self) -> int:
        """Let no bundle wait any more; returns the number of the one that did. Errors: `UsageError` if none does."""
        with self._held():
            waiting = self.challenger()
            if waiting is None:
                raise UsageError("no model waits for your yes")
            self._put(self._history(), None)
        return waiting.number

    def promotions_by_user(self) -> int:
        """How often the user has promoted a bundle that didn't ship. Errors: as of `challenger`."""
        return sum(
            event["event"] == "promote" and bool(event.get("by_user")) and event["number"] != SHIPPED
            for event in self._history()
        )

    def was_promoted(self, number: int) -> bool:
        """Whether this bundle was ever in use. Errors: as of `challenger`."""
        return number in (event["number"] for event in self._history() if event["event"] == "promote")

    def recipe(self) -> dict[str, Any] | None:
        """How the bundle promoted last was trained, even if it is for other features by now; None if unknown."""
        with suppress(BundleError, OSError, ValueError, KeyError, IndexError, TypeError):
            number = _replayed(self._history())[-1]
            return dict(json.loads((self._place(number) / MANIFEST).read_bytes())["recipe"])
        return None

    def rollback(self) -> int:
        """Use the bundle that was in use before the last promotion; returns its number.

        Errors: `UsageError` if nothing was promoted, or the one before is gone; `BundleError` if it can't be used.
        """
        with self._held():
            history = self._history()
            promotions = _replayed(history)
            if not promotions:
                raise UsageError("no model was promoted, so there is none to go back to")
            number = promotions[-2] if len(promotions) > 1 else SHIPPED
            bundle = self.bundle(number)
            ZoneModel(bundle).load()
            self._note(history, "rollback", number, bundle.model_id)
        return number

    def erase(self) -> None:
        """Delete everything of ours in the folder, and the folder if nothing else is in it. Errors: `OSError`."""
        if not self.folder.exists():
            return
        for place in list(self.folder.iterdir()):
            if place.is_dir() and (_NUMBER.fullmatch(place.name) or place.name.startswith(_STAGED)):
                _delete(place)
            elif place.name in {_CHAMPION, _LOCK} or TEMP_NAME.fullmatch(place.name):
                place.unlink()
        with suppress(OSError):  # it holds something else
            self.folder.rmdir()

    def _place(self, number: int) -> Path:
        return self.folder / f"{number:04}"

    def _numbers(self) -> list[int]:
        try:
            names = [place.name for place in self.folder.iterdir()]
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise _unusable(self.folder, error) from error
        numbers = (int(name) for name in names if _NUMBER.fullmatch(name))
        return sorted(number for number in numbers if number != SHIPPED)

    def _entry(self, number: int) -> Entry:
        try:
            return Entry(number, self.bundle(number))
        except BundleError as error:
            return Entry(number, None, str(error))

    def _known(self, bundle: Bundle) -> int | None:
        """The number of this very bundle, if it is here already; the library tells models apart by their ids."""
        for entry in self.bundles():
            if entry.bundle is not None and entry.bundle.model_id == bundle.model_id:
                if _what_counts(entry.bundle) == _what_counts(bundle):
                    return entry.number
                raise BundleError(
                    f"the model has the id of model {entry.number}, {bundle.model_id}, and is another: "
                    "give its manifest an id of its own"
                )
        return None

    def _history(self) -> list[dict[str, Any]]:
        """All promotions and rollbacks, oldest first. Errors: `BundleError` if they can't be read."""
        history: list[dict[str, Any]] = self._told()["history"]
        return history

    def _told(self) -> dict[str, Any]:
        """All that is noted. Errors: as of `_history`."""
        path = self.folder / _CHAMPION
        try:
            told: dict[str, Any] = json.loads(path.read_bytes())
            if told["schema"] != _SCHEMA:
                raise BundleError(f"{path} was written by a newer MoodZone: update it")
            _replayed(told["history"])
        except FileNotFoundError:
            return {"history": []}
        except OSError as error:
            raise _unusable(self.folder, error) from error
        except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
            raise _DamagedHistoryError(
                f"{path} is damaged; `moodzone model promote N` writes it anew"
            ) from error
        return told

    def _ever_promoted(self) -> list[int]:
        with suppress(BundleError):
            return [event["number"] for event in self._history()]
        return []

    def _note(
        self,
        history: list[dict[str, Any]],
        event: str,
        number: int,
        model_id: str,
        *,
        by_user: bool = False,
    ) -> None:
        """Add to the history. What waited was judged beside the bundle that is no longer in use: it waits no more."""
        entry = {"event": event, "number": number, "id": model_id, "time_ns": time.time_ns()}
        self._put([*history, entry | ({"by_user": True} if by_user else {})], None)

    def _put(self, history: list[dict[str, Any]], waiting: dict[str, Any] | None) -> None:
        told = {"schema": _SCHEMA, "history": history, **({"waiting": waiting} if waiting else {})}
        with _translated(self.folder):
            replace_file(self.folder / _CHAMPION, (json.dumps(told, indent=1) + "\n").encode())

    def _sweep(self) -> None:
        """Remove what killed processes left. The lock is ours, so that nobody is at it."""
        with _translated(self.folder):
            for place in list(self.folder.iterdir()):
                if place.name.startswith(_STAGED):
                    _delete(place)
                elif TEMP_NAME.fullmatch(place.name):
                    place.unlink()

    @contextmanager
    def _held(self) -> Iterator[None]:
        """Keep other processes from changing the registry. The lock ends with the process, however that ends."""
        with _translated(self.folder):
            if not self.folder.is_dir():
                self.folder.mkdir(parents=True, exist_ok=True)
                sync_folder(self.folder.parent)
            descriptor = os.open(self.folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            with _translated(self.folder):
                give_up = time.monotonic() + _WAIT_SECONDS
                while not try_lock(descriptor):
                    if time.monotonic() > give_up:
                        raise BundleError("another MoodZone changes the models; try again when it is done")
                    time.sleep(0.05)
            yield
        finally:
            os.close(descriptor)


def _replayed(history: list[dict[str, Any]]) -> list[int]:
    """The numbers that a rollback goes back through; the last is in use."""
    promotions: list[int] = []
    for event in history:
        if event["event"] == "promote":
            promotions.append(int(event["number"]))
        else:
            promotions.pop()
    return promotions


def _what_counts(bundle: Bundle) -> dict[str, Any]:
    """What of a manifest the estimates follow from. The rest tells how it was made and judged, beside which other."""
    return {name: told for name, told in bundle.manifest.items() if name not in _JUDGED}


def _shipped_chosen(history: list[dict[str, Any]]) -> str | None:
    """What `Champion.shipped_chosen` tells; None of a history that was written before ids were noted."""
    if not history or (_replayed(history) or [SHIPPED])[-1] != SHIPPED:
        return None
    chosen = history[-1].get("id")
    return str(chosen) if chosen else None


def _write(path: Path, content: bytes) -> None:
    """A new file, read-only and on the medium."""
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        path.chmod(0o444)
        sync(file.fileno())


def _delete(folder: Path) -> None:
    """Delete a bundle's folder, if it is there; Windows deletes no file that is read-only."""
    if folder.is_dir():
        for path in folder.iterdir():
            path.chmod(0o644)
            path.unlink()
        folder.rmdir()


@contextmanager
def _translated(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _unusable(folder, error) from error


def _unusable(folder: Path, error: OSError) -> BundleError:
    return BundleError(
        f"the models in {folder} cannot be reached ({error.strerror}); see to its disk and permissions"
    )
