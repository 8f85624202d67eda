"""Edits change what they name and no other byte, taking out gives back the bytes, and only our error escapes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporters.xml.splice import (
    MOST_DEPTH,
    Document,
    Element,
    new_element,
    outermost_tag,
    parse,
    without_forbidden,
)
from moodzone_agent.errors import CollectionError
from tests.bench.libraries import rekordbox_collection

COLLECTION = b"""<?xml version="1.0" encoding="UTF-8"?>

<DJ_PLAYLISTS Version="1.0.0">
  <COLLECTION Entries="2">
    <TRACK TrackID="1" Name='Tom &amp; "J&#xE9;r&#233;my"' Comments=""
           Location="file://localhost/C:/a.mp3"/>
    <TRACK TrackID = "2"  Name="B" Comments="x" >
      <TEMPO Inizio="0.025"/>
    </TRACK>
  </COLLECTION>
  <!-- <PLAYLISTS> -->
  <PLAYLISTS>
    <NODE Type="0" Name="ROOT" Count="0"/>
  </PLAYLISTS>
</DJ_PLAYLISTS>
"""
NML = (
    b'<?xml version="1.0" encoding="UTF-8" standalone="no" ?>\r\n<NML VERSION="19"><HEAD PROGRAM="Traktor"></HEAD>\r\n'
    b'<COLLECTION ENTRIES="0"></COLLECTION>\r\n<PLAYLISTS><NODE NAME="$ROOT"><SUBNODES COUNT="2"><NODE></NODE>\r\n'
    b"<NODE></NODE>\r\n</SUBNODES>\r\n</NODE>\r\n</PLAYLISTS>\r\n</NML>\r\n"
)

values = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]) | st.sampled_from("\t\n\r&<>'\"")
)
values = values.filter(lambda text: "\ufffe" not in text and "\uffff" not in text)
names = st.sampled_from(["Name", "Colour", "é", "_a.b-c", "xml:lang"])
tags = st.sampled_from(["TRACK", "NODE", "N", "ünï"])
spaces = st.text(" \t\n\r", min_size=1, max_size=3)
gaps = st.sampled_from(
    [
        "",
        "",
        "\n",
        "\r\n    ",
        "\n\n\t",
        "\r",
        "  ",
        "text",
        '="text"',
        " &#10; ",
        "\n<!-- <N a='/>'> -->\n",
        "<![CDATA[<N/> ]]>",
        "<?p ?>\n",
    ]
)


@st.composite
def attributes(draw: st.DrawFn) -> str:
    text = ""
    for name, value in draw(st.dictionaries(names, values, max_size=4)).items():
        quote = draw(st.sampled_from("'\""))
        equals = draw(st.sampled_from(["=", " = ", "\n="]))
        escaped = "".join(
            f"&#x{ord(letter):X};" if letter in "&<" + quote or draw(st.integers(0, 9)) == 0 else letter
            for letter in value
        )
        text += f"{draw(spaces)}{name}{equals}{quote}{escaped}{quote}"
    return text + draw(st.just("") | spaces)


@st.composite
def elements(draw: st.DrawFn, depth: int = 3) -> str:
    tag = draw(tags)
    start = f"<{tag}{draw(attributes())}"
    if depth == 0 or draw(st.booleans()):
        return start + draw(st.sampled_from(["/>", f"></{tag}>", f">\n</{tag} >", f"> </{tag}\n>"]))
    inside = "".join(draw(gaps) + child for child in draw(st.lists(elements(depth - 1), max_size=3)))
    return f"{start}>{inside}{draw(gaps)}</{tag}>"


@st.composite
def documents(draw: st.DrawFn) -> bytes:
    head = draw(st.sampled_from(["", "\ufeff", '<?xml version="1.0" encoding="utf-8"?>\n', "<!-- é -->\r\n"]))
    return (head + draw(elements()) + draw(st.sampled_from(["", "\n"]))).encode()


edits = st.lists(
    st.tuples(
        st.sampled_from(["set", "unset", "append", "before", "after", "remove"]),
        st.integers(0, 30),
        names,
        values,
        names,
    ),
    max_size=12,
)


def everything(root: Element) -> Iterator[Element]:
    """All elements in the order of their start tags."""
    stack = [root]
    while stack:
        element = stack.pop()
        yield element
        stack += reversed(element.children)


def ancestors(element: Element) -> Iterator[Element]:
    while element.parent is not None:
        element = element.parent
        yield element


def tree(element: ET.Element) -> tuple[object, ...]:
    return element.tag, dict(element.attrib), [tree(child) for child in element]


def our_tree(element: Element) -> tuple[object, ...]:
    return element.tag, dict(element.attributes), [our_tree(child) for child in element.children]


def spell_xml_lang(root: ET.Element) -> None:
    """Undo that ElementTree expands the prefix of a name."""
    for element in root.iter():
        language = element.attrib.pop("{http://www.w3.org/XML/1998/namespace}lang", None)
        if language is not None:
            element.attrib["xml:lang"] = language


def expected_tree(root: ET.Element) -> tuple[object, ...]:
    spell_xml_lang(root)
    return tree(root)


def found(document: Document, tag: str) -> list[Element]:
    return [element for element in everything(document.root) if element.tag == tag]


@given(documents())
def test_reading_agrees_with_elementtree_and_changes_nothing(data: bytes) -> None:
    document = parse(data)
    assert our_tree(document.root) == expected_tree(ET.fromstring(data))
    assert document.to_bytes() == data
    for element in everything(document.root):
        start, end = document.span(element)
        assert our_tree(parse(data[start:end]).root) == our_tree(element)
        start, end = document.start_tag_span(element)
        assert data[start : start + 1] == b"<"
        assert data[end - 1 : end] == b">"


@settings(max_examples=300)
@given(documents(), edits)
def test_edits_agree_with_the_same_edits_of_elementtree(
    data: bytes, steps: list[tuple[str, int, str, str, str]]
) -> None:
    document = parse(data)
    ours = list(everything(document.root))
    reference = ET.fromstring(data)
    spell_xml_lang(reference)
    theirs = [*reference.iter()]
    parents = {child: parent for parent in theirs for child in parent}
    removed = {at % len(ours) for kind, at, *_ in steps if kind == "remove"} - {0}
    dead = {ours[at] for at in removed}
    removed = {at for at in removed if not dead & {*ancestors(ours[at])}}
    after: Counter[int] = Counter()
    for kind, index, name, value, behind in steps:
        at = index % len(ours)
        element, other = ours[at], theirs[at]
        lives = not dead & {*ancestors(element)}
        if kind in {"before", "after"} and at and lives:
            new = ET.Element("NEW", {name: value})
            siblings = parents[other]
            place = list(siblings).index(other)
            if kind == "before":
                document.insert_before(element, new_element("NEW", {name: value}))
                siblings.insert(place, new)
            else:
                after[at] += 1
                document.insert_after(element, new_element("NEW", {name: value}))
                siblings.insert(place + after[at], new)
        elif not lives or element in dead:
            continue
        elif kind == "set":
            document.set_attribute(element, name, value, after=behind)
            other.attrib[name] = value
        elif kind == "unset":
            document.remove_attribute(element, name)
            other.attrib.pop(name, None)
        elif kind == "append":
            document.append_child(
                element, new_element("NEW", {name: value}, [new_element("IN", {"a": value})])
            )
            new = ET.SubElement(other, "NEW", {name: value})
            ET.SubElement(new, "IN", {"a": value})
    for at in removed:
        document.remove_element(ours[at])
        parents[theirs[at]].remove(theirs[at])
    assert expected_tree(ET.fromstring(document.to_bytes())) == expected_tree(reference)


@given(documents(), st.integers(0, 30), values, st.none() | names)
def test_an_attribute_set_and_removed_leaves_no_trace(
    data: bytes, at: int, value: str, after: str | None
) -> None:
    document = parse(data)
    for element in everything(document.root):
        document.set_attribute(element, "NEW", value, after=after)
        document.set_attribute(element, "NEWER", value, after="NEW")
    edited = parse(document.to_bytes())
    for element in everything(edited.root):
        assert element.attributes["NEW"] == element.attributes["NEWER"] == value
        edited.remove_attribute(element, "NEW")
        edited.remove_attribute(element, "NEWER")
    assert edited.to_bytes() == data


@given(documents())
def test_elements_put_in_and_removed_leave_no_trace(data: bytes) -> None:
    document = parse(data)
    new = new_element("NEW", {"a": "1"}, [new_element("INNER"), new_element("INNER")])
    for element in everything(document.root):
        if element.children:
            document.append_child(element, new)
            document.append_child(element, new)
        if element.parent is not None:
            document.insert_before(element, new)
            document.insert_after(element, new)
    edited = parse(document.to_bytes())
    for element in found(edited, "NEW"):
        edited.remove_element(element)
    assert edited.to_bytes() == data


@pytest.mark.parametrize(
    ("empty", "filled"),
    [
        (b"<A>\n  <N/>\n</A>", b"<A>\n  <N>\n    <NEW/>\n  </N>\n</A>"),
        (b"<A>\r\n\t<N a='1' />\r\n</A>", b"<A>\r\n\t<N a='1' >\r\n\t\t<NEW/>\r\n\t</N>\r\n</A>"),
        (b"<A><N> </N></A>", b"<A><N><NEW/> </N></A>"),
        (b"<A><N></N>\n</A>", b"<A><N><NEW/></N>\n</A>"),
        (b"<A>\n <N></N>\n</A>", b"<A>\n <N>\n  <NEW/></N>\n</A>"),
        (b"<A>\n <N>text\n</N></A>", b"<A>\n <N>text\n  <NEW/>\n</N></A>"),
        (b"<A>\n <N><!-- c --></N></A>", b"<A>\n <N><!-- c -->\n  <NEW/></N></A>"),
    ],
)
def test_a_parent_without_children_gets_back_its_bytes(empty: bytes, filled: bytes) -> None:
    document = parse(empty)
    document.append_child(found(document, "N")[0], new_element("NEW"))
    assert document.to_bytes() == filled
    document = parse(filled)
    document.remove_element(found(document, "NEW")[0])
    assert document.to_bytes() == empty


def test_what_takes_the_place_of_the_only_child_stands_where_it_stood() -> None:
    for put in (Document.insert_before, Document.insert_after):
        document = parse(COLLECTION)
        tempo = found(document, "TEMPO")[0]
        document.remove_element(tempo)
        put(document, tempo, new_element("NEW"))
        assert document.to_bytes() == COLLECTION.replace(b'<TEMPO Inizio="0.025"/>', b"<NEW/>")
    document = parse(COLLECTION)
    track, tempo = found(document, "TRACK")[1], found(document, "TEMPO")[0]
    document.remove_element(tempo)
    document.append_child(track, new_element("NEW"))
    document.set_attribute(track, "Comments", "y")
    expected = COLLECTION.replace(b'<TEMPO Inizio="0.025"/>', b"<NEW/>").replace(b'"x"', b'"y"')
    assert document.to_bytes() == expected


def test_new_elements_stand_as_their_siblings_do() -> None:
    document = parse(COLLECTION)
    track = new_element("TRACK", {"TrackID": "3", "Name": "é"}, [new_element("TEMPO", {"Inizio": "1"})])
    document.append_child(document.root.children[0], track)
    root = document.root.children[1].children[0]
    document.set_attribute(root, "Count", "1")
    document.append_child(root, new_element("NODE", {"Name": "Zones"}, [new_element("TRACK", {"Key": "3"})]))
    expected = COLLECTION.replace(
        b"    </TRACK>\n",
        b'    </TRACK>\n    <TRACK TrackID="3" Name="\xc3\xa9">\n      <TEMPO Inizio="1"/>\n    </TRACK>\n',
    ).replace(
        b'Count="0"/>\n',
        b'Count="1">\n      <NODE Name="Zones">\n        <TRACK Key="3"/>\n      </NODE>\n    </NODE>\n',
    )
    assert document.to_bytes() == expected


def test_a_document_without_indents_gets_none() -> None:
    document = parse(NML)
    subnodes = found(document, "SUBNODES")[0]
    document.append_child(subnodes, new_element("NODE", {"NAME": "a"}, [new_element("PLAYLIST")]))
    assert document.to_bytes() == NML.replace(
        b"\r\n</SUBNODES>", b'\r\n<NODE NAME="a">\r\n<PLAYLIST/>\r\n</NODE>\r\n</SUBNODES>'
    )


def test_an_attribute_changes_alone() -> None:
    document = parse(COLLECTION)
    first, second = document.root.children[0].children
    document.set_attribute(first, "Name", 'it\'s <"&">\n')
    document.set_attribute(first, "Comments", "Z1")
    document.set_attribute(second, "Colour", "0xFF0000")
    document.set_attribute(second, "Mix", "1", after="TrackID")
    expected = COLLECTION.replace(
        b"""Name='Tom &amp; "J&#xE9;r&#233;my"' Comments=\"\"""",
        b"""Name='it&apos;s &lt;"&amp;">&#10;' Comments="Z1\"""",
    ).replace(b'= "2"  Name="B" Comments="x" >', b'= "2" Mix="1"  Name="B" Comments="x" Colour="0xFF0000" >')
    assert document.to_bytes() == expected


