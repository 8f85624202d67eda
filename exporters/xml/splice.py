"""XML documents of DJ programs: read into a light tree, and edited by splicing bytes.

An edit replaces the bytes of a start tag, or puts in or takes out a whole element. All else survives byte for
byte: quotes, spacing, line ends, the spelling of entities, comments, the declaration, a byte order mark. A new
attribute stands behind one space, a new element on a line of its own where its siblings do, and taking out
takes the whitespace in front along. So taking out what was added gives back the bytes as they were.

Only UTF-8 is read. A document type is refused, and with it all entities but the five of XML itself.
"""

from __future__ import annotations

import gc
import re
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple
from xml.parsers import expat

from moodzone_agent.errors import CollectionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

MOST_DEPTH: Final = 256
"""Elements inside one another; no program's folders go that deep."""

_SPACE: Final = b" \t\r\n"
_LINE: Final = re.compile(rb"(?:\r\n|\n|\r)[ \t]*\Z")
_TAG_NAME: Final = re.compile(rb"<[^ \t\r\n/>]+")
_ATTRIBUTE: Final = re.compile(rb"""([ \t\r\n]+([^ \t\r\n=/>]+)[ \t\r\n]*=[ \t\r\n]*)("[^"]*"|'[^']*')""")
_TAG_END: Final = re.compile(rb"([ \t\r\n]*)(/?)>")
_LETTER: Final = re.compile(r"&[^;]*;|\r\n|.", re.DOTALL)
"""What spells one letter of a value."""
_NOT_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_ESCAPES: Final = {"&": "&amp;", "<": "&lt;", "\t": "&#9;", "\n": "&#10;", "\r": "&#13;"}
_ESCAPES_WITHIN: Final = {
    '"': str.maketrans({**_ESCAPES, '"': "&quot;"}),
    "'": str.maketrans({**_ESCAPES, "'": "&apos;"}),
}


class Element:
    """An element as it stands in the document; edits do not show here."""

    __slots__ = ("attributes", "children", "end_tag", "parent", "start", "tag")

    def __init__(self, tag: str, attributes: Mapping[str, str], parent: Element | None, start: int) -> None:
        self.tag = tag
        self.attributes = attributes
        """Values without entities and character references, in the document's order."""
        self.parent = parent
        self.children = _NO_CHILDREN
        self.start = start
        """Offset of the start tag in bytes."""
        self.end_tag = start
        """Offset of the end tag; says nothing where the start tag ends in ``/>``."""

    def child(self, tag: str) -> Element | None:
        """The first child with this tag."""
        return next((child for child in self.children if child.tag == tag), None)


_NO_CHILDREN: Final[list[Element]] = []
"""Of all elements without children; a list for each would cost a sixth of the time to read."""


class NewElement(NamedTuple):
    """An element to be put into a document, made by ``new_element``."""

    lines: tuple[_Line, ...]


class _Line(NamedTuple):
    """A tag of a new element; start tags and empty-element tags tell what they open."""

    depth: int
    text: bytes
    opens: tuple[str, Mapping[str, str]] | None


def new_element(
    tag: str, attributes: Mapping[str, str] | None = None, children: Sequence[NewElement] = ()
) -> NewElement:
    """An element with attributes in the order given. Raises CollectionError where XML cannot hold a value."""
    attributes = dict(attributes or {})
    inside = "".join(f" {name}={_quoted(value)}" for name, value in attributes.items())
    opens = (tag, attributes)
    if not children:
        return NewElement((_Line(0, f"<{tag}{inside}/>".encode(), opens),))
    lines = [_Line(0, f"<{tag}{inside}>".encode(), opens)]
    for child in children:
        lines += [_Line(line.depth + 1, line.text, line.opens) for line in child.lines]
    lines.append(_Line(0, f"</{tag}>".encode(), None))
    return NewElement(tuple(lines))


