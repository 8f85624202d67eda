"""The collections that the contract is tested on. A new target adds one case."""

from __future__ import annotations

import shutil
import sqlite3
from abc import ABC, abstractmethod
from contextlib import closing
from pathlib import Path, PurePath, PurePosixPath
from typing import ClassVar
from urllib.parse import quote, unquote
from xml.etree import ElementTree as ET
from xml.sax.saxutils import quoteattr

from exporters.base import Collection, Field, Machine, Place
from exporters.engine_db import EngineCollection
from exporters.lists import LISTS
from exporters.m3u8 import M3u8Collection
from exporters.mixxx_db import MixxxCollection, MixxxSettings
from exporters.rekordbox.db import RekordboxDb, RekordboxDbSettings
from exporters.rekordbox.xml import RekordboxXml, RekordboxXmlSettings
from exporters.serato import tlv
from exporters.serato.collection import SeratoCollection, SeratoSettings
from exporters.serato.colour import write_colour
from exporters.serato.crate import Crate
from exporters.tags.collection import TagCollection, TagSettings
from exporters.traktor.location import to_location
from exporters.traktor.nml import TraktorNml, TraktorNmlWithComments, TraktorSettings
from exporters.virtualdj.collection import VirtualDjCollection, VirtualDjSettings
from tests.audio_files import write_tone


class Case(ABC):
    """How to make a collection with tracks, and to do in it what a user would."""

    name: ClassVar[str]
    exact: ClassVar[bool] = True
    """Whether taking everything out gives back the same contents, and not only the same values."""
    in_place: ClassVar[bool] = False
    """Whether it is a database that is changed in place, and so undone value by value."""
    whole: ClassVar[bool] = True
    """Whether undone means the same contents; else the program's counters and times of rows have moved on."""

    def __init__(self, tones: Path, folder: Path) -> None:
        self.tones = tones
        self.folder = folder

    @abstractmethod
    def make(self) -> tuple[Collection, list[Path]]:
        """A collection with foreign data, and four of its tracks, of which none carries a zone."""

    @abstractmethod
    def open(self) -> Collection:
        """The same collection once more, as another process would see it."""

    @abstractmethod
    def edit(self, place: Place, value: str) -> None:
        """Put a value into a place with means other than the exporter's own, where there are any."""

    def theirs(self, field: Field) -> str:
        """A value of the user's that stands for PURPLE in a place of this kind."""
        return {Field.TEXT: "Mine #PURPLE", Field.LIST: "PURPLE"}[field]

    def bytes(self) -> dict[str, bytes]:
        """Everything on disk, by relative path."""
        return {
            str(path.relative_to(self.folder)): path.read_bytes()
            for path in sorted(self.folder.rglob("*"))
            if path.is_file()
        }

    def content(self, data: bytes) -> bytes:
        """What of the bytes of one of the collection's own files counts."""
        return data

    def contents(self) -> dict[str, bytes]:
        """As `bytes`, as far as it counts."""
        own = {str(file.relative_to(self.folder)) for file in self.open().files()}
        return {name: self.content(data) if name in own else data for name, data in self.bytes().items()}

    def restore(self, files: dict[str, bytes]) -> None:
        """Make everything on disk what `bytes` told."""
        for name in self.bytes().keys() - files.keys():
            (self.folder / name).unlink()
        for name, content in files.items():
            if not (self.folder / name).exists() or (self.folder / name).read_bytes() != content:
                (self.folder / name).write_bytes(content)

    def breakable(self) -> list[Path]:
        """Files whose damage must be noticed."""
        return []

    def of_another_version(self) -> Collection | None:
        """The collection in a version that nobody knows; None where the format has no versions."""
        return None

    def music(self, count: int = 4, suffix: str = ".mp3") -> list[Path]:
        """Music files with names that formats trip over."""
        names = ("plain", "Ärger & Söhne [it's] 100% #1", "ünï日本", "a;b=c+d, (e)")
        folder = self.folder / "Music" / "House & more"
        folder.mkdir(parents=True, exist_ok=True)
        return [
            Path(shutil.copyfile(self.tones / f"tone{suffix}", folder / f"{name}{suffix}"))
            for name in names[:count]
        ]


class Tags(Case):
    """Comments in MP3 and FLAC files."""

    name = "tags"

    def make(self) -> tuple[Collection, list[Path]]:
        self.tracks = [*self.music(2, ".mp3"), *self.music(2, ".flac")]
        return self.open(), self.tracks

    def open(self) -> Collection:
        return TagCollection(lambda: self.tracks, TagSettings())

    def edit(self, place: Place, value: str) -> None:
        import mutagen
        from mutagen.id3 import COMM

        file = mutagen.File(place.track)  # type: ignore[attr-defined]
        if place.track.suffix == ".flac":
            file["COMMENT"] = value
        else:
            file.tags.setall("COMM", [COMM(encoding=3, lang="eng", text=value)])
        file.save()


class Playlists(Case):
    """M3U8 with absolute paths, in a folder that holds other playlists."""

    name = "m3u8"
    relative = False

    def make(self) -> tuple[Collection, list[Path]]:
        tracks = self.music()
        (self.folder / "Lists").mkdir()
        (self.folder / "Lists" / "Other.m3u8").write_text("#EXTM3U\n../x.mp3\n")
        return self.open(), tracks

    def open(self) -> Collection:
        return M3u8Collection(self.folder / "Lists", relative=self.relative)

    def edit(self, place: Place, value: str) -> None:
        for name in ("YELLOW", "GREEN", "PURPLE", "UNSURE"):
            path = self.folder / "Lists" / f"MoodZone {name}.m3u8"
            lines = path.read_text().splitlines() if path.exists() else []
            lines = [line for line in lines if not line.endswith(place.track.name)]
            if name in value:
                lines.append(str(place.track))
            if path.exists() or lines:
                path.write_text("\n".join(lines) + "\n")

    def breakable(self) -> list[Path]:
        return [self.folder / "Lists" / "MoodZone GREEN.m3u8"]