def test_a_value_that_is_there_keeps_its_spelling() -> None:
    document = parse(COLLECTION)
    for element in everything(document.root):
        for name, value in element.attributes.items():
            document.set_attribute(element, name, "other")
            document.set_attribute(element, name, value)
        document.remove_attribute(element, "Missing")
    assert document.to_bytes() == COLLECTION


def test_edits_of_what_is_removed_are_a_mistake_of_the_program() -> None:
    mistakes: list[Callable[[Document, Element], None]] = [
        lambda document, track: document.set_attribute(track, "a", "1"),
        lambda document, track: document.append_child(track, new_element("N")),
        lambda document, track: document.remove_element(track.children[0]),
        lambda document, track: document.insert_after(track.children[0], new_element("N")),
    ]
    for edit in mistakes:
        document = parse(COLLECTION)
        track = document.root.children[0].children[1]
        document.remove_element(track)
        edit(document, track)
        with pytest.raises(ValueError, match="an edit of"):
            document.to_bytes()
    document = parse(COLLECTION)
    for edit_of_root in (document.remove_element, lambda root: document.insert_after(root, new_element("N"))):
        with pytest.raises(ValueError, match="outermost"):
            edit_of_root(document.root)


@pytest.mark.parametrize("text", ["\0", "a\x1bb", "\ud800", "\ufffe"])
def test_what_xml_cannot_hold_is_refused(text: str) -> None:
    document = parse(COLLECTION)
    with pytest.raises(CollectionError, match="cannot hold"):
        document.set_attribute(document.root, "Version", text)
    with pytest.raises(CollectionError, match="cannot hold"):
        new_element("TRACK", {"Name": text})
    assert document.to_bytes() == COLLECTION