def parse(data: bytes) -> Document:
    """Read a document. Raises CollectionError, with the line, where it is damaged or more than we read safely."""
    parser = _safe_parser()
    stack: list[Element] = []
    roots: list[Element] = []

    def start(tag: str, attributes: dict[str, str]) -> None:
        parent = stack[-1] if stack else None
        element = Element(tag, attributes, parent, parser.CurrentByteIndex)
        if parent is None:
            roots.append(element)
        elif parent.children is _NO_CHILDREN:
            parent.children = [element]
        else:
            parent.children.append(element)
        stack.append(element)
        _expect_shallow(parser, len(stack))

    def end(_tag: str) -> None:
        stack.pop().end_tag = parser.CurrentByteIndex

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    _feed(parser, data)
    return Document(data, roots[0])


def outermost_tag(head: bytes) -> str | None:
    """The tag of the outermost element, given the first bytes. Raises CollectionError as ``parse``."""
    parser = _safe_parser()
    tags: list[str] = []
    parser.StartElementHandler = lambda tag, _: tags.append(tag)
    _feed(parser, head, is_whole=False)
    return tags[0] if tags else None


def walk(
    data: bytes,
    *,
    start: Callable[[str, dict[str, str]], None],
    text: Callable[[str], None],
    end: Callable[[str], None],
) -> None:
    """Tell of start tags, texts (in pieces) and end tags in their order, and keep nothing.

    Raises CollectionError as ``parse``.
    """
    parser = _safe_parser()
    depth = 0

    def started(tag: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        _expect_shallow(parser, depth)
        start(tag, attributes)

    def ended(tag: str) -> None:
        nonlocal depth
        depth -= 1
        end(tag)

    parser.StartElementHandler = started
    parser.CharacterDataHandler = text
    parser.EndElementHandler = ended
    _feed(parser, data)


def without_forbidden(text: str) -> str:
    """The text with U+FFFD for each character that XML cannot hold."""
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)


