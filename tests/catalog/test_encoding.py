"""How text is written, by its bytes; and a sink that is full."""

import io

import pytest

from service.catalog.adapters.memory import MemorySink
from service.catalog.reading.encoding import UTF_8, WESTERN, Recoded, encoding_of, is_broken, judge, note_on
from service.catalog.reading.lines import MAX_COLUMNS, MAX_LINE_CHARACTERS, check_column_count, next_line
from service.catalog.reading.ports import TooLarge
from service.errors import CatalogError

TEXT = "id,title\na,Läufer\nb,Straße \u2013 groß\n"
GOOD, BROKEN, CUT, CYRILLIC = "süß\n".encode(), "süß\n".encode(WESTERN), b"m\xc3\n", "Привет\n".encode("cp1251")


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("text", ["id,title\na,b\n", "id,title\na,Łódź\n"])
def test_wide_encodings_are_known_by_their_zeros_and_by_their_mark(encoding: str, text: str) -> None:
    assert encoding_of(text.encode(encoding)) == encoding
    assert encoding_of(("\ufeff" + text).encode(encoding)) == encoding[:6]


@pytest.mark.parametrize(
    ("head", "encoding"),
    [
        (b"a\0\0\0", "utf-32-le"),
        (b"\0\0\0a", "utf-32-be"),
        # More than half of every second byte.
        (b"a\0" * 5 + b"b" * 6, "utf-16-le"),
        (b"\0a" * 5 + b"b" * 6, "utf-16-be"),
    ],
)
def test_few_bytes_are_enough(head: bytes, encoding: str) -> None:
    assert encoding_of(head) == encoding


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"a",
        b"abc",
        b"id,title\n",
        "süß".encode(),
        b"a\x00bcdefghijklmnop",
        b"a\0b\0" + b"c" * 28,
        b"\0a\0b" + b"c" * 28,
        b"a\0" * 4 + b"b" * 8,
        b"\0a" * 4 + b"b" * 8,
        b"a\0\0b" + b"c" * 20,
    ],
)
def test_all_else_begins_as_utf_8(head: bytes) -> None:
    assert encoding_of(head) == UTF_8
    assert encoding_of(b"\xef\xbb\xbf" + head) == "utf-8-sig"


@pytest.mark.parametrize(
    ("lines", "encoding"),
    [
        ([BROKEN], WESTERN),
        ([b"plain\n"], UTF_8),
        ([GOOD], UTF_8),
        ([CUT], UTF_8),
        ([CYRILLIC], UTF_8),
        # Ten of one kind do not outvote one that is good UTF-8, or that shows another encoding; eleven do.
        ([GOOD, *[BROKEN] * 10], UTF_8),
        ([GOOD, *[BROKEN] * 11], WESTERN),
        ([CYRILLIC, *[BROKEN] * 10], UTF_8),
        ([CYRILLIC, *[BROKEN] * 11], WESTERN),
        # As many lines were cut as read as Western.
        ([CUT, BROKEN], UTF_8),
        ([CUT, BROKEN, BROKEN], WESTERN),
        ([b"plain\n"] * 1_000 + [BROKEN], WESTERN),
    ],
)
def test_lines_that_are_no_utf_8_decide_by_what_they_are_and_how_many(lines: list[bytes], encoding: str) -> None:
    stream = io.BytesIO(b"".join(lines))
    stream.read(3)
    assert judge(stream) == encoding
    assert stream.tell() == 0


@pytest.mark.parametrize(
    ("encoding", "names", "found"),
    [
        ("cp1252", ["Größe", "Käse", "Töpfe", "weiß"], WESTERN),
        ("cp1252", ["Crème brûlée", "Goût", "Dû", "Théière", "Garçon", "prix\u00a0: 5"], WESTERN),
        ("cp1252", ["Calções", "Botões", "Coração", "Melão"], WESTERN),
        ("cp1252", ["Õunamahl", "Täht", "Põrandalamp", "Väike tool", "Rõivad", "täpne"], WESTERN),
        ("cp1252", ["Ideeën", "coördinatie", "Caffè", "così", "Rødgrød", "Æble", "Niño", "col·lecció"], WESTERN),
        ("cp1252", ["“Best” – 5 € ‘new’", "Nike™ £5", "¡Olé! ¿Qué?", "5 m³", "¢5 ¤"], WESTERN),  # noqa: RUF001  # Western signs
        ("cp1250", ["Női cipő, fekete bőr", "Kék gyűrű", "Egyszerű asztal", "Könyv", "Zöld szék"], UTF_8),
        ("iso-8859-2", ["Női cipő", "Kék gyűrű", "Fürdőszobai polc", "Könyv"], UTF_8),
        ("iso-8859-2", ["Łóżko", "Świeca", "wełna", "Przędza"], UTF_8),
        ("cp850", ["Größe", "Käse", "schön", "Töpfe"], UTF_8),
        ("cp850", ["Crème brûlée", "Théière", "Vélo", "Fenêtre"], UTF_8),
        ("cp850", ["Niño", "Camión", "Balón", "Jardín", "azúcar"], UTF_8),
        ("cp1250", ["Muška košulja", "Stolić", "Čaša za vino", "Kućni ogrtač", "Žuta torba"], UTF_8),
        ("cp1250", ["Hlače", "Preproga", "Čevlji", "Šal", "Žlička"], UTF_8),
        ("cp1250", ["Dámská košile", "Hrnek na čaj", "Šálek", "Pánské boty"], UTF_8),
        ("cp1257", ["Moteriški batai", "Šviestuvas", "Kėdė", "Rankšluostis, žalias", "Pagalvė"], UTF_8),
        ("cp1254", ["Kadın ayakkabı", "Güneş gözlüğü", "Yüzük", "Çanta", "Şapka"], UTF_8),  # noqa: RUF001  # Turkish letters
        ("cp1252", ["Crème brûlée", "Modèle réduit Škoda", "Jouet à bascule", "Tasse à thé", "Pièce"], WESTERN),
        ("cp1252", ["Nestlé", "Häagen-Dazs", "Möbel", "Jardín", "Garçon", "L'Oréal", "Citroën"], WESTERN),
        ("cp1252", ["Šampoon", "Žakett", "Öölamp", "Käterätik", "Tekk"], WESTERN),
        ("cp862", ["נעליים", "שולחן"], UTF_8),
        ("koi8-r", ["Стол", "Чайник"], UTF_8),  # Cyrillic letters
        ("cp866", ["Стол", "Чайник", "Лампа"], UTF_8),  # as above
        ("cp1255", ["שולחן", "כיסא"], UTF_8),
        ("cp1256", ["طاولة", "كرسي"], UTF_8),
        ("iso-8859-7", ["Τραπέζι", "Καρέκλα"], UTF_8),
        ("iso-8859-9", ["ahşap", "ışık", "Gömlek"], UTF_8),  # noqa: RUF001  # Turkish letters
        ("euc-jp", ["机", "椅子"], UTF_8),
        ("big5", ["桌子", "椅子"], UTF_8),
    ],
)
def test_the_letters_of_a_language_show_whether_a_feed_is_western(encoding: str, names: list[str], found: str) -> None:
    """B3, C1: what nobody can know for sure is not shown with wrong letters."""
    for lines in (names, ["plain", *names, *names]):
        assert judge(io.BytesIO("\n".join(lines).encode(encoding) + b"\n")) == found