def test_a_name_that_changes_the_structure_is_not_written() -> None:
    document = parse(COLLECTION)
    document.append_child(document.root, new_element('N a="1"'))
    with pytest.raises(CollectionError, match="does not hold"):
        document.to_bytes()


LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))


@pytest.mark.parametrize(
    "head",
    [
        f'<!DOCTYPE A [<!ENTITY l0 "ha">{LAUGHS}]>',
        '<!DOCTYPE A [<!ENTITY l9 SYSTEM "file:///etc/passwd">]>',
        '<!DOCTYPE A [<!ENTITY % p SYSTEM "http://localhost/x">%p;]>',
        '<!DOCTYPE A SYSTEM "http://localhost/a.dtd">',
        "<!DOCTYPE A>",
    ],
)
def test_a_document_type_is_refused(head: str) -> None:
    with pytest.raises(CollectionError, match="DOCTYPE"):
        parse(f'<?xml version="1.0"?>\n{head}<A>&l9;</A>'.encode())


@pytest.mark.parametrize("encoding", ["UTF-16", "ISO-8859-1", "Shift_JIS", "US-ASCII"])
def test_other_encodings_are_refused_by_name(encoding: str) -> None:
    data = f'<?xml version="1.0" encoding="{encoding}"?><A a="e"/>'.encode(encoding)
    with pytest.raises(CollectionError, match=encoding):
        parse(data)


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be"])
def test_utf_16_is_told_without_a_byte_order_mark(codec: str) -> None:
    with pytest.raises(CollectionError, match="UTF-16"):
        parse("<A/>".encode(codec))


