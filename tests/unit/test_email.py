"""E-mail addresses with letters beyond ASCII (RFC 6531), and what only looks like one."""

import pytest

from custody.identifier_forms import read_email

CYRILLIC_A, GREEK_ALPHA, ARABIC_3, LOOSE_MARK = "\u0430", "\u03b1", "\u0663", "\u0331"


@pytest.mark.parametrize(
    "text",
    [
        "stanisław.wójcik@wp.pl",
        "François.Tremblay@example.com",
        "nguyễn.thị@example.vn",
        "jürgen@müller.example",
        "leonekohler@surfeu.de",
    ],
)
def test_latin_letters_with_marks_are_accepted(text: str) -> None:
    assert read_email(text) == (text, None)


def test_a_letter_and_its_mark_become_one() -> None:
    assert read_email("wo\u0301jcik@wp.pl") == ("wójcik@wp.pl", None)


@pytest.mark.parametrize(
    "text",
    [
        f"{CYRILLIC_A}dmin@example.com",
        f"admin@ex{CYRILLIC_A}mple.com",
        f"stanisław.w{CYRILLIC_A}@wp.pl",
        f"{GREEK_ALPHA}b@example.com",
        f"wang{ARABIC_3}@example.com",
        f"x{LOOSE_MARK}@example.com",
    ],
)
def test_what_passes_for_a_letter_is_refused(text: str) -> None:
    assert read_email(text)[1] == "confusable_character"


@pytest.mark.parametrize("text", ["wójcik.wp.pl", "wójcik@wp", "名@例.cn", "a×b@example.com"])
def test_another_shape_is_malformed(text: str) -> None:
    assert read_email(text)[1] == "email_malformed"