class Document:
    """A document, and the edits that ``to_bytes`` carries out on it."""

    def __init__(self, data: bytes, root: Element) -> None:
        self.data = data
        self.root = root
        self._values: dict[Element, dict[str, _Value]] = {}
        self._appended: dict[Element, list[NewElement]] = {}
        self._before: dict[Element, list[NewElement]] = {}
        self._after: dict[Element, list[NewElement]] = {}
        self._removed: set[Element] = set()

    def start_tag_span(self, element: Element) -> tuple[int, int]:
        """Where the element's start tag begins and ends, in bytes."""
        return element.start, _StartTag.read(self.data, element).end

    def span(self, element: Element) -> tuple[int, int]:
        """Where the element begins and ends, in bytes."""
        tag = _StartTag.read(self.data, element)
        return element.start, tag.end if tag.is_empty else self.data.index(b">", element.end_tag) + 1

    def set_attribute(self, element: Element, name: str, value: str, *, after: str | None = None) -> None:
        """Give an attribute a value; of several for one attribute the last counts.

        A new attribute goes behind the one named by ``after``, or behind all where that is not there. A value
        that is there already keeps its spelling, and so do the start and the end that an old and a new value
        share. Raises CollectionError where XML cannot hold the value.
        """
        _expect_characters(value)
        self._values.setdefault(element, {})[name] = _Value(value, after)

    def remove_attribute(self, element: Element, name: str) -> None:
        """Take out an attribute with the whitespace in front of it; nothing happens where it is not there."""
        self._values.setdefault(element, {})[name] = _Value(None, None)

    def append_child(self, parent: Element, new: NewElement) -> None:
        """Put a new element behind all that is in ``parent``."""
        self._appended.setdefault(parent, []).append(new)

    def insert_before(self, sibling: Element, new: NewElement) -> None:
        """Put a new element in front of ``sibling``, behind those put there earlier."""
        _expect_parent(sibling)
        self._before.setdefault(sibling, []).append(new)

    def insert_after(self, sibling: Element, new: NewElement) -> None:
        """Put a new element behind ``sibling`` and those put there earlier."""
        _expect_parent(sibling)
        self._after.setdefault(sibling, []).append(new)

    def remove_element(self, element: Element) -> None:
        """Take out an element with the whitespace in front of it.

        A parent in which only line ends and indents remain becomes an empty-element tag, as programs write it
        that indent. Where all stands on one line, ``<a/>`` to which a child was appended ends as ``<a></a>``.
        """
        _expect_parent(element)
        self._removed.add(element)

    def to_bytes(self) -> bytes:
        """The document with all edits, which was parsed again and holds what it should.

        Without edits, these are the bytes that were parsed. Raises ValueError where there are edits inside a
        removed element, and CollectionError where the result could not be proven.
        """
        self._expect_no_edits_of_removed()
        pieces: list[bytes] = []
        at = 0
        for start, end, data in sorted(self._splices(), key=lambda splice: splice.start):
            pieces += self.data[at:start], data
            at = end
        pieces.append(self.data[at:])
        result = b"".join(pieces)
        if result != self.data:
            self._prove(result)
        return result

    def _splices(self) -> Iterator[_Splice]:
        """What is put in the place of which bytes; of those at one place the first comes first."""
        emptied = {parent for parent in map(_parent, self._removed) if parent not in self._appended}
        emptied = {parent for parent in emptied if self._is_emptied(parent)}
        for element, new in self._after.items():
            end = self.span(element)[1]
            yield _Splice(end, end, self._rendered(_parent(element), new, beside=element))
        for element, new in self._before.items():
            start = self._start_with_space(element)
            yield _Splice(start, start, self._rendered(_parent(element), new, beside=element))
        for element, new in self._appended.items():
            tag = _StartTag.read(self.data, element)
            if not tag.is_empty:
                end = self._without_space(element.end_tag)
                yield _Splice(end, end, self._rendered(element, new))
        for element in self._removed:
            if _parent(element) not in emptied:
                yield _Splice(self._start_with_space(element), self.span(element)[1], b"")
        for element in emptied:
            yield _Splice(self.start_tag_span(element)[1], self.span(element)[1], b"")
        for element in {**self._values, **self._appended, **dict.fromkeys(emptied)}:
            yield self._start_tag(element, is_emptied=element in emptied)

    def _start_tag(self, element: Element, *, is_emptied: bool) -> _Splice:
        """The start tag with its edits; with children and end tag, if it was an empty-element tag."""
        tag = _StartTag.read(self.data, element)
        end = tag.end
        inside = tag.with_values(self._values.get(element, {}), element.attributes)
        if is_emptied or (tag.is_empty and element not in self._appended):
            return _Splice(element.start, end, inside + b"/>")
        inside += b">"
        if tag.is_empty:
            inside += self._rendered(element, self._appended[element])
            inside += self._line(element) + b"</" + element.tag.encode() + b">"
        return _Splice(element.start, end, inside)

    def _is_emptied(self, parent: Element) -> bool:
        """Whether of all that is in ``parent`` nothing but line ends remains."""
        if any(
            child not in self._removed or child in self._before or child in self._after
            for child in parent.children
        ):
            return False
        at = self.start_tag_span(parent)[1]
        rest = b""
        for child in parent.children:
            rest += self.data[at : self._start_with_space(child)]
            at = self.span(child)[1]
        rest += self.data[at : parent.end_tag]
        return rest.isspace() and (b"\n" in rest or b"\r" in rest)

    def _rendered(self, parent: Element, new: Sequence[NewElement], beside: Element | None = None) -> bytes:
        """New elements with the whitespace in front of each, as the siblings have it."""
        if beside is None and parent.children:
            beside = parent.children[-1]
        if beside is not None:
            line = self._line(beside)
            step = _step(self._line(parent), line)
        else:
            line = self._line(parent)
            step = b"  " if parent.parent is None else _step(self._line(parent.parent), line)
            line = line and line + step
        return b"".join(
            (line and line + step * tag.depth) + tag.text for element in new for tag in element.lines
        )

    def _line(self, element: Element) -> bytes:
        """Line end and indent in front of an element; empty where it does not begin a line."""
        match = _LINE.search(self.data, self._start_with_space(element), element.start)
        return match[0] if match else b""

    def _start_with_space(self, element: Element) -> int:
        return self._without_space(element.start)

    def _without_space(self, end: int) -> int:
        """Where the whitespace in front of an offset begins."""
        while end and self.data[end - 1] in _SPACE:
            end -= 1
        return end

    def _expect_no_edits_of_removed(self) -> None:
        for element in self._removed & (self._values.keys() | self._appended.keys()):
            raise ValueError(f"an edit of a removed {element.tag}")
        for edited in (self._values, self._appended, self._before, self._after, self._removed):
            for element in edited:
                ancestor = element.parent
                while ancestor is not None:
                    if ancestor in self._removed:
                        raise ValueError(f"an edit of {element.tag} inside a removed {ancestor.tag}")
                    ancestor = ancestor.parent

    def _prove(self, result: bytes) -> None:
        """Raise CollectionError unless the result holds the elements and attributes that the edits ask for."""
        parser = _safe_parser()
        expected = self._expected()
        depth = 0
        is_equal = True

        def start(tag: str, attributes: dict[str, str]) -> None:
            nonlocal depth, is_equal
            is_equal = is_equal and next(expected, None) == (depth, tag, attributes)
            depth += 1
            _expect_shallow(parser, depth)

        def end(_tag: str) -> None:
            nonlocal depth
            depth -= 1

        parser.StartElementHandler = start
        parser.EndElementHandler = end
        _feed(parser, result)
        if not is_equal or next(expected, None) is not None:
            raise CollectionError(
                "The edited XML does not hold what it should; nothing was written. Report this."
            )

    def _expected(self) -> Iterator[tuple[int, str, Mapping[str, str]]]:
        """Depth, tag and attributes of each element that the result must have, in order."""
        stack: list[tuple[int, Element | NewElement]] = [(0, self.root)]
        while stack:
            depth, element = stack.pop()
            if isinstance(element, NewElement):
                yield from ((depth + line.depth, *line.opens) for line in element.lines if line.opens)
                continue
            yield depth, element.tag, self._expected_attributes(element)
            inside = self._expected_children(element)
            stack += [(depth + 1, child) for child in reversed(inside)]

    def _expected_children(self, element: Element) -> Sequence[Element | NewElement]:
        if not element.children and element not in self._appended:
            return ()
        inside: list[Element | NewElement] = []
        for child in element.children:
            inside += self._before.get(child, ())
            if child not in self._removed:
                inside.append(child)
            inside += self._after.get(child, ())
        inside += self._appended.get(element, ())
        return inside

    def _expected_attributes(self, element: Element) -> Mapping[str, str]:
        values = self._values.get(element)
        if not values:
            return element.attributes
        merged = {**element.attributes, **{name: value.text for name, value in values.items()}}
        return {name: text for name, text in merged.items() if text is not None}


