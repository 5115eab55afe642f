"""The runs that are kept: the last one, and a history by the model's hash that does not grow for ever."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from command_line import troublesome

from gradcheck_cli import store
from gradcheck_cli.cli.app import run
from gradcheck_cli.errors import GradcheckError, OutputError
from gradcheck_cli.records import Diagnosis
from gradcheck_cli.render import json_v1


@pytest.fixture(autouse=True)
def _in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run_of(number: int, sha256: str | None = "0" * 64, path: str = "model.pt") -> Diagnosis:
    diagnosis = troublesome()
    model = msgspec.structs.replace(diagnosis.model, sha256=sha256, path=path)
    return msgspec.structs.replace(diagnosis, model=model, summary=f"Run {number}.")


def kept() -> list[str]:
    return [path.name for path in store.history()]


def test_runs_are_kept_in_their_order_by_hash() -> None:
    for number, digit in enumerate("aba"):
        store.keep(run_of(number, digit * 64))
    assert kept() == ["000001-aaaaaaaaaaaa.json", "000002-bbbbbbbbbbbb.json", "000003-aaaaaaaaaaaa.json"]
    assert [path.name for path in store.history("a" * 64)] == [kept()[0], kept()[2]]
    assert [store.read(str(path)).summary for path in store.history()] == ["Run 0.", "Run 1.", "Run 2."]
    assert store.last().summary == "Run 2."


def test_the_same_run_is_kept_once() -> None:
    for number in (1, 1, 2, 1, 1):
        store.keep(run_of(number))
    assert len(kept()) == 3


def test_the_last_fifty_are_kept_and_numbers_go_on() -> None:
    for number in range(store.KEPT + 3):
        store.keep(run_of(number))
    assert len(kept()) == store.KEPT == 50
    assert kept()[0] == "000004-000000000000.json"
    assert kept()[-1] == "000053-000000000000.json"


def test_a_model_without_a_file_is_known_by_its_name() -> None:
    store.keep(run_of(1, None, "nets:build"))
    store.keep(run_of(2, None, "nets:other"))
    store.keep(run_of(3, None, "nets:build"))
    digests = [name.partition("-")[2] for name in kept()]
    assert digests[0] == digests[2] != digests[1]


def test_strange_files_in_the_history_stay_and_do_not_matter() -> None:
    store.keep(run_of(1))
    for name in ("notes.json", "x-y.json", "000009-000000000000.txt"):
        (store.HISTORY / name).write_text("mine")
    store.keep(run_of(2))
    assert kept() == ["000001-000000000000.json", "000002-000000000000.json"]
    assert (store.HISTORY / "x-y.json").read_text() == "mine"


def test_kept_runs_can_be_compared(capsys: pytest.CaptureFixture[str]) -> None:
    store.keep(run_of(1))
    store.keep(run_of(2))
    old, new = map(str, store.history())
    assert run(["compare", old, new]) == 0
    assert "1 layer unchanged." in capsys.readouterr().out


def test_folder_that_cannot_be_written(tmp_path: Path) -> None:
    store.FOLDER.mkdir()
    store.HISTORY.write_text("a file")
    with pytest.raises(OutputError) as caught:
        store.keep(run_of(1))
    assert caught.value.slug == "cannot-write"


@pytest.mark.parametrize(
    ("content", "is_run"),
    [
        (json_v1.render(troublesome()), True),
        ('{"schema_version": 99}', True),
        (" \n" + json_v1.render(troublesome()), True),
        ('{"metadata": {}, "weight_map": {}}', False),
        ("PK\x03\x04", False),
        ("", False),
    ],
)
def test_what_says_it_is_a_run(content: str, is_run: bool) -> None:
    Path("file").write_text(content)
    assert store.is_run("file") is is_run


def test_what_is_no_file_is_no_run() -> None:
    assert not store.is_run("nowhere")
    assert not store.is_run(".")
    assert not store.is_run("nul\0")


@pytest.mark.parametrize(
    ("content", "slug"), [(None, "no-such-run"), (b"\xff", "broken-report"), (b"{}", "broken-report")]
)
def test_unreadable_runs(content: bytes | None, slug: str) -> None:
    if content is not None:
        Path("run.json").write_bytes(content)
    with pytest.raises(GradcheckError) as caught:
        store.read("run.json")
    assert (caught.value.slug, caught.value.file) == (slug, "run.json")