class RelativePlaylists(Playlists):
    """M3U8 with relative paths."""

    name = "m3u8-relative"
    relative = True


class Serato(Case):
    """A drive with a ``_Serato_`` folder: a database, a crate of the user's and their order."""

    name = "serato"

    def make(self) -> tuple[Collection, list[Path]]:
        music = [
            *self.music(1, ".mp3"),
            *self.music(1, ".flac"),
            *self.music(1, ".m4a"),
            *self.music(1, ".aiff"),
        ]
        self.tracks = music
        folder = self.folder / "_Serato_"
        (folder / "Subcrates").mkdir(parents=True)
        mine = Crate.new().added([str(track.relative_to(self.folder)) for track in music[:2]])
        (folder / "Subcrates" / "Mine%%Best.crate").write_bytes(mine.dump())
        (folder / "neworder.pref").write_bytes(
            "[begin record]\n[crate]Mine\n[crate]Mine%%Best\n[end record]\n".encode("utf-16-be")
        )
        (folder / "database V2").write_bytes(self._database("2.0/Serato Scratch LIVE Database"))
        return self.open(), music

    def open(self) -> Collection:
        return SeratoCollection(self.folder / "_Serato_", self._machine(), SeratoSettings())

    def edit(self, place: Place, value: str) -> None:
        if place.field is Field.COLOUR:
            write_colour(place.track, int(value, 16))
            return
        reference = place.track.relative_to(self.folder).as_posix()
        for name in ("YELLOW", "GREEN", "PURPLE", "UNSURE"):
            path = self.folder / "_Serato_" / "Subcrates" / f"MoodZone%%{name}.crate"
            crate = Crate.parse(path.read_bytes()) if path.exists() else Crate.new()
            crate = crate.removed({reference})
            crate = crate.added([reference]) if name in value else crate
            if path.exists() or crate.tracks:
                path.write_bytes(crate.dump())

    def theirs(self, field: Field) -> str:
        return "553399" if field is Field.COLOUR else "PURPLE"

    def breakable(self) -> list[Path]:
        folder = self.folder / "_Serato_"
        return [
            folder / "Subcrates" / "MoodZone%%GREEN.crate",
            folder / "neworder.pref",
            folder / "database V2",
        ]

    def of_another_version(self) -> Collection | None:
        (self.folder / "_Serato_" / "database V2").write_bytes(self._database("3.0/Serato Database"))
        return self.open()

    def _machine(self) -> Machine:
        return Machine(
            self.folder, self.folder / "Music", self.folder, (Path("/"), self.folder), lambda: self.tracks
        )

    def _database(self, version: str) -> bytes:
        tracks = (
            tlv.nested(
                "otrk",
                tlv.text("pfil", track.relative_to(self.folder).as_posix()),
                tlv.text("tcom", "8A - 7"),
            )
            for track in self.tracks
        )
        return tlv.dump([tlv.text("vrsn", version), *tracks])


