"""Notebooks, zips and tables that nobody hands in on purpose: each gets a row or a line, and nothing a traceback.

Cases are small valid files with damages: in the JSON of a notebook (another value in any field), in the structure of a
zip (flags, checksums, names, entries), in the text of a table (separators, quotes, columns), and in the bytes of all.
A case follows from its seed alone, so a failure can be repeated: LABKIT_FUZZ_SEED gives others. ``-m slow`` tries them
for minutes, and grades a class of damaged notebooks in kernels.
"""

import copy
import csv
import io
import json
import os
import random
import shutil
import struct
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from grading_lab import KEYS, RIGHT, answered, hand_in, student_copy

from labkit import LabkitError
from labkit.grading import gradebook, pages
from labkit.grading.exports import PLATFORMS, export
from labkit.grading.gradebook import Facts
from labkit.grading.handed_in import MOST_FILES, HandedIn, find_submissions
from labkit.grading.plan import make_plan
from labkit.grading.reader import handlers, read_notebook
from labkit.grading.results import Graded
from labkit.grading.roster import join_roster, read_roster
from labkit.grading.submission import LARGEST, printable
from labkit.grading.tables import read_table
from labkit.grading.template import Template, read_template
from labkit.grading.unpack import NOT_TURNED_IN

SEED = os.environ.get("LABKIT_FUZZ_SEED", "0")
LONGEST = 20.0  # seconds that nothing small may take, on a busy machine
SHORT, LONG = 4.0, 100.0  # seconds for a kind of files
HUGE = 10**400
TEXTS = (
    "", " ", "\0", "\n", "a\tb", "\ud800", "\u202egnp.ipynb", "\U0001f600" * 3, "e\u0301", "\ufeffx", "=1+1", "-", "'",
    '"', "<b>", "../../x", "/etc/passwd", "C:\\x", "con", ".", "..", "x" * 5000, "\x1b[2J", "\r\n", "%s%n", "{0}",
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, 0, -1, 2**63, HUGE, 1e308, float("nan"), float("inf"), [], {}, [[]], {"": None}, [None], [1, "a", {}],
    {"grade_id": "91-double"}, ["def double(x):", 3], *TEXTS,
)  # fmt: skip


@pytest.fixture
def template(course: Path, own_checks: str) -> Template:
    return read_template("91", course)


@pytest.fixture
def valid(course: Path, own_checks: str) -> dict[str, Any]:
    return answered(student_copy(course), RIGHT)


def one_line(text: str, longest: int = 1000) -> None:
    """A reason that people read: one line, nothing that a terminal would obey."""
    assert text.isprintable() and 0 < len(text) <= longest, repr(text[:2000])


def try_cases(name: str, seconds: float, case: Callable[[random.Random], None], fewest: int = 20) -> None:
    """Call ``case`` with a source of random choices until the time is up; a failure names its number."""
    until, number = time.monotonic() + seconds, 0
    while time.monotonic() < until or number < fewest:
        began, rng = time.monotonic(), random.Random(f"{SEED} {name} {number}")
        try:
            case(rng)
        except Exception as error:
            raise AssertionError(f"case {number} of {name}, seed {SEED}: {type(error).__name__}: {error}") from error
        assert time.monotonic() - began < LONGEST, f"case {number} of {name}, seed {SEED}: too slow"
        number += 1
    print(f"{name}: {number} cases")


