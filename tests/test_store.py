from __future__ import annotations

from pathlib import Path

import pytest

from gradcheck_cli import store
from gradcheck_cli.errors import GradcheckError, OutputError, UsageError
from gradcheck_cli.records import Diagnosis, LayerReadings, LayerReport, ModelFacts, SampleFacts, Verdict
from gradcheck_cli.render import json_v1


@pytest.fixture(autouse=True)
def _in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def diagnosis(summary: str = "Fine.") -> Diagnosis:
    layer = LayerReport(
        name="fc", kind="Linear", parameters=(), verdict=Verdict.HEALTHY, readings=LayerReadings(gain=float("inf"))
    )
    return Diagnosis(
        gradcheck_version="0.1.0",
        model=ModelFacts(path="m.pt", format="torch-module", sha256=None, parameters=1),
        sample=SampleFacts(source="synthetic", samples=1, loss="none"),
        verdict=Verdict.HEALTHY,
        summary=summary,
        culprits=(),
        layers=(layer,),
        findings=(),
        remedies=(),
        not_measured=(),
    )


def test_last_is_what_was_kept_last() -> None:
    store.keep(diagnosis("one"))
    store.keep(diagnosis("two"))
    assert store.last() == diagnosis("two")
    assert json_v1.render(store.last()) == store.LAST.read_text() == json_v1.render(diagnosis("two"))
    assert sorted(path.name for path in store.FOLDER.iterdir()) == [".gitignore", "history", "last.json"]
    assert (store.FOLDER / ".gitignore").read_text() == "*\n"


def test_users_own_gitignore_stays() -> None:
    store.FOLDER.mkdir()
    (store.FOLDER / ".gitignore").write_text("!last.json\n")
    store.keep(diagnosis())
    assert (store.FOLDER / ".gitignore").read_text() == "!last.json\n"


def test_nothing_kept() -> None:
    with pytest.raises(UsageError) as caught:
        store.last()
    assert caught.value.slug == "no-kept-run"
    assert "gradcheck diagnose" in caught.value.hint


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"schema_version": 99}', b"\xff\xfe", b'{"schema_version": 1}']
)
def test_broken_run(content: bytes) -> None:
    store.FOLDER.mkdir()
    store.LAST.write_bytes(content)
    with pytest.raises(GradcheckError) as caught:
        store.last()
    assert caught.value.slug == "broken-report"
    assert caught.value.file == str(store.LAST)
    assert "gradcheck diagnose" in caught.value.hint


def test_folder_that_cannot_be() -> None:
    store.FOLDER.write_text("a file")
    with pytest.raises(OutputError) as caught:
        store.keep(diagnosis())
    assert caught.value.file == ".gradcheck"
    assert store.FOLDER.read_text() == "a file"


def test_write_whole_follows_links_and_leaves_no_other_file(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("old")
    link.symlink_to(target)
    store.write_whole(link, b"new")
    assert link.is_symlink()
    assert target.read_text() == "new"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "target"]


def test_write_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    (tmp_path / "report").write_text("old")
    monkeypatch.setattr(Path, "replace", fails)
    with pytest.raises(OutputError, match="No space left on device"):
        store.write_whole(tmp_path / "report", b"new")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("report", "old")]


def test_circle_of_links(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(OutputError):
        store.write_whole(tmp_path / "a" / "report", b"new")