class RekordboxExport(Case):
    """An XML as rekordbox exports it, with grids, cues, lists and colours of the user's."""

    name = "rekordbox-xml"
    comments: ClassVar[tuple[str, ...]] = (
        "",
        "8A - 7",
        "it's &#228; song /* House / #PURPLE */",
        "8A - Energy 5 &gt; 4 #classic",
    )

    def make(self) -> tuple[Collection, list[Path]]:
        tracks = self.music()
        rows = "".join(
            f"""    <TRACK TrackID="{7 + number}" Name={quoteattr(track.stem)} Kind="Mp3-Datei " TotalTime="0"
           SampleRate="44100" Comments="{comment}" PlayCount="0" Rating="153"
           Location="file://localhost{quote(str(track))}" Mix="" Odd='&quot;"'>
      <TEMPO Inizio="0.025" Bpm="128.00" Metro="4/4" Battito="1"/>
      <POSITION_MARK Name="" Type="0" Start="0.025" Num="-1"/>
    </TRACK>
"""
            for number, (track, comment) in enumerate(zip(tracks, self.comments, strict=True))
        )
        self.file.write_bytes(
            f"""<?xml version="1.0" encoding="UTF-8"?>

<DJ_PLAYLISTS Version="1.0.0">
  <PRODUCT Name="rekordbox" Version="6.8.5" Company="AlphaTheta"/>
  <COLLECTION Entries="7">
    <TRACK TrackID="1" Name="Mine" Comments="#GREEN by me" Location="file://localhost/Elsewhere/a.mp3"
           Mix="" Colour="0xff007f"/>
{rows}    <TRACK TrackID="2" Comments="" Location="file://localhostspotify:track:2plbrEY59IikOBgBGLjaoe"/>
    <TRACK TrackID="3" Comments="" Location="file://localhost/C:/Music/a.mp3"/>
  </COLLECTION>
  <PLAYLISTS>
    <NODE Type="0" Name="ROOT" Count="2">
      <NODE Name="Folder" Type="0" Count="1">
        <NODE Name="YELLOW" Type="1" KeyType="0" Entries="2">
          <TRACK Key="8"/>
          <TRACK Key="1"/>
        </NODE>
      </NODE>
      <NODE Name="Smart" Type="4" Rule="Comments &lt;&gt; '#GREEN'"/>
    </NODE>
  </PLAYLISTS>
</DJ_PLAYLISTS>
""".encode()
        )
        return self.open(), tracks

    @property
    def file(self) -> Path:
        return self.folder / "rekordbox.xml"

    def open(self) -> Collection:
        return RekordboxXml(self.file, RekordboxXmlSettings().colours)

    def theirs(self, field: Field) -> str:
        return "0x660099" if field is Field.COLOUR else super().theirs(field)

    def edit(self, place: Place, value: str) -> None:
        root = self.document()
        track = self.element(root, place.track)
        if place.field is Field.LIST:
            self.put_in_lists(root, track.attrib["TrackID"], value.split(" + "))
        else:
            track.set({Field.TEXT: "Comments", Field.COLOUR: "Colour"}[place.field], value)
        ET.ElementTree(root).write(self.file, encoding="utf-8", xml_declaration=True)

    def document(self) -> ET.Element:
        return ET.parse(self.file).getroot()

    def element(self, root: ET.Element, track: Path) -> ET.Element:
        found = [one for one in root.iter("TRACK") if unquote(one.get("Location", "")).endswith(str(track))]
        assert len(found) == 1
        return found[0]

    def put_in_lists(self, root: ET.Element, key: str, names: list[str]) -> None:
        top = root.find("PLAYLISTS/NODE")
        assert top is not None
        folder = top.find("NODE[@Name='MoodZone']")
        if folder is None:
            folder = ET.SubElement(top, "NODE", Name="MoodZone", Type="0", Count="0")
        for playlist in folder:
            for entry in playlist.findall(f"TRACK[@Key='{key}']"):
                playlist.remove(entry)
        for name in names:
            playlist = folder.find(f"NODE[@Name='{name}']")
            if playlist is None:
                playlist = ET.SubElement(folder, "NODE", Name=name, Type="1", KeyType="0", Entries="0")
            ET.SubElement(playlist, "TRACK", Key=key)

    def breakable(self) -> list[Path]:
        return [self.file]

    def of_another_version(self) -> Collection | None:
        self.file.write_bytes(self.file.read_bytes().replace(b'Version="1.0.0"', b'Version="2.0.0"'))
        return self.open()


class RekordboxNewFile(RekordboxExport):
    """An XML that does not exist until the first write."""

    name = "rekordbox-xml-new"
    exact = False  # a track that we added stays, without a zone

    def make(self) -> tuple[Collection, list[Path]]:
        return self.open(), self.music()

    def document(self) -> ET.Element:
        if self.file.exists():
            return super().document()
        return ET.fromstring(
            '<DJ_PLAYLISTS Version="1.0.0"><PRODUCT Name="MoodZone"/><COLLECTION Entries="0"/>'
            '<PLAYLISTS><NODE Type="0" Name="ROOT" Count="0"/></PLAYLISTS></DJ_PLAYLISTS>'
        )

    def element(self, root: ET.Element, track: Path) -> ET.Element:
        collection = root.find("COLLECTION")
        assert collection is not None
        if not len(collection):
            location = f"file://localhost{quote(str(track))}"
            ET.SubElement(collection, "TRACK", TrackID="1", Location=location)
        return super().element(root, track)

    def of_another_version(self) -> Collection | None:
        return None


class Database(Case):
    """A SQLite database with tables of the user's."""

    in_place = True
    file_name: ClassVar[str]

    @property
    def file(self) -> Path:
        return self.folder / self.file_name

    def rows(self, query: str, *values: object) -> list[tuple]:  # type: ignore[type-arg]
        """What the database says to a question, or does."""
        with closing(sqlite3.connect(self.file)) as database, database:
            return database.execute(query, values).fetchall()

    def content(self, data: bytes) -> bytes:
        """All rows but the highest numbers ever given, which SQLite remembers."""
        with closing(sqlite3.connect(":memory:")) as database:
            database.deserialize(data)
            return "\n".join(line for line in database.iterdump() if "sqlite_sequence" not in line).encode()

    def breakable(self) -> list[Path]:
        return [self.file]


