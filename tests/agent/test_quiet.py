"""The agent works only where it disturbs nobody."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import psutil
import pytest

from exporters.programs import PROGRAMS
from moodzone_agent.background.quiet import Facts, Permission, Surroundings, decide, runs_on_battery

FREE = Permission(analyse=True, write=True)


def test_with_nothing_in_the_way_it_works() -> None:
    assert decide(Facts()) == decide(Facts(on_battery=False)) == FREE


@pytest.mark.parametrize("even_on_battery", [True, False])
def test_a_rule_is_a_rule_in_every_case(even_on_battery: bool) -> None:
    programs = [(), ("Serato DJ",), ("rekordbox", "Serato DJ")]
    for names, battery, paused in itertools.product(programs, (None, False, True), (False, True)):
        permission = decide(Facts(names, battery, paused), even_on_battery=even_on_battery)
        may = not names and not paused and (not battery or even_on_battery)
        assert (permission.analyse, permission.write) == (may, may)
        assert bool(permission.reason) == (not may)


def test_reasons_are_words() -> None:
    assert decide(Facts(("Serato DJ",))).reason == "Serato DJ is running"
    many = decide(Facts(("rekordbox", "Serato DJ", "Traktor"), on_battery=True))
    assert many.reason == "rekordbox, Serato DJ and Traktor are running"
    assert many.waits_for == "rekordbox, Serato DJ and Traktor to close"
    assert decide(Facts(on_battery=True)).reason == "on battery"
    assert decide(Facts(("Serato DJ",), paused=True)) == Permission(
        analyse=False, write=False, reason="paused by you", waits_for="`moodzone agent resume`"
    )


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
def test_each_program_counts_by_its_own_process(program: object) -> None:
    name = sorted(program.processes)[0]  # type: ignore[attr-defined]
    for process in (name, name.upper(), f"{name}.exe"):
        facts = Surroundings(processes=lambda process=process: ["bash", process], battery=lambda: None).facts(
            paused=False
        )
        assert facts.programs == (program.name,)  # type: ignore[attr-defined]


def test_helpers_do_not_count() -> None:
    helpers = ["rekordboxAgent", "rekordboxAgent.exe", "Serato DJ Pro Helper", "", "QtWebEngineProcess"]
    assert Surroundings(processes=lambda: helpers, battery=lambda: None).facts(paused=False) == Facts()


def test_the_machine_is_looked_at_every_few_seconds_only() -> None:
    now, looks = 100.0, 0
    running = ["traktor"]

    def processes() -> list[str]:
        nonlocal looks
        looks += 1
        return running

    around = Surroundings(processes=processes, battery=lambda: False, clock=lambda: now, every_seconds=5)
    assert around.facts(paused=False) == Facts(("Traktor",), on_battery=False)
    running.clear()
    now = 104.9
    assert around.facts(paused=True) == Facts(("Traktor",), on_battery=False, paused=True)
    assert looks == 1
    now = 105.0
    assert around.facts(paused=False) == Facts(on_battery=False)
    assert looks == 2


def test_this_machine_tells() -> None:
    facts = Surroundings().facts(paused=False)
    assert set(facts.programs) <= {program.name for program in PROGRAMS}
    assert facts.on_battery in {None, False, True}


@pytest.mark.parametrize(
    ("plugged", "expected"), [(True, False), (False, True), (None, None), ("none", None), ("broken", None)]
)
def test_batteries(monkeypatch: pytest.MonkeyPatch, plugged: object, expected: bool | None) -> None:
    def read() -> object:
        if plugged == "broken":
            raise FileNotFoundError
        return None if plugged == "none" else SimpleNamespace(power_plugged=plugged)

    monkeypatch.setattr(psutil, "sensors_battery", read, raising=False)
    assert runs_on_battery() is expected
    monkeypatch.delattr(psutil, "sensors_battery")
    assert runs_on_battery() is None