def damaged(data: bytes, rng: random.Random) -> bytes:
    """Return bytes with a few damages."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8))):
        at = rng.randrange(len(out) + 1)
        match rng.randrange(5):
            case 0:
                del out[at:]
            case 1:
                del out[at : at + rng.choice((1, 4, 100))]
            case 2:
                out[at:at] = rng.choice(
                    (b"\0", b"\xff\xff\xff\xff", b'"', b"[", b"{", b"9" * 50, b"\xef\xbb\xbf", b"\\")
                )
            case 3:
                out[at:at] = out[at : at + 200]
            case _:
                if at < len(out):
                    out[at] ^= 1 << rng.randrange(8)
    return bytes(out)


# Notebooks


def places(value: Any) -> list[tuple[Any, ...]]:
    """Return the path of every value in JSON that is not nested too deep for a change to be of interest."""
    found: list[tuple[Any, ...]] = []
    waiting: list[tuple[tuple[Any, ...], Any]] = [((), value)]
    for path, inner in waiting:
        items = inner.items() if isinstance(inner, dict) else enumerate(inner) if isinstance(inner, list) else ()
        steps = [((*path, key), each) for key, each in items] if len(path) < 20 else []
        found += [path for path, _ in steps]
        waiting += steps
    return found


def nested(depth: int, rng: random.Random) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value] if rng.random() < 0.5 else {"cells": value}
    return value


def odd_notebook(valid: dict[str, Any], rng: random.Random) -> bytes:
    """Return a notebook with another value in some fields, as one of the forms that JSON can be written in."""
    made = copy.deepcopy(valid)
    for _ in range(rng.choice((0, 1, 1, 2, 5, 30))):
        path = rng.choice(places(made) or [()])
        if not path:
            break
        holder = made
        for key in path[:-1]:
            holder = holder[key]
        match rng.randrange(5):
            case 0:
                del holder[path[-1]]
            case 1 if isinstance(holder, list):
                holder.insert(path[-1], holder[path[-1]])
            case 2 if isinstance(holder, dict):
                holder[rng.choice(TEXTS)] = holder.pop(path[-1])
            case 3:
                holder[path[-1]] = nested(rng.choice((3, 50, 600)), rng)
            case _:
                holder[path[-1]] = json.loads(json.dumps(rng.choice(VALUES)))  # a copy: it may be changed next
    text = json.dumps(made, ensure_ascii=rng.random() < 0.5, indent=rng.choice((None, 1)))
    if rng.random() < 0.1:
        text = text.replace('"cells"', '"cells": 3, "cells"', 1)  # a key twice
    if rng.random() < 0.1:
        text = text.replace('"nbformat"', f'"x": {"[" * 5000}{"]" * 5000}, "nbformat"', 1)
    encoding = rng.choice(("utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16", "latin-1", "utf-32"))
    data = text.encode(encoding, "surrogatepass" if encoding.startswith("utf") else "replace")
    return damaged(data, rng) if rng.random() < 0.3 else data


def read_in_full(path: Path, template: Template) -> str:
    """Read, plan and compare a notebook as the grader's child does; return its status."""
    child = handlers(template, {})
    said = json.loads(json.dumps(child["read"]([str(path)], [], False)))  # it travels as JSON
    if "status" in said:
        one_line(said["reason"])
        return str(said["status"])
    plan = make_plan(read_notebook(said), template, child["plain"])
    assert set(plan.answers) == set(KEYS)
    for answer in plan.answers.values():
        if answer.cells:
            json.dumps(child["compare"](answer.source, ""))
        else:
            one_line(answer.note)
    for step in plan.steps:
        assert step.name
    return "graded"


def fuzz_notebooks(valid: dict[str, Any], template: Template, path: Path, seconds: float) -> None:
    found = set()

    def case(rng: random.Random) -> None:
        path.write_bytes(odd_notebook(valid, rng))
        found.add(read_in_full(path, template))

    try_cases("notebooks", seconds, case)
    assert found >= {"graded", "invalid"} and found <= {"graded", "invalid", "wrong-lab"}


def test_notebooks(valid: dict[str, Any], template: Template, tmp_path: Path) -> None:
    fuzz_notebooks(valid, template, tmp_path / "a.ipynb", SHORT)


def test_every_field_of_a_notebook_with_every_odd_value(
    valid: dict[str, Any], template: Template, tmp_path: Path
) -> None:
    small = {**valid, "cells": [cell for cell in valid["cells"] if cell["metadata"].get("nbgrader")][:1]}
    path = tmp_path / "a.ipynb"
    for place in places(small):
        for value in VALUES:
            made = copy.deepcopy(small)
            holder: Any = made
            for key in place[:-1]:
                holder = holder[key]
            holder[place[-1]] = value
            path.write_text(json.dumps(made), encoding="utf-8", errors="surrogatepass")
            assert read_in_full(path, template) in ("graded", "invalid", "wrong-lab")


# Zips


def flat(name: str) -> str:
    """The last part of an entry's name as it may be told."""
    return printable(name.replace("\\", "/").rstrip("/").rpartition("/")[2])