class Mixxx(Database):
    """Mixxx's library, with colours and crates of the user's."""

    name = "mixxx"
    file_name = "mixxxdb.sqlite"
    schema = "32"

    def make(self) -> tuple[Collection, list[Path]]:
        tracks = self.music()
        with closing(sqlite3.connect(self.file)) as database, database:
            database.executescript(MIXXX_TABLES)
            database.execute("INSERT INTO settings VALUES ('mixxx.schema.version', ?)", (self.schema,))
            for number, track in enumerate([*tracks, self.folder / "Mine.mp3"], start=1):
                comment = "8A - 7" if number % 2 else None
                database.execute("INSERT INTO track_locations VALUES (?, ?)", (number + 10, str(track)))
                database.execute(
                    "INSERT INTO library (id, location, comment) VALUES (?, ?, ?)",
                    (number, number + 10, comment),
                )
            database.execute("UPDATE library SET color = ? WHERE id = 5", (0xFF0000,))
            for number, name in enumerate(("YELLOW", "Mine"), start=1):
                database.execute("INSERT INTO crates (id, name) VALUES (?, ?)", (number, name))
                database.execute("INSERT INTO crate_tracks VALUES (?, 1)", (number,))
        return self.open(), tracks

    def open(self) -> Collection:
        return MixxxCollection(self.file, MixxxSettings())

    def edit(self, place: Place, value: str) -> None:
        [(number,)] = self.rows(
            "SELECT l.id FROM library l JOIN track_locations t ON t.id = l.location WHERE t.location = ?",
            str(place.track),
        )
        if place.field is Field.COLOUR:
            self.rows("UPDATE library SET color = ? WHERE id = ?", int(value, 16), number)
            return
        for name in LISTS:
            crate = f"MoodZone {name}"
            self.rows(
                "DELETE FROM crate_tracks"
                " WHERE track_id = ? AND crate_id = (SELECT id FROM crates WHERE name = ?)",
                number,
                crate,
            )
            if name in value:
                self.rows("INSERT OR IGNORE INTO crates (name) VALUES (?)", crate)
                self.rows("INSERT INTO crate_tracks SELECT id, ? FROM crates WHERE name = ?", number, crate)

    def theirs(self, field: Field) -> str:
        return "8800CC" if field is Field.COLOUR else super().theirs(field)

    def of_another_version(self) -> Collection | None:
        self.rows("UPDATE settings SET value = '40'")
        return self.open()


class LaterMixxx(Mixxx):
    """The schema of Mixxx 2.5."""

    name = "mixxx-39"
    schema = "39"


class Engine(Database):
    """A drive with Engine DJ's library, which holds playlists of the user's."""

    name = "engine"
    file_name = "Engine Library/Database2/m.db"
    schema = (2, 21, 0)
    uuid = "0cb40255-6c12-427f-9096-b90e77fd76b0"

    def make(self) -> tuple[Collection, list[Path]]:
        tracks = self.music()
        self.file.parent.mkdir(parents=True)
        with closing(sqlite3.connect(self.file)) as database, database:
            database.executescript(ENGINE_TABLES)
            database.execute("INSERT INTO Information VALUES (1, ?, ?, ?, ?)", (self.uuid, *self.schema))
            for track in [*tracks, self.folder / "Mine.mp3"]:
                path = Path("..") / track.relative_to(self.folder)
                database.execute("INSERT INTO Track (path, comment) VALUES (?, '8A - 7')", (str(path),))
            database.execute("INSERT INTO Track (path) VALUES (NULL)")
            database.executemany(
                "INSERT INTO Playlist (title, parentListId, isPersisted, nextListId) VALUES (?, ?, 1, 0)",
                [("YELLOW", 0), ("Mine", 0), ("GREEN", 2)],
            )
            database.executemany(
                "INSERT INTO PlaylistEntity VALUES (?, ?, ?, ?, ?, 0)",
                [(1, 1, 1, self.uuid, 2), (2, 1, 5, self.uuid, 0), (3, 3, 1, self.uuid, 0)],
            )
        return self.open(), tracks

    def open(self) -> Collection:
        machine = Machine(self.folder, self.folder / "Music", self.folder, (Path("/"), self.folder))
        return EngineCollection(self.file, machine)

    def edit(self, place: Place, value: str) -> None:
        path = Path("..") / place.track.relative_to(self.folder)
        [(track,)] = self.rows("SELECT id FROM Track WHERE path = ?", str(path))
        folder = self.playlist("MoodZone", 0)
        for name in LISTS:
            number = self.playlist(name, folder)
            self.rows("DELETE FROM PlaylistEntity WHERE listId = ? AND trackId = ?", number, track)
            if name in value:
                first = self.rows(
                    "SELECT id FROM PlaylistEntity WHERE listId = ? AND id NOT IN"
                    " (SELECT nextEntityId FROM PlaylistEntity)",
                    number,
                )
                self.rows(
                    "INSERT INTO PlaylistEntity (listId, trackId, databaseUuid, nextEntityId)"
                    " VALUES (?, ?, ?, ?)",
                    number,
                    track,
                    self.uuid,
                    first[0][0] if first else 0,
                )

    def playlist(self, title: str, parent: int) -> int:
        question = "SELECT id FROM Playlist WHERE title = ? AND parentListId = ?"
        if not self.rows(question, title, parent):
            self.rows(
                "INSERT INTO Playlist (title, parentListId, isPersisted, nextListId) VALUES (?, ?, 1, 0)",
                title,
                parent,
            )
        return int(self.rows(question, title, parent)[0][0])

    def of_another_version(self) -> Collection | None:
        self.rows("UPDATE Information SET schemaVersionPatch = 7")
        return self.open()


class LaterEngine(Engine):
    """The schema of Engine DJ 5."""

    name = "engine-3"
    schema = (3, 0, 2)