class _Splice(NamedTuple):
    """Put ``data`` in the place of the bytes from ``start`` to ``end``."""

    start: int
    end: int
    data: bytes


class _Value(NamedTuple):
    """What an attribute becomes; no text takes it out."""

    text: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class _StartTag:
    """The parts of a start tag, which expat found to be well-formed."""

    name: bytes
    attributes: list[tuple[str, bytes, bytes]]
    """Of each the name, what stands before the value, and the value in its quotes."""
    space: bytes
    is_empty: bool
    end: int

    @classmethod
    def read(cls, data: bytes, element: Element) -> _StartTag:
        name = _TAG_NAME.match(data, element.start)
        assert name is not None
        at = name.end()
        attributes = []
        while match := _ATTRIBUTE.match(data, at):
            attributes.append((match[2].decode(), match[1], match[3]))
            at = match.end()
        end = _TAG_END.match(data, at)
        assert end is not None
        return cls(name[0], attributes, end[1], end[2] == b"/", end.end())

    def with_values(self, values: Mapping[str, _Value], old: Mapping[str, str]) -> bytes:
        """The tag without its closing ``>`` or ``/>``, with these values in the place of the old ones."""
        parts = list(self.attributes)
        for name, value in values.items():
            names = [part[0] for part in parts]
            if value.text is None or value.text == old.get(name):
                continue
            if name in names:
                at = names.index(name)
                _, before, quoted = parts[at]
                parts[at] = (name, before, _respelled(quoted.decode(), old[name], value.text).encode())
            else:
                at = names.index(value.after) + 1 if value.after in names else len(parts)
                parts.insert(at, (name, f" {name}=".encode(), _quoted(value.text).encode()))
        gone = {name for name, value in values.items() if value.text is None}
        kept = (before + quoted for name, before, quoted in parts if name not in gone)
        return self.name + b"".join(kept) + self.space


