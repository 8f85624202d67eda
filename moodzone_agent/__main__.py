"""``python -m moodzone_agent`` and the ``moodzone`` command; light, because each worker process imports it, too."""

from __future__ import annotations


def main() -> None:
    """Run the command line."""
    from moodzone_agent.cli import main as run

    run()


if __name__ == "__main__":
    main()