ENGINE_TABLES = """
    CREATE TABLE Information (
        id INTEGER PRIMARY KEY AUTOINCREMENT, uuid TEXT,
        schemaVersionMajor INTEGER, schemaVersionMinor INTEGER, schemaVersionPatch INTEGER
    );
    CREATE TABLE Track (
        id INTEGER PRIMARY KEY AUTOINCREMENT, path TEXT, comment TEXT, CONSTRAINT C_path UNIQUE (path)
    );
    CREATE TABLE Playlist (
        id INTEGER PRIMARY KEY AUTOINCREMENT, title TEXT, parentListId INTEGER, isPersisted BOOLEAN,
        nextListId INTEGER, lastEditTime DATETIME, isExplicitlyExported BOOLEAN,
        UNIQUE (title, parentListId), UNIQUE (parentListId, nextListId)
    );
    CREATE TABLE PlaylistEntity (
        id INTEGER PRIMARY KEY AUTOINCREMENT, listId INTEGER, trackId INTEGER, databaseUuid TEXT,
        nextEntityId INTEGER, membershipReference INTEGER,
        UNIQUE (listId, databaseUuid, trackId), FOREIGN KEY (listId) REFERENCES Playlist (id) ON DELETE CASCADE
    );
    CREATE TRIGGER before_insert BEFORE INSERT ON Playlist BEGIN
        UPDATE Playlist SET nextListId = -(1 + nextListId)
        WHERE nextListId = NEW.nextListId AND parentListId = NEW.parentListId;
    END;
    CREATE TRIGGER after_insert AFTER INSERT ON Playlist BEGIN
        UPDATE Playlist SET nextListId = NEW.id
        WHERE nextListId = -(1 + NEW.nextListId) AND parentListId = NEW.parentListId;
    END;
    CREATE TRIGGER after_delete AFTER DELETE ON Playlist BEGIN
        UPDATE Playlist SET nextListId = OLD.nextListId WHERE nextListId = OLD.id;
        DELETE FROM Playlist WHERE parentListId = OLD.id;
    END;
    CREATE TRIGGER before_delete BEFORE DELETE ON PlaylistEntity WHEN OLD.trackId > 0 BEGIN
        UPDATE PlaylistEntity SET nextEntityId = OLD.nextEntityId
        WHERE nextEntityId = OLD.id AND listId = OLD.listId;
    END;
"""
"""What MoodZone needs of it, with the triggers that keep order."""

MIXXX_TABLES = """
    CREATE TABLE settings (name TEXT UNIQUE NOT NULL, value TEXT);
    CREATE TABLE track_locations (id INTEGER PRIMARY KEY AUTOINCREMENT, location varchar(512) UNIQUE);
    CREATE TABLE library (
        id INTEGER primary key AUTOINCREMENT,
        location integer REFERENCES track_locations(location),
        comment varchar(256),
        color INTEGER
    );
    CREATE TABLE crates (
        id integer PRIMARY KEY AUTOINCREMENT,
        name varchar(48) UNIQUE NOT NULL,
        count integer DEFAULT 0,
        show integer DEFAULT 1,
        locked integer DEFAULT 0,
        autodj_source integer DEFAULT 0
    );
    CREATE TABLE crate_tracks (
        crate_id integer NOT NULL REFERENCES crates(id),
        track_id integer NOT NULL REFERENCES "library_old"(id),
        UNIQUE (crate_id, track_id)
    );
"""
"""What MoodZone needs of it, and what makes it hard."""


class RekordboxDatabase(Case):
    """A database as rekordbox 6 makes it, not encrypted, of the tables that hold zones."""

    name = "rekordbox-db"
    exact = False  # changes are counted
    in_place = True
    whole = False

    def make(self) -> tuple[Collection, list[Path]]:
        tracks = self.music()
        make_rekordbox_database(
            self.file, dict(zip(tracks, ("", "8A - 7", "/* House / #PURPLE */", "a"), strict=True))
        )
        self.file.with_name("masterPlaylists6.xml").write_text(
            """<?xml version="1.0" encoding="utf-8"?>
<MASTER_PLAYLIST Version="3.0.0" AutomaticSync="0">
    <PRODUCT Name="rekordbox" Version="6.6.2" Company="Pioneer DJ"/>
    <PLAYLISTS>
        <NODE Id="186A0" ParentId="0" Attribute="-128" Timestamp="1649540314311" Lib_Type="0" CheckType="0"/>
    </PLAYLISTS>
</MASTER_PLAYLIST>
"""
        )
        return self.open(), tracks

    @property
    def file(self) -> Path:
        return self.folder / "master.db"

    def open(self) -> Collection:
        return RekordboxDb(self.file, RekordboxDbSettings(read=True, write=True))

    def edit(self, place: Place, value: str) -> None:
        with closing(sqlite3.connect(self.file)) as connection, connection:
            (track,) = connection.execute(
                "SELECT ID FROM djmdContent WHERE FolderPath = ?", (str(place.track),)
            ).fetchone()
            if place.field is Field.LIST:
                put_in_rekordbox_playlist(connection, track, value)
            else:
                column = {Field.TEXT: "Commnt", Field.COLOUR: "ColorID"}[place.field]
                connection.execute(f"UPDATE djmdContent SET {column} = ? WHERE ID = ?", (value, track))

    def theirs(self, field: Field) -> str:
        return "8" if field is Field.COLOUR else super().theirs(field)

    def content(self, data: bytes) -> bytes:
        """Comments, colours and lists, and how many nodes the XML has: all else is random numbers and times."""
        if data.startswith(b"<?xml"):
            return str(len(ET.fromstring(data).findall("PLAYLISTS/NODE"))).encode()
        with closing(sqlite3.connect(":memory:")) as database:
            database.deserialize(data)
            rows = [database.execute(query).fetchall() for query in _REKORDBOX_ROWS]
        return repr(rows).encode()

    def breakable(self) -> list[Path]:
        return [self.file, self.file.with_name("masterPlaylists6.xml")]

    def of_another_version(self) -> Collection | None:
        with closing(sqlite3.connect(self.file)) as connection, connection:
            connection.execute("UPDATE djmdProperty SET DBVersion = '9000'")
        return self.open()


