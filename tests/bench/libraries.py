"""Large collections as DJ programs export them, made up to measure on."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

_TEMPI = 5
_MARKS = 5
_PLAYLIST = 100


def rekordbox_collection(tracks: int) -> bytes:
    """An XML of rekordbox 6 with that many tracks, each with beat grid and cues, and a playlist per hundred."""
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        "",
        '<DJ_PLAYLISTS Version="1.0.0">',
        '  <PRODUCT Name="rekordbox" Version="6.8.5" Company="AlphaTheta"/>',
        f'  <COLLECTION Entries="{tracks}">',
    ]
    for number in range(1, tracks + 1):
        lines += _track(number)
    playlists = range(0, tracks, _PLAYLIST)
    lines += ["  </COLLECTION>", "  <PLAYLISTS>", f'    <NODE Type="0" Name="ROOT" Count="{len(playlists)}">']
    for first in playlists:
        keys = range(first + 1, min(first + _PLAYLIST, tracks) + 1)
        lines.append(f'      <NODE Name="Set {first}" Type="1" KeyType="0" Entries="{len(keys)}">')
        lines += (f'        <TRACK Key="{key}"/>' for key in keys)
        lines.append("      </NODE>")
    lines += ["    </NODE>", "  </PLAYLISTS>", "</DJ_PLAYLISTS>", ""]
    return "\n".join(lines).encode()


def rekordbox_path(number: int) -> Path:
    """The file of a track of that collection, by its number from 1 on."""
    return Path(f"/Users/dj/Music/Artist {number % 700}/Track {number}.mp3")


def _track(number: int) -> list[str]:
    bpm = f"{90 + number % 60}.{number % 100:02d}"
    attributes = {
        "TrackID": str(number),
        "Name": f"Größer & größer no. {number}",
        "Artist": f"The <Artist> {number % 700}",
        "Composer": "",
        "Album": f"Album {number % 1500}",
        "Grouping": "",
        "Genre": "Tech House",
        "Kind": "MP3 File",
        "Size": str(9_000_000 + number),
        "TotalTime": str(200 + number % 300),
        "DiscNumber": "0",
        "TrackNumber": str(number % 15),
        "Year": "2022",
        "AverageBpm": bpm,
        "DateAdded": "2022-04-09",
        "BitRate": "320",
        "SampleRate": "44100",
        "Comments": f"8A - Energy {number % 10}",
        "PlayCount": str(number % 30),
        "Rating": "153",
        "Location": f"file://localhost{quote(str(rekordbox_path(number)))}",
        "Remixer": "",
        "Tonality": "8A",
        "Label": "A Label",
        "Mix": "Extended Mix",
    }
    inside = " ".join(f"{name}={quoteattr(value)}" for name, value in attributes.items())
    return [
        f"    <TRACK {inside}>",
        *(
            f'      <TEMPO Inizio="{at * 60}.025" Bpm="{bpm}" Metro="4/4" Battito="1"/>'
            for at in range(_TEMPI)
        ),
        *(
            f'      <POSITION_MARK Name="" Type="0" Start="{at * 30}.025" Num="{at}" Red="40" Green="226" Blue="20"/>'
            for at in range(_MARKS)
        ),
        "    </TRACK>",
    ]