def make_zip(rng: random.Random, depth: int = 0) -> bytes:
    """Return a zip of a class: plain files, folders, zips, and names that nobody gives a file."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
        for number in range(rng.randint(1, 8)):
            name = rng.choice(
                (
                    f"s{number}.ipynb", f"class/s{number}/lab.ipynb", f"Ann S_{number}_assignsubmission_file_/x.ipynb",
                    f"lee_{number}_9_lab.ipynb", "same.ipynb", f"/abs/s{number}.ipynb", f"../../s{number}.ipynb",
                    f"C:\\s{number}.ipynb", f"{'n' * 3000}{number}.ipynb", f"{rng.choice(TEXTS)}{number}.ipynb",
                    f"s{number}.pdf", f"s{number}/", ".hidden.ipynb", "__MACOSX/x.ipynb", f"s{number}.ipynb/x.ipynb",
                    f"{'d/' * 100}s{number}.ipynb", f"s{number}.zip",
                )
            )  # fmt: skip
            name = name.encode("utf-8", "replace").decode()
            content: bytes = rng.choice((b"{}", b"", b'{"cells": []}', b"\0" * 3_000_000))
            if name.endswith(".zip") and depth < 7:
                content = make_zip(rng, depth + 1)
            info = zipfile.ZipInfo(name, rng.choice(((2026, 3, 1, 1, 1, 1), (1980, 1, 1, 0, 0, 0))))
            info.compress_type = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA))
            info.external_attr = rng.choice((0o100644, 0o120777, 0o010644, 0o040755, 0)) << 16
            archive.writestr(info, content)
            if rng.random() < 0.1:
                archive.writestr(info, content)  # the same name twice
    return odd_zip(buffer.getvalue(), rng) if depth == 0 and rng.random() < 0.7 else buffer.getvalue()


def odd_zip(data: bytes, rng: random.Random) -> bytes:
    """Return a zip with another value in some fields of its directory (flags, method, date, sizes), or damaged."""
    if rng.random() < 0.3:
        return damaged(data, rng)
    out = bytearray(data)
    at = out.find(b"PK\1\2")
    while at >= 0 and at + 46 < len(out):
        if rng.random() < 0.4:
            field, form = rng.choice(
                ((8, "<H"), (10, "<H"), (12, "<H"), (14, "<H"), (16, "<I"), (20, "<I"), (24, "<I"), (42, "<I"))
            )
            value = rng.choice((0, 1, 9, 0x0801, 0xFFFF))
            struct.pack_into(form, out, at + field, value if form == "<H" else rng.choice((value, 0xFFFFFFFF, 1 << 31)))
        at = out.find(b"PK\1\2", at + 4)
    return bytes(out)


def names_told(found: HandedIn) -> str:
    """All that is said of a class, in one text."""
    files = [path.name for one in found.submissions for path in one.files]
    return "\n".join([*files, *(one.student for one in found.submissions), *_others(found), *found.left])


def _others(found: HandedIn) -> list[str]:
    return [other for one in found.submissions for other in one.other]


def nobody_is_lost(path: Path, found: HandedIn) -> None:
    """Every name in a zip's directory is a file, a student's, or in a line (or counted, where there are many)."""
    told = names_told(found)
    counted = "more" in told or "hidden" in told
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            parts = [part for part in info.filename.replace("\\", "/").split("/") if part not in ("", ".", "..")]
            hidden = any(part.startswith(".") or part in NOT_TURNED_IN for part in parts)
            last = flat(info.filename)
            end = last.rpartition(".")[0][-50:] or last[-50:]
            first = printable(parts[0])[:50].strip() if parts else ""
            known = end.strip() in told or (first and first in told) or last[-50:] in told
            assert known or counted or hidden or not parts, f"{info.filename!r} is lost:\n{told}"
    students = [one.student for one in found.submissions]
    assert len(set(students)) == len(students)
    for one in found.submissions:
        one_line(one.student, 300)
        assert len(one.files) <= MOST_FILES
        for other in one.other:
            one_line(other, 6000)
    for line in found.left:
        one_line(line, 6000)


def fuzz_zips(tmp_path: Path, seconds: float) -> None:
    path, scratch = tmp_path / "class.zip", tmp_path / "scratch"
    opened = []

    def case(rng: random.Random) -> None:
        path.write_bytes(make_zip(rng))
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        try:
            found = find_submissions(path, scratch)
        except LabkitError as error:
            one_line(str(error))
            return
        opened.append(len(found.submissions))
        nobody_is_lost(path, found)
        assert sorted(tmp_path.iterdir()) == [path, scratch]
        for each in scratch.rglob("*"):
            assert each.is_dir() or (each.is_file() and not each.is_symlink() and each.stat().st_size <= LARGEST)

    try_cases("zips", seconds, case)
    assert sum(opened) > 20


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_zips(tmp_path: Path) -> None:
    fuzz_zips(tmp_path, SHORT)


def test_a_zip_that_grows_costs_only_its_own_entries(tmp_path: Path) -> None:
    """Notebooks of 40 MB of zeros, a zip of them, and zips nested too deep, beside a plain one."""
    zeros, inner = b"\0" * (2 * LARGEST), io.BytesIO()
    with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(5):
            archive.writestr(f"bomb{number}.ipynb", zeros)
    deep = b"{}"
    for _ in range(12):
        shell = io.BytesIO()
        with zipfile.ZipFile(shell, "w") as archive:
            archive.writestr("inner.zip", deep)
        deep = shell.getvalue()
    path = tmp_path / "class.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("ann.ipynb", "{}")
        archive.writestr("bob.zip", inner.getvalue())
        archive.writestr("cat.zip", deep)
        archive.writestr("dan.ipynb", zeros)
    (tmp_path / "scratch").mkdir()
    found = {one.student: one for one in find_submissions(path, tmp_path / "scratch").submissions}
    assert sorted(found) == ["ann", "bob", "cat", "dan"]
    assert [len(one.files) for one in found.values()] == [1, 0, 0, 0]
    assert "larger than 20 MB" in found["bob"].other[0] and "too deep" in found["cat"].other[0]
    assert sum(each.stat().st_size for each in (tmp_path / "scratch").rglob("*") if each.is_file()) < LARGEST


# Tables

TABLES = {
    "gradebook": "student_id,score,points,max_score,status,override,reason\n"
    'ann,3,3,7,graded,4.5,"a, b"\n\'=bob,1,1,7,graded,,\n',
    "list": "student_id,file,submitted\nann,a.ipynb,2026-03-01T23:59\nbob,b.ipynb,2026-03-01\n0012,,\n",
    "moodle": "Identifier,Full name,Email address,Status,Grade,Maximum Grade,Last modified (grade)\n"
    "Participant 12,Ann Smith,ann@x.edu,Submitted,,7.00,-\nParticipant 13,Bob Lee,bob@x.edu,,,7.00,-\n",
    "canvas": "Student,ID,SIS User ID,SIS Login ID,Section,Lab (4711)\n    Points Possible,,,,,7\n"
    '"Lee, Bob",12,1,b,A,\n',
    "classroom": '"identifier","github_username","github_id","name"\n"007","ann","5","Ann"\n"008","","",""\n',
}


def odd_table(text: str, rng: random.Random) -> bytes:
    """Return a table as another program writes it, with odd cells, columns that are gone or double, or damaged."""
    rows = list(csv.reader(io.StringIO(text)))
    for _ in range(rng.choice((0, 1, 2, 5))):
        row = rng.choice(rows)
        match rng.randrange(6):
            case 0 if row:
                row[rng.randrange(len(row))] = rng.choice(
                    (*TEXTS, "1e999", "nan", "-3", "9" * 400, "\u0663", "1,5", "5")
                )
            case 1 if row:
                del row[rng.randrange(len(row))]
            case 2 if row:
                place = rng.randrange(len(row))  # a column that is gone
                for each in rows:
                    del each[place : place + 1]
            case 3:
                rows.insert(rng.randrange(len(rows) + 1), list(rng.choice(rows)))
            case 4:
                row.append(rng.choice(TEXTS))
            case _:
                rows.insert(rng.randrange(len(rows) + 1), [])
    if sys.version_info < (3, 11):  # its csv module can neither read nor write the character 0
        rows = [[cell.replace("\0", "") for cell in row] for row in rows]
    buffer = io.StringIO()
    separator, quoting = rng.choice(",,,;\t|"), rng.choice((csv.QUOTE_MINIMAL, csv.QUOTE_ALL))
    csv.writer(buffer, delimiter=separator, quoting=quoting, lineterminator=rng.choice(("\n", "\r\n", "\r"))).writerows(
        rows
    )
    made = rng.choice(("", "", f"sep={separator}\n")) + buffer.getvalue()
    if rng.random() < 0.1:
        made += f'x,"{"y" * 200_000}"\n'  # longer than the csv module takes
    encoding = rng.choice(("utf-8", "utf-8", "utf-8-sig", "utf-16", "latin-1", "cp1252"))
    data = made.encode(encoding, "surrogatepass" if encoding.startswith("utf") else "replace")
    return damaged(data, rng) if rng.random() < 0.3 else data


def use_table(kind: str, path: Path, tmp_path: Path) -> None:
    """Read a table for its purpose; what it says of people must come out."""
    if kind == "gradebook":
        overrides = gradebook.read_overrides(path, 7)
        assert all(0 <= float(one.score) <= 7 for one in overrides.values())
        for platform in PLATFORMS:
            with suppress(LabkitError):
                table, _ = export(path.parent, platform, tmp_path / "exported")
                assert len(read_table(table).rows) <= len(read_table(path).rows) + 1
    elif kind == "list":
        found = find_submissions(path, tmp_path / "scratch")
        students = read_table(path).column("student_id")
        assert len(found.submissions) == sum(1 for _, row in read_table(path).rows if row[students].strip())
    else:
        roster = read_roster(path)
        joined = join_roster(["Ann Smith_12", "ann", "Bob Lee", "leebob_12"], roster)
        assert len(joined.absent) + len(joined.people) == len(roster.people)
        for note in joined.notes:
            one_line(printable(note), 6000)


def fuzz_tables(tmp_path: Path, seconds: float) -> None:
    read = dict.fromkeys(TABLES, 0)

    def case(rng: random.Random) -> None:
        kind = rng.choice(sorted(TABLES))
        path = tmp_path / "gradebook.csv"
        path.write_bytes(odd_table(TABLES[kind], rng))
        try:
            use_table(kind, path, tmp_path)
        except LabkitError as error:
            one_line(str(error), 6000)
        else:
            read[kind] += 1

    try_cases("tables", seconds, case, fewest=100)
    assert all(read.values()), read


def test_tables(tmp_path: Path) -> None:
    fuzz_tables(tmp_path, SHORT)


# A class


def odd_names(rng: random.Random) -> Iterator[bytes]:
    for number in range(12):
        end = rng.choice((".ipynb", ".IPYNB", ".ipynb.txt", ".pdf", ".zip"))
        name = f"{rng.choice(TEXTS)}{number}{end}".replace("/", "_").replace("\0", "_").encode("utf-8", "surrogatepass")
        yield (
            name[-200:] if rng.random() < 0.9 else rng.randbytes(5).replace(b"/", b"").replace(b"\0", b"") + name[-200:]
        )


def test_names_in_a_folder_all_get_a_row(template: Template, tmp_path: Path) -> None:
    """Files with odd names and contents: a row for each in all that is written, whatever they are called."""

    def case(rng: random.Random) -> None:
        folder, out = tmp_path / "in", tmp_path / "out"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for name in odd_names(rng):
            Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).write_bytes(rng.randbytes(5))
        found = find_submissions(folder, tmp_path / "scratch")
        shown = [name for name in os.listdir(folder) if not name.startswith(".")]
        assert len(found.submissions) == len(shown), (shown, found)
        results = [Graded(student=one.student, status="invalid", reason="x") for one in found.submissions]
        facts = Facts(template.lab, template.title, None, "none", None)
        students = join_roster([one.student for one in found.submissions], None)
        book = gradebook.make(list(found.submissions), results, template, facts, {}, students)
        pages.write(out, book, results, template, facts, found.left, {})
        again = read_table(out / "gradebook.csv")
        assert len(again.rows) == len(shown) == len(list((out / "feedback").iterdir()))

    try_cases("names", 0, case, fewest=5)


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_for_minutes(valid: dict[str, Any], template: Template, tmp_path: Path) -> None:
    fuzz_notebooks(valid, template, tmp_path / "a.ipynb", LONG)
    (tmp_path / "zips").mkdir()
    fuzz_zips(tmp_path / "zips", LONG)
    (tmp_path / "tables").mkdir()
    fuzz_tables(tmp_path / "tables", LONG)


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_a_class_of_damaged_notebooks(
    valid: dict[str, Any], grade: Callable[..., list[Graded]], own_checks: str, tmp_path: Path
) -> None:
    """Graded for real: a row for each, no fault of the grader, and the honest ones among them lose nothing."""
    (tmp_path / "in").mkdir()
    for number in range(80):
        (tmp_path / "in" / f"s{number:03d}.ipynb").write_bytes(odd_notebook(valid, random.Random(f"{SEED} {number}")))
    for name in ("a-honest", "z-honest"):
        hand_in(tmp_path / "in", name, valid)
    results = grade(tmp_path / "in", tmp_path / "out")
    assert len(results) == 82 and [one.score for one in (results[0], results[-1])] == [7, 7]
    for one in results:
        assert one.status in ("graded", "invalid", "wrong-lab"), one
        assert one.status == "graded" or one.reason.isprintable()