_REKORDBOX_COLUMNS = """
    UUID VARCHAR(255) DEFAULT NULL, rb_data_status INTEGER DEFAULT 0, rb_local_data_status INTEGER DEFAULT 0,
    rb_local_deleted TINYINT(1) DEFAULT 0, rb_local_synced TINYINT(1) DEFAULT 0, usn BIGINT DEFAULT NULL,
    rb_local_usn BIGINT DEFAULT NULL, created_at DATETIME NOT NULL, updated_at DATETIME NOT NULL, PRIMARY KEY(ID)
"""
_REKORDBOX_ROWS = [
    "SELECT ID, Commnt, ColorID FROM djmdContent ORDER BY ID",
    *(
        f"SELECT shelf.Name, song.ContentID FROM djmd{kind} shelf LEFT JOIN djmdSong{kind} song "
        f"ON song.{kind}ID = shelf.ID ORDER BY 1, 2"
        for kind in ("Playlist", "MyTag")
    ),
]
_THEN = "2022-04-09 21:37:43.710 +00:00"


def make_rekordbox_database(path: Path, comments: dict[Path, str]) -> None:
    """Tracks with these comments, a track of each kind that is left alone, and a playlist of the user's."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(
            f"""
CREATE TABLE djmdContent (ID VARCHAR(255), FolderPath VARCHAR(255), Title VARCHAR(255), Commnt TEXT,
    ColorID VARCHAR(255), ServiceID INTEGER, {_REKORDBOX_COLUMNS});
CREATE TABLE djmdPlaylist (ID VARCHAR(255), Seq INTEGER, Name VARCHAR(255), ImagePath VARCHAR(255),
    Attribute INTEGER, ParentID VARCHAR(255), SmartList TEXT, {_REKORDBOX_COLUMNS});
CREATE TABLE djmdSongPlaylist (ID VARCHAR(255), PlaylistID VARCHAR(255), ContentID VARCHAR(255), TrackNo INTEGER,
    {_REKORDBOX_COLUMNS});
CREATE TABLE djmdMyTag (ID VARCHAR(255), Seq INTEGER, Name VARCHAR(255), Attribute INTEGER, ParentID VARCHAR(255),
    {_REKORDBOX_COLUMNS});
CREATE TABLE djmdSongMyTag (ID VARCHAR(255), MyTagID VARCHAR(255), ContentID VARCHAR(255), TrackNo INTEGER,
    {_REKORDBOX_COLUMNS});
CREATE TABLE djmdProperty (DBID VARCHAR(255), DBVersion VARCHAR(255), PRIMARY KEY(DBID));
CREATE TABLE agentRegistry (registry_id VARCHAR(255), int_1 BIGINT, PRIMARY KEY(registry_id));
INSERT INTO djmdProperty VALUES ('3546525630', '6000');
INSERT INTO agentRegistry VALUES ('localUpdateCount', 249), ('lastUpdateCount', 105);
"""
        )
        rows = [(str(track), comment, "0", 0, 0) for track, comment in comments.items()]
        rows += [
            ("/Elsewhere/a.mp3", "#GREEN by me", "1", 0, 0),
            ("C:/Music/a.mp3", "", "0", 0, 0),
            ("soundcloud:tracks:12345", "", "0", 2, 0),
            ("/v4/catalog/tracks/12345", "", "0", 4, 0),
            ("/Deleted/a.mp3", "#PURPLE", "8", 0, 1),
        ]
        connection.executemany(
            "INSERT INTO djmdContent (ID, FolderPath, Commnt, ColorID, ServiceID, rb_local_deleted, rb_local_usn, "
            f"created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?, 7, '{_THEN}', '{_THEN}')",
            [(str(1000 + number), *row) for number, row in enumerate(rows)],
        )
        _insert_shelf(connection, "2602250856", 1, "YELLOW", 0, "root")
        _insert_song(connection, "2602250856", "1000")


def put_in_rekordbox_playlist(connection: sqlite3.Connection, track: str, names: str) -> None:
    """Move a track to the playlists of these names, as its user would in rekordbox."""
    ids = dict(connection.execute("SELECT Name, ID FROM djmdPlaylist WHERE ParentID != 'root'"))
    if not connection.execute("SELECT 1 FROM djmdPlaylist WHERE Name = 'MoodZone'").fetchone():
        _insert_shelf(connection, "77", 2, "MoodZone", 1, "root")
    (folder,) = connection.execute("SELECT ID FROM djmdPlaylist WHERE Name = 'MoodZone'").fetchone()
    for list_id in ids.values():
        connection.execute(
            "DELETE FROM djmdSongPlaylist WHERE PlaylistID = ? AND ContentID = ?", (list_id, track)
        )
    for number, name in enumerate(names.split(" + ")):
        if name not in ids:
            _insert_shelf(connection, str(78 + number), 9, name, 0, folder)
        _insert_song(connection, ids.get(name, str(78 + number)), track)


def _insert_shelf(
    connection: sqlite3.Connection, new: str, seq: int, name: str, attribute: int, parent: str
) -> None:
    connection.execute(
        "INSERT INTO djmdPlaylist (ID, Seq, Name, Attribute, ParentID, created_at, updated_at) "
        f"VALUES (?, ?, ?, ?, ?, '{_THEN}', '{_THEN}')",
        (new, seq, name, attribute, parent),
    )


def _insert_song(connection: sqlite3.Connection, playlist: str, track: str) -> None:
    connection.execute(
        "INSERT INTO djmdSongPlaylist (ID, PlaylistID, ContentID, TrackNo, created_at, updated_at) "
        "VALUES (?, ?, ?, 1, strftime('%Y-%m-%d %H:%M:%f +00:00', 'now', '+1 second'), ?)",
        (f"{playlist}-{track}", playlist, track, _THEN),
    )


def traktor_folder(track: Path) -> str:
    """A folder of the user's with a playlist of one track, as Traktor writes them into its NML."""
    return f"""<NODE TYPE="FOLDER" NAME="Sets"><SUBNODES
 COUNT="1"><NODE TYPE="PLAYLIST" NAME="YELLOW"><PLAYLIST
 ENTRIES="1" TYPE="LIST" UUID="168ef8e12adf40fa8faf96cc393e9f4e"><ENTRY>
<PRIMARYKEY TYPE="TRACK" KEY={quoteattr(to_location(track).key)}></PRIMARYKEY>
</ENTRY>
</PLAYLIST>
</NODE>
</SUBNODES>
</NODE>"""


