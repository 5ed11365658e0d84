"""CSV: encodings, quoting, chunks, and every declaration that the bytes contradict."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_catalogue import customers
from source_values import ENGLISH, HEADER, opened, rows_of, source, table, write

from custody.errors import QualityGateError
from custody.sources import SourceError, open_source

MARK = "\ufeff"


def encodings(text: str) -> dict[str, bytes]:
    """Return ``text`` in every encoding a legacy system writes."""
    return {
        "utf-8": text.encode(),
        "utf-8 with mark": (MARK + text).encode(),
        "gb18030": text.encode("gb18030"),
        "gb18030 with mark": (MARK + text).encode("gb18030"),
        "utf-16 little": (MARK + text).encode("utf-16-le"),
        "utf-16 big": (MARK + text).encode("utf-16-be"),
    }


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("header", [HEADER, ENGLISH])
@pytest.mark.parametrize("encoding", list(encodings("")))
def test_the_same_rows_in_six_encodings_are_the_same_records(
    tmp_path: Path, encoding: str, header: str, end: str
) -> None:
    expected = rows_of(opened(write(tmp_path, table(header=HEADER), "expected.csv")))
    text = table(header=header, end=end)
    found = rows_of(opened(write(tmp_path, encodings(text)[encoding])))
    assert found == expected
    assert [row.values["name"] for row in found] == ["王小明", "𠮷野𪚥", 'O"Neill, Zoë', "", "李四"]


@pytest.mark.parametrize("declared", ["gbk", "gb2312", "GB18030", "cp936"])
def test_an_older_name_of_the_encoding_means_the_newest(tmp_path: Path, declared: str) -> None:
    place = write(tmp_path, table().encode("gb18030"))
    assert rows_of(opened(place, encoding=declared))[1].values["name"] == "𠮷野𪚥"


@pytest.mark.parametrize(
    ("declared", "text"),
    [
        ("gb18030", table().encode()),
        ("gb18030", table(header=ENGLISH).encode()),
        ("gb18030", (MARK + table()).encode()),
        ("gb18030", (MARK + table()).encode("utf-16-le")),
        ("utf-8", table().encode("gb18030")),
        ("utf-8", table(header=ENGLISH).encode("gb18030")),
        ("utf-8", (MARK + table()).encode("utf-16-le")),
        ("utf-16", table().encode()),
        ("utf-16", table().encode("utf-16-le")),
        ("latin-1", table().encode()),
        ("no such thing", table().encode()),
    ],
)
def test_a_wrong_declaration_is_refused_and_never_mojibake(
    tmp_path: Path, declared: str, text: bytes
) -> None:
    with pytest.raises(SourceError) as caught:
        opened(write(tmp_path, text), encoding=declared)
    assert str(tmp_path) not in str(caught.value)


def test_the_careless_reader_would_have_taken_the_wrong_declaration_for_data() -> None:
    rows = table(("C1,江西省九江市,,",), header=ENGLISH)
    assert "江西" not in rows.encode().decode("gb18030")


@pytest.mark.parametrize(
    "text",
    [table().encode() + b"C6,\xff\xff,,\r\n", table().encode("gb18030") + b"C6,\x81"],
)
def test_a_file_in_no_encoding_is_refused_with_the_place_and_without_the_content(
    tmp_path: Path, text: bytes
) -> None:
    with pytest.raises(QualityGateError) as caught:
        opened(write(tmp_path, text))
    assert "undecodable_text(byte " in str(caught.value)


def test_a_bad_byte_after_the_first_block_is_named_by_its_place(tmp_path: Path) -> None:
    text = table(header=ENGLISH).encode() + b"C9,abc,,\r\n" * 200_000
    place = write(tmp_path, text + b"C9,\xff,,\r\n")
    with pytest.raises(SourceError, match=f"byte {len(text) + 3} "):
        opened(place, encoding="utf-8")


def test_the_header_decides_where_the_bytes_are_both(tmp_path: Path) -> None:
    # 牛 is C5 A3 in GB18030, which is also the UTF-8 of a letter with a cedilla.
    assert "牛".encode("gb18030").decode() == "ţ"
    place = write(tmp_path, table(("C1,牛,,",)).encode("gb18030"))
    assert rows_of(opened(place))[0].values["name"] == "牛"


def test_what_nothing_can_decide_must_be_declared(tmp_path: Path) -> None:
    both = table(("C1,Иван,,",), header=ENGLISH).encode()
    both.decode("gb18030")
    place = write(tmp_path, both)
    with pytest.raises(SourceError, match="declare one"):
        opened(place)
    assert rows_of(opened(place, encoding="utf-8"))[0].values["name"] == "Иван"


@pytest.mark.parametrize("chunk_rows", [1, 2, 3, 5, 100])
@pytest.mark.parametrize("encoding", ["gb18030", "utf-16 big"])
def test_any_chunk_is_read_without_those_before_it(
    tmp_path: Path, encoding: str, chunk_rows: int
) -> None:
    place = write(tmp_path, encodings(table())[encoding])
    with opened(place, chunk_rows=chunk_rows) as reader:
        whole = list(reader.chunks())
        assert len(whole) == reader.chunk_count == len(reader.spans())
        for number in reversed(range(len(whole))):
            assert list(reader.chunks(number, number)) == [whole[number]]
        assert list(reader.chunks(1)) == whole[1:]
    for span, chunk in zip(reader.spans(), whole, strict=True):
        assert [row.number for row in chunk.rows] == list(
            range(span.first_row, span.first_row + span.rows)
        )


def test_rows_that_hold_nothing_are_numbered_and_not_read(tmp_path: Path) -> None:
    place = write(tmp_path, f"\n{HEADER}\n\nC1,a,,\n,,,\n \n\nC2,b,,\n")
    assert [(row.number, row.problems) for row in rows_of(opened(place))] == [
        (1, ()),
        (4, ()),
    ]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("C1,王小明", "ragged_row"),
        ("C1,王小明,,,extra", "ragged_row"),
        ('C1,"王小明"x,,', "ragged_row"),
        ('C1,"王小明,,', "ragged_row"),
        ("C1,王\r小明,,", "control_character"),
        ("C1," + "王" * 60_000 + ",,", "text_too_long"),
    ],
)
def test_a_broken_row_is_a_problem_of_that_row_only(
    tmp_path: Path, line: str, problem: str
) -> None:
    place = write(tmp_path, table(("C0,a,,", line, "C2,b,,", "C3,c,,"), end="\n"))
    found = rows_of(opened(place))
    assert [row.problems for row in found] == [(), (problem,), (), ()]
    assert [row.values.get("name") for row in found if not row.problems] == ["a", "b", "c"]


def test_a_stray_quote_swallows_nobody(tmp_path: Path) -> None:
    lines = ['C0,"never closed,,', *(f"C{n},name,," for n in range(1, 3000)), 'C3000,",,']
    found = rows_of(opened(write(tmp_path, table(lines)), chunk_rows=500))
    assert [row.number for row in found if row.problems] == [1, 3001]
    assert len(found) == 3001


def test_nul_is_left_for_the_field_to_complain_about(tmp_path: Path) -> None:
    (row,) = rows_of(opened(write(tmp_path, table(("C1,a\x00b,,",)))))
    assert row.values["name"] == "a\x00b"


def test_missing_columns_are_named_together_and_unknown_ones_counted(tmp_path: Path) -> None:
    place = write(tmp_path, "姓名,unheard of,another\n王,1,2\n")
    with pytest.raises(SourceError, match="no column for customer_no, mobile, resident_id"):
        open_source(
            source(),
            location=str(place),
            dataset=customers(),
            chunk_rows=5,
            environment={},
            required=frozenset({"mobile", "resident_id", "name"}),
        )
    good = write(tmp_path, "CUSTOMER_NO ,Ｎａｍｅ,x,y\nC1,王,1,2\n")
    with opened(good) as reader:
        assert reader.fields == {"customer_no", "name"}
        assert reader.unknown_columns == 2


def test_an_explicit_column_goes_before_an_alias(tmp_path: Path) -> None:
    place = write(tmp_path, "客户号,姓名,full\nC1,short,long\n")
    assert rows_of(opened(place))[0].values["name"] == "short"
    mapped = rows_of(opened(place, columns={"Full": "name"}))
    assert mapped[0].values["name"] == "long"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("客户号,客户号\nC1,C2\n", "more than one column for customer_no"),
        ("客户号" + ",x" * 600, "more than 500 columns"),
        ("", "no header"),
        ("王小明,13812345678\n", "no column for customer_no"),
    ],
)
def test_a_header_that_cannot_be_used_is_one_plain_error(
    tmp_path: Path, text: str, said: str
) -> None:
    with pytest.raises(SourceError, match=said) as caught:
        opened(write(tmp_path, text))
    assert "王小明" not in str(caught.value)


def test_the_digest_is_that_of_the_bytes(tmp_path: Path) -> None:
    fed: list[bytes] = []
    with opened(write(tmp_path, table())) as reader:
        list(reader.chunks(0, 0))
        reader.digest(fed.append)
        assert len(list(reader.chunks())) == 3
    assert b"".join(fed) == table().encode()


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path) -> None:
    place = write(tmp_path, table())
    with opened(place) as reader:
        chunks = reader.chunks()
        next(chunks)
        place.write_bytes(table().encode() + b"C9,x,,\r\n")
        with pytest.raises(SourceError, match="changed"):
            list(chunks)


def test_a_location_can_stand_in_the_environment(tmp_path: Path) -> None:
    place = write(tmp_path, table())
    environment = {"LEGACY": str(place)}
    registered = source(location="${LEGACY}")
    with open_source(
        registered, location=None, dataset=customers(), chunk_rows=9, environment=environment
    ) as reader:
        assert reader.chunk_count == 1
    for missing in (registered, source()):
        with pytest.raises(SourceError):
            open_source(missing, location=None, dataset=customers(), chunk_rows=9, environment={})


CELL = st.text(
    st.characters(codec="utf-8", exclude_characters="\x00\r", exclude_categories=("Cs",)),
    max_size=12,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(CELL, CELL), min_size=1, max_size=12), st.integers(1, 4))
def test_whatever_was_written_is_read(
    tmp_path: Path, cells: list[tuple[str, str]], chunk_rows: int
) -> None:
    lines = [
        f'C{n},"{name.replace(chr(34), chr(34) * 2)}",,"{address.replace(chr(34), chr(34) * 2)}"'
        for n, (name, address) in enumerate(cells)
    ]
    for content in (table(lines).encode(), table(lines).encode("gb18030")):
        found = rows_of(opened(write(tmp_path, content), chunk_rows=chunk_rows))
        assert [(r.values["name"], r.values["address"]) for r in found] == cells