@pytest.mark.parametrize("head", [b"", b"\xef\xbb\xbf", b"<?xml version='1.0' encoding='Utf-8' ?>"])
def test_utf_8_is_read_with_and_without_saying_so(head: bytes) -> None:
    document = parse(head + "<A a='é'/>".encode())
    document.set_attribute(document.root, "b", "ü")
    assert document.to_bytes() == head + "<A a='é' b=\"ü\"/>".encode()


def test_depth_is_bounded() -> None:
    assert parse(b"<A>" * MOST_DEPTH + b"</A>" * MOST_DEPTH).root.tag == "A"
    for depth in (MOST_DEPTH + 1, 200_000):
        with pytest.raises(CollectionError, match="inside one another"):
            parse(b"<A>" * depth + b"</A>" * depth)
    document = parse(b"<A>" * MOST_DEPTH + b"</A>" * MOST_DEPTH)
    document.append_child(list(everything(document.root))[-1], new_element("A"))
    with pytest.raises(CollectionError, match="inside one another"):
        document.to_bytes()


@pytest.mark.parametrize("data", [COLLECTION, NML, b"\xef\xbb\xbf" + COLLECTION])
def test_a_document_cut_at_any_byte_raises_only_our_error(data: bytes) -> None:
    whole = len(data.rstrip())
    for length in range(whole):
        with pytest.raises(CollectionError, match=r"line \d+"):
            parse(data[:length])
    for length in range(whole, len(data)):
        assert parse(data[:length]).to_bytes() == data[:length]