class Traktor(Case):
    """A collection.nml as Traktor writes it, with cues, grids, playlists, a smart list and colours of the user's."""

    name = "traktor"
    kind: ClassVar[type[TraktorNml]] = TraktorNml
    infos: ClassVar[tuple[str, ...]] = (
        'BITRATE="320000" FILESIZE="19249"',
        'BITRATE="320000" COMMENT="8A - 7" KEY="8m" RANKING="204" FILESIZE="19249"',
        'COMMENT="it&apos;s &#228; song &gt; 4 #classic" FLAGS="28"',
        'COMMENT="" COVERARTID="087/XGXFYABN" FLAGS="28" FILESIZE="19249"',
    )

    def make(self) -> tuple[Collection, list[Path]]:
        tracks = self.music()
        rows = "".join(self.entry(track, info) for track, info in zip(tracks, self.infos, strict=True))
        mine = PurePosixPath("/Users/dj/Music/a:b.mp3")
        self.file.write_bytes(
            f"""<?xml version="1.0" encoding="UTF-8" standalone="no" ?>
<NML VERSION="19"><HEAD COMPANY="www.native-instruments.com" PROGRAM="Traktor"></HEAD>
<MUSICFOLDERS></MUSICFOLDERS>
<COLLECTION ENTRIES="7">{self.entry(mine, 'COMMENT="by me" FLAGS="28" COLOR="1"')}{rows}<ENTRY TITLE="Windows"><LOCATION
 DIR="/:Music/:" FILE="a.mp3" VOLUME="D:" VOLUMEID="00f95451"></LOCATION>
<INFO COMMENT=""></INFO>
</ENTRY>
<ENTRY TITLE="Nowhere"><INFO COMMENT=""></INFO>
</ENTRY>
</COLLECTION>
<SETS ENTRIES="0"></SETS>
<PLAYLISTS><NODE TYPE="FOLDER" NAME="$ROOT"><SUBNODES COUNT="3">{traktor_folder(tracks[0])}
<NODE TYPE="SMARTLIST" NAME="Smart"><SMARTLIST UUID="ff1d5a8bf1ed4332ab960f59588e5e8a"><SEARCH_EXPRESSION VERSION="1"
 QUERY="$COMMENT % &quot;#GREEN&quot;"></SEARCH_EXPRESSION>
</SMARTLIST>
</NODE>
<NODE TYPE="PLAYLIST" NAME="_LOOPS"><PLAYLIST
 ENTRIES="0" TYPE="LIST" UUID="d6bef7bc58d8462287f267744fdafc90"></PLAYLIST>
</NODE>
</SUBNODES>
</NODE>
</PLAYLISTS>
<INDEXING></INDEXING>
</NML>
""".encode()
        )
        return self.open(), tracks

    def entry(self, track: PurePath, info: str) -> str:
        folder, file, volume = (quoteattr(text) for text in to_location(track))
        return f"""<ENTRY MODIFIED_DATE="2020/8/16" AUDIO_ID="AMARERER==" TITLE={quoteattr(track.stem)}><LOCATION
 DIR={folder} FILE={file} VOLUME={volume} VOLUMEID={volume}></LOCATION>
<MODIFICATION_INFO AUTHOR_TYPE="user"></MODIFICATION_INFO>
<INFO {info}></INFO>
<TEMPO BPM="139.999924" BPM_QUALITY="100.000000"></TEMPO>
<CUE_V2 NAME="AutoGrid" DISPL_ORDER="0" TYPE="4" START="52.315876" LEN="0.000000" REPEATS="-1" HOTCUE="0"></CUE_V2>
<CUE_V2 NAME="Drop &amp; go" DISPL_ORDER="0" TYPE="0" START="343.5" LEN="0.000000" REPEATS="-1" HOTCUE="7"></CUE_V2>
</ENTRY>
"""

    @property
    def file(self) -> Path:
        return self.folder / "collection.nml"

    def open(self) -> Collection:
        return self.kind(self.file, TraktorSettings().colours, frozenset({"Macintosh HD"}))

    def theirs(self, field: Field) -> str:
        return "6" if field is Field.COLOUR else super().theirs(field)

    def edit(self, place: Place, value: str) -> None:
        root = ET.parse(self.file).getroot()
        location = to_location(place.track)
        if place.field is Field.LIST:
            self.put_in_lists(root, location.key, value.split(" + "))
        else:
            (info,) = (
                entry.find("INFO")
                for entry in root.iterfind("COLLECTION/ENTRY")
                if (at := entry.find("LOCATION")) is not None and at.get("FILE") == location.file
            )
            assert info is not None
            info.set({Field.TEXT: "COMMENT", Field.COLOUR: "COLOR"}[place.field], value)
        ET.ElementTree(root).write(self.file, encoding="utf-8", xml_declaration=True)

    def put_in_lists(self, root: ET.Element, key: str, names: list[str]) -> None:
        top = root.find("PLAYLISTS/NODE/SUBNODES")
        assert top is not None
        folder = top.find("NODE[@NAME='MoodZone']/SUBNODES")
        if folder is None:
            node = ET.SubElement(top, "NODE", TYPE="FOLDER", NAME="MoodZone")
            folder = ET.SubElement(node, "SUBNODES", COUNT="0")
        for playlist in folder.iterfind("NODE/PLAYLIST"):
            for entry in [entry for entry in playlist if entry[0].get("KEY") == key]:
                playlist.remove(entry)
        for name in names:
            playlist = folder.find(f"NODE[@NAME='{name}']/PLAYLIST")
            if playlist is None:
                node = ET.SubElement(folder, "NODE", TYPE="PLAYLIST", NAME=name)
                playlist = ET.SubElement(node, "PLAYLIST", ENTRIES="0", TYPE="LIST", UUID="0" * 32)
            ET.SubElement(ET.SubElement(playlist, "ENTRY"), "PRIMARYKEY", TYPE="TRACK", KEY=key)

    def breakable(self) -> list[Path]:
        return [self.file]

    def of_another_version(self) -> Collection | None:
        self.file.write_bytes(self.file.read_bytes().replace(b'<NML VERSION="19"', b'<NML VERSION="21"'))
        return self.open()