@contextmanager
def without_garbage_collection() -> Iterator[None]:
    """A tree that only grows holds no garbage; looking for it would take longer than to read the document."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _safe_parser() -> expat.XMLParserType:
    """A parser that refuses what could make it read other files, or far more than was given to it."""
    parser = expat.ParserCreate("UTF-8")

    def declaration(_version: str, encoding: str | None, _standalone: int) -> None:
        if encoding is not None and encoding.upper() != "UTF-8":
            raise CollectionError(_wrong_encoding(encoding))

    def document_type(*_: object) -> None:
        # Nothing else can declare an entity, inside the document or in another file.
        raise CollectionError(
            f"The XML has a document type (DOCTYPE, line {parser.CurrentLineNumber}), which no DJ program "
            "writes and which is not safe to read. Export it anew."
        )

    parser.XmlDeclHandler = declaration
    parser.StartDoctypeDeclHandler = document_type
    return parser


def _feed(parser: expat.XMLParserType, data: bytes, *, is_whole: bool = True) -> None:
    if data[:2] in {b"\xff\xfe", b"\xfe\xff", b"<\0", b"\0<"}:
        raise CollectionError(_wrong_encoding("UTF-16"))
    try:
        with without_garbage_collection():
            parser.Parse(data, is_whole)
    except expat.ExpatError as error:
        reason = expat.ErrorString(error.code)
        raise CollectionError(
            f"The XML is damaged or cut off (line {error.lineno}: {reason}). Export it anew."
        ) from error


def _expect_shallow(parser: expat.XMLParserType, depth: int) -> None:
    if depth > MOST_DEPTH:
        raise CollectionError(
            f"The XML has more than {MOST_DEPTH} elements inside one another (line "
            f"{parser.CurrentLineNumber}). Export it anew."
        )


def _wrong_encoding(name: str) -> str:
    return f"The XML is in {name}, and only UTF-8 is read. Export it anew, or save it as UTF-8."


def _expect_characters(text: str) -> None:
    match = _NOT_XML.search(text)
    if match:
        raise CollectionError(
            f"XML cannot hold the character {match[0]!r} of {text!r}. Rename that and run again."
        )


def _expect_parent(element: Element) -> None:
    if element.parent is None:
        raise ValueError("the outermost element cannot be removed or get siblings")


def _parent(element: Element) -> Element:
    assert element.parent is not None
    return element.parent


def _quoted(text: str, quote: str = '"') -> str:
    _expect_characters(text)
    return f"{quote}{text.translate(_ESCAPES_WITHIN[quote])}{quote}"


def _respelled(quoted: str, old: str, new: str) -> str:
    """``new`` in the quotes of ``quoted``, which spells ``old``; a start and an end that both share stay as spelled."""
    quote, letters = quoted[0], _LETTER.findall(quoted[1:-1])
    if len(letters) != len(old):
        return _quoted(new, quote)
    head = _shared(old, new)
    tail = _shared(old[head:][::-1], new[head:][::-1])
    middle = _quoted(new[head : len(new) - tail], quote)[1:-1]
    return "".join((quote, *letters[:head], middle, *letters[len(letters) - tail :], quote))


def _shared(one: str, other: str) -> int:
    """With how many letters both begin."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(one), len(other)))


def _step(outer: bytes, inner: bytes) -> bytes:
    """By how much the inner one of two lines is indented more."""
    outer, inner = outer.lstrip(b"\r\n"), inner.lstrip(b"\r\n")
    return inner[len(outer) :] if inner.startswith(outer) else b""
