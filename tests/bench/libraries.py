"""Large collections as DJ programs export them, made up to measure on."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

from exporters.traktor.location import to_location

_TEMPI = 5
_MARKS = 5
_PLAYLIST = 100
_AUDIO_ID = 340


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


def collection_path(number: int) -> Path:
    """The file of a track of these collections, by its number from 1 on."""
    return Path(f"/Users/dj/Music/Artist {number % 700}/Track {number}.mp3")


def traktor_collection(tracks: int) -> bytes:
    """A collection.nml of Traktor 3 with that many tracks, each with beat grid and cues, and a playlist per hundred."""
    lines = [
        '<?xml version="1.0" encoding="UTF-8" standalone="no" ?>',
        '<NML VERSION="19"><HEAD COMPANY="www.native-instruments.com" PROGRAM="Traktor"></HEAD>',
        "<MUSICFOLDERS></MUSICFOLDERS>",
        f'<COLLECTION ENTRIES="{tracks}">',
    ]
    for number in range(1, tracks + 1):
        lines += _traktor_entry(number)
    playlists = range(0, tracks, _PLAYLIST)
    lines += ["</COLLECTION>", '<SETS ENTRIES="0"></SETS>', '<PLAYLISTS><NODE TYPE="FOLDER" NAME="$ROOT">']
    lines.append(f'<SUBNODES COUNT="{len(playlists)}">')
    for first in playlists:
        numbers = range(first + 1, min(first + _PLAYLIST, tracks) + 1)
        lines.append(f'<NODE TYPE="PLAYLIST" NAME="Set {first}">')
        lines.append(f'<PLAYLIST ENTRIES="{len(numbers)}" TYPE="LIST" UUID="{first:032x}">')
        for number in numbers:
            key = quoteattr(to_location(collection_path(number)).key)
            lines.append(f'<ENTRY><PRIMARYKEY TYPE="TRACK" KEY={key}></PRIMARYKEY>\n</ENTRY>')
        lines.append("</PLAYLIST>\n</NODE>")
    lines += ["</SUBNODES>", "</NODE>", "</PLAYLISTS>", "<INDEXING></INDEXING>", "</NML>", ""]
    return "\n".join(lines).encode()


def _traktor_entry(number: int) -> list[str]:
    location = to_location(collection_path(number))
    folder, file, volume = map(quoteattr, location)
    return [
        (
            f'<ENTRY MODIFIED_DATE="2022/4/9" MODIFIED_TIME="{number}" AUDIO_ID="{number:0{_AUDIO_ID}x}" '
            f'TITLE="Größer &amp; größer no. {number}" ARTIST="The &lt;Artist&gt; {number % 700}">'
            f"<LOCATION DIR={folder} FILE={file} VOLUME={volume} VOLUMEID={volume}></LOCATION>"
        ),
        f'<ALBUM TRACK="{number % 15}" TITLE="Album {number % 1500}"></ALBUM>',
        '<MODIFICATION_INFO AUTHOR_TYPE="user"></MODIFICATION_INFO>',
        (
            f'<INFO BITRATE="320000" GENRE="Tech House" COMMENT="8A - Energy {number % 10}" KEY="8m" '
            f'PLAYCOUNT="{number % 30}" PLAYTIME="{200 + number % 300}" RANKING="204" IMPORT_DATE="2022/4/9" '
            f'RELEASE_DATE="2022/1/1" FLAGS="28" FILESIZE="{9000 + number}"></INFO>'
        ),
        f'<TEMPO BPM="{90 + number % 60}.999924" BPM_QUALITY="100.000000"></TEMPO>',
        '<LOUDNESS PEAK_DB="-0.947989" PERCEIVED_DB="0.091110" ANALYZED_DB="0.091110"></LOUDNESS>',
        '<MUSICAL_KEY VALUE="21"></MUSICAL_KEY>',
        *(
            f'<CUE_V2 NAME="n.n." DISPL_ORDER="0" TYPE="0" START="{at * 30000}.219518" LEN="0.000000" REPEATS="-1" '
            f'HOTCUE="{at}"></CUE_V2>'
            for at in range(_MARKS)
        ),
        "</ENTRY>",
    ]


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
        "Location": f"file://localhost{quote(str(collection_path(number)))}",
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