class TraktorWithComments(Traktor):
    """The same, and the comments are written, too."""

    name = "traktor-comment"
    kind = TraktorNmlWithComments


class VirtualDj(Case):
    """VirtualDJ's home folder: a list of the user's, and a database that no write may change."""

    name = "virtualdj"

    def make(self) -> tuple[Collection, list[Path]]:
        tracks = self.music()
        lists = self.folder / "VirtualDJ" / "MyLists"
        (lists / "Sets.subfolders").mkdir(parents=True)
        song = f'<song path={quoteattr(str(tracks[0]))} size="1" idx="0" />'.encode()
        (lists / "Sets.subfolders" / "YELLOW.vdjfolder").write_bytes(
            b'<?xml version="1.0" encoding="UTF-8"?>\r\n<VirtualFolder ordered="yes">\r\n\t%b\r\n</VirtualFolder>\r\n'
            % song
        )
        rows = "".join(self.song(track, "4294901760", "8A - 7 &amp; mine") for track in tracks)
        rows += self.song(self.folder / "Elsewhere" / "a.mp3", "4278255360", "#GREEN by me")
        (self.folder / "VirtualDJ" / "database.xml").write_text(
            f'<?xml version="1.0" encoding="UTF-8"?>\r\n<VirtualDJ_Database Version="2024">\r\n{rows}'
            "</VirtualDJ_Database>\r\n",
            encoding="utf-8",
            newline="",
        )
        return self.open(), tracks

    def song(self, track: Path, colour: str, comment: str) -> str:
        return (
            f' <Song FilePath={quoteattr(str(track))} FileSize="1" Flag="512">\r\n  <Tags Author="A" Bpm="0.5" />\r\n'
            f'  <Infos SongLength="1.0" UserColor="{colour}" />\r\n  <Comment>{comment}</Comment>\r\n </Song>\r\n'
        )

    def open(self) -> Collection:
        machine = Machine(self.folder, self.folder / "Music", self.folder)
        return VirtualDjCollection(self.folder / "VirtualDJ", machine, VirtualDjSettings().colours)

    def edit(self, place: Place, value: str) -> None:
        folder = self.folder / "VirtualDJ" / "MyLists" / "MoodZone.subfolders"
        folder.mkdir(exist_ok=True)
        for name in ("YELLOW", "GREEN", "PURPLE", "UNSURE"):
            path = folder / f"{name}.vdjfolder"
            root = ET.parse(path).getroot() if path.exists() else ET.Element("VirtualFolder")
            for song in root.findall("song"):
                if song.get("path") == str(place.track):
                    root.remove(song)
            if name in value:
                ET.SubElement(root, "song", path=str(place.track), idx="0")
            if path.exists() or len(root):
                ET.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)

    def breakable(self) -> list[Path]:
        home = self.folder / "VirtualDJ"
        return [home / "MyLists" / "MoodZone.subfolders" / "GREEN.vdjfolder", home / "database.xml"]


CASES: tuple[type[Case], ...] = (
    Tags,
    RekordboxExport,
    RekordboxNewFile,
    RekordboxDatabase,
    Serato,
    Mixxx,
    LaterMixxx,
    Engine,
    LaterEngine,
    Traktor,
    TraktorWithComments,
    VirtualDj,
    Playlists,
    RelativePlaylists,
)


def make_tones(folder: Path) -> Path:
    """One short tone a format, with an artist and a title."""
    for suffix in (".mp3", ".flac", ".m4a", ".aiff"):
        how = {"options": {"write_id3v2": "1"}} if suffix == ".aiff" else {}
        write_tone(
            folder / f"tone{suffix}",
            seconds=0.2,
            rate=22050,
            metadata={"title": "Ton", "artist": "Ärzte"},
            **how,
        )  # type: ignore[arg-type]
    return folder
