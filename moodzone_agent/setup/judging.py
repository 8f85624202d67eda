"""The step in which the user judges tracks by ear, not knowing what the model says."""

from __future__ import annotations

import time
from contextlib import nullcontext
from typing import TYPE_CHECKING, Final

from rich.text import Text

from moodzone_agent.commands.shared import prompt, shown
from moodzone_agent.console import track_name, zone_text
from moodzone_agent.errors import AudioError
from moodzone_agent.setup.listening import Player, tracks_to_judge
from moodzone_agent.setup.session import Session, State, StepResult
from moodzone_agent.types import Label, LabelOrigin, Zone

if TYPE_CHECKING:
    from moodzone_agent.library.records import TrackRecord

_COUNT: Final = 12
_SOURCE: Final = "setup"
_TIMES: Final = "setup judged"
_ANSWERS: Final = {"y": Zone.YELLOW, "g": Zone.GREEN, "p": Zone.PURPLE}
_QUESTION: Final = "[y]ellow [g]reen [p]urple, [s]kip [r]eplay [q]uit"


def judge(session: Session) -> StepResult:
    """Twelve tracks that the user hasn't labelled; the answers count as labels."""
    if session.yes:
        return StepResult(State.SKIPPED, "it needs your ears: `moodzone setup --only judge`")
    library = session.library
    times = int(library.meta(_TIMES) or 0)
    tracks = tracks_to_judge(library.tracks(), _COUNT, times)
    if not tracks:
        return StepResult(State.SKIPPED, "there is no rated track without a label of yours")
    player = Player.find()
    session.say(
        f"  {len(tracks)} tracks, each played from its middle by {player.name}. What would you call them?"
        if player
        else "  No player was found (ffplay, mpv or VLC would do): play them yourself. What would you call them?"
    )
    if not session.agrees("Begin?", default=True):
        return StepResult(State.SKIPPED, "you said no")
    library.set_meta(_TIMES, str(times + 1))
    judged: list[tuple[TrackRecord, Zone, Zone]] = []
    is_over = False
    for number, track in enumerate(tracks, 1):
        answer = _listen(session, track, player, f"{number}/{len(tracks)}")
        if answer == "q":
            is_over = True
            break
        zone = _ANSWERS.get(answer)
        if zone is not None and track.estimate is not None:
            library.add_label(Label(track.audio_id, zone, LabelOrigin.ASKED, _SOURCE, time.time_ns()))
            judged.append((track, zone, track.estimate.zone))
    agreed = sum(said is modelled for _, said, modelled in judged)
    for track, said, modelled in judged:
        if said is not modelled:
            yours, its = (Text(f"{zone:<8}", zone_text(zone).style) for zone in (said, modelled))
            session.say(Text.assemble("  you ", yours, "model ", its, track_name(track)))
    if judged:
        session.say(
            f"  The model agreed with you on {agreed} of {len(judged)}: a hint, not a score. Your word counts."
        )
    details = {"judged": len(judged), "agreed": agreed, "offered": len(tracks)}
    if is_over or not judged:
        return StepResult(State.SKIPPED, "you stopped before the end; what you said is kept", details)
    return StepResult(details=details)


def _listen(session: Session, track: TrackRecord, player: Player | None, number: str) -> str:
    """Play a track until the user has answered with one of the letters, "r" not among them."""
    path = track.paths[0]
    session.say(
        Text.assemble((f"  {number}  ", "dim"), (track_name(track), "bold"), (f"  {shown(path)}", "dim"))
    )
    while True:
        try:
            with player.play(path, track.duration) if player else nullcontext() as playing:
                answer = _ask(session)
                if playing is not None and playing.failed:
                    session.say(f"  {player.name if player else ''} could not play it; play it yourself")
        except AudioError as error:
            session.say(f"  {error}; play it yourself")
            player = None
            continue
        if answer != "r":
            return answer


def _ask(session: Session) -> str:
    while True:
        answer = prompt(_QUESTION).lower()[:1]
        if answer in {*_ANSWERS, "s", "r", "q"}:
            return answer
        session.say("  one letter, please: y, g, p, s, r or q")