def test_a_person_sees_the_first_odd_text() -> None:
    stream = io.BytesIO(b"plain\n" + "Größe 38, weiß\n".encode(WESTERN))
    note = note_on(WESTERN, stream)
    assert note is not None
    assert "'Größe 38'" in note
    assert note_on(UTF_8, stream) is None
    assert "'ß1'" in (note_on(WESTERN, io.BytesIO("ß1\n".encode(WESTERN))) or "")
    assert note_on("utf-32", stream) == "is UTF-32, not UTF-8; read as that"
    assert note_on("utf-16-le", stream) == "is UTF-16, not UTF-8; read as that"


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1_000])
@pytest.mark.parametrize("encoding", [WESTERN, "utf-16", "utf-32-be"])
def test_a_file_in_another_encoding_reads_as_utf_8_whatever_is_read_at_a_time(encoding: str, size: int) -> None:
    stream = io.BytesIO(TEXT.encode(encoding))
    with Recoded.where_needed(stream, encoding) as recoded:
        for _ in range(2):
            assert b"".join(iter(lambda: recoded.read(size), b"")) == TEXT.encode()
            recoded.seek(0)
        for place in [(1, 0), (0, 2)]:
            raw = Recoded(io.BytesIO(TEXT.encode(encoding)), encoding)
            assert raw.seek(0) == 0
            with pytest.raises(OSError, match="beginning"):
                raw.seek(*place)
            raw.close()
            raw.close()
    assert (recoded.closed, stream.closed) == (True, False)


def test_a_file_in_utf_8_is_read_as_it_is() -> None:
    stream = io.BytesIO(TEXT.encode())
    with Recoded.where_needed(stream, UTF_8) as same:
        assert same is stream


def test_bytes_that_an_encoding_does_not_know_are_seen() -> None:
    assert is_broken(b"s\xfc\xdf".decode(UTF_8, "surrogateescape"))
    assert not is_broken("süß \ue000")
    assert not is_broken("plain")
    assert [is_broken(one) for one in ("\udc7f", "\udc80", "\udcff", "\udd00")] == [False, True, True, False]


def test_a_sink_takes_ids_and_items_up_to_its_last_byte() -> None:
    sink = MemorySink(max_bytes=12)
    sink.add(1, "abc", b"def", eligible=True)
    sink.add(2, "gh", b"ijkl", eligible=False)
    assert list(sink.records) == ["abc", "gh"]
    assert sink.ineligible == {"gh"}
    with pytest.raises(TooLarge):
        sink.add(3, "", b"m", eligible=True)
    sink.clear()
    sink.add(1, "abc", b"d" * 9, eligible=True)
    assert "abc" in sink
    assert "gh" not in sink
    unbound = MemorySink()
    unbound.add(1, "abc", bytes(10_000), eligible=True)
    assert len(unbound.records) == 1


def test_a_line_as_long_as_is_allowed_is_whole_and_of_a_longer_one_the_beginning() -> None:
    longest = "x" * (MAX_LINE_CHARACTERS - 1) + "\n"
    for more in (0, 1, 2 * MAX_LINE_CHARACTERS):
        stream = io.StringIO("y" * more + longest + "next\n")
        assert next_line(stream.readline) == (("y" * more + longest)[:MAX_LINE_CHARACTERS], more == 0)
        assert next_line(stream.readline) == ("next\n", True)
        assert next_line(stream.readline) == ("", True)


def test_so_many_columns_are_taken_and_one_more_is_not() -> None:
    check_column_count(range(MAX_COLUMNS), "feed.csv")  # type: ignore[arg-type]  # only counted
    with pytest.raises(CatalogError, match=r"feed.csv: more than 1,000 columns"):
        check_column_count(range(MAX_COLUMNS + 1), "feed.csv")  # type: ignore[arg-type]  # as above