@settings(max_examples=500)
@given(
    st.sampled_from([COLLECTION, NML]),
    st.lists(st.tuples(st.integers(0, 900), st.binary(max_size=3)), min_size=1, max_size=3),
)
def test_damage_raises_only_our_error(data: bytes, damage: list[tuple[int, bytes]]) -> None:
    for at, new in damage:
        data = data[:at] + new + data[at + len(new) or at + 1 :]
    try:
        document = parse(data)
    except CollectionError:
        return
    assert document.to_bytes() == data
    for element in everything(document.root):
        document.set_attribute(element, "NEW", "1")
        document.append_child(element, new_element("NEW"))
    document.to_bytes()


def test_many_edits_at_once() -> None:
    data = rekordbox_collection(300)
    document = parse(data)
    collection = document.root.children[1]
    for track in collection.children:
        document.set_attribute(track, "Colour", "0xFF0000")
        document.append_child(track, new_element("OURS"))
    edited = parse(document.to_bytes())
    for track in edited.root.children[1].children:
        edited.remove_attribute(track, "Colour")
        edited.remove_element(track.children[-1])
    assert edited.to_bytes() == data


@pytest.mark.shared
def test_real_files_come_back_byte_for_byte(shared: Path) -> None:
    folder = shared / "fixtures" / "dj"
    paths = [*folder.glob("rekordbox/**/*.xml"), *folder.glob("traktor/**/*.nml")]
    assert len(paths) > 8
    for path in paths:
        data = path.read_bytes()
        document = parse(data)
        assert document.to_bytes() == data
        assert our_tree(document.root) == tree(ET.fromstring(data))
        for element in everything(document.root):
            document.set_attribute(element, "OURS", "&")
            document.append_child(element, new_element("OURS", children=[new_element("INNER")]))
        edited = parse(document.to_bytes())
        for element in everything(edited.root):
            if element.tag == "OURS":
                edited.remove_element(element)
            elif element.tag != "INNER":
                edited.remove_attribute(element, "OURS")
        assert edited.to_bytes() == data, path


@pytest.mark.parametrize(
    ("spelled", "value", "changed"),
    [
        ("J&#xE9;r&#233;my", "new Jérémy", "new J&#xE9;r&#233;my"),
        ("it&apos;s &gt; &#228;", "it's > or ä", "it&apos;s &gt; or &#228;"),
        ("a\r\nb\tc&#10;d", "a b c\nd & e", "a\r\nb\tc&#10;d &amp; e"),
        ("&#128512;&#128512;", "\N{GRINNING FACE}", "&#128512;"),
        ("&lt;a&gt;", "", ""),
    ],
)
def test_what_a_changed_value_keeps_stays_as_it_was_spelled(spelled: str, value: str, changed: str) -> None:
    data = f'<a b="{spelled}"/>'.encode()
    document = parse(data)
    document.set_attribute(document.root, "b", value)
    assert document.to_bytes() == f'<a b="{changed}"/>'.encode()


def test_the_outermost_tag_is_told_by_the_first_bytes() -> None:
    assert outermost_tag(COLLECTION[:90]) == "DJ_PLAYLISTS"
    assert outermost_tag(b'<?xml version="1.0"?>\n<!-- <a> -->') is None
    for data in (b"not XML", b"<!DOCTYPE a><a/>", "<a/>".encode("utf-16")):
        with pytest.raises(CollectionError):
            outermost_tag(data)


def test_forbidden_characters_are_replaced() -> None:
    assert (
        without_forbidden("a\0b\ud800\uffffc\td\N{GRINNING FACE}")
        == "a\ufffdb\ufffd\ufffdc\td\N{GRINNING FACE}"
    )
