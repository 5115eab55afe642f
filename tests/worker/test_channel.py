from __future__ import annotations

import os

import msgspec
import pytest
from worker_reports import REPORT

from gradcheck_cli.errors import ModelError
from gradcheck_cli.records import Request
from gradcheck_cli.worker import wire
from gradcheck_cli.worker.__main__ import _Channel, _on_accelerator, _runs_user_code


def sent(reader: int) -> list[wire.Message]:
    return [wire.message_of(body) for body in wire.Frames().feed(os.read(reader, 65536))]


def test_progress_is_thinned_but_stages_and_ends_are_told() -> None:
    reader, writer = os.pipe()
    channel = _Channel(writer, "m")
    for done in range(1001):
        channel.progress("measuring", done, 1000)
    channel.progress("judging", 0, 0)
    first, *between, last, judging = sent(reader)
    assert first == wire.Progress("measuring", 0, 1000)
    assert len(between) < 500
    assert (last, judging) == (wire.Progress("measuring", 1000, 1000), wire.Progress("judging", 0, 0))


def test_forked_child_does_not_answer() -> None:
    reader, writer = os.pipe()
    channel = _Channel(writer, "m")
    child = os.fork()
    if child == 0:
        try:
            channel.send(wire.Failed("child", "", "", "", 3))
        finally:
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
    channel.send(wire.Failed("parent", "", "", "", 3))
    assert sent(reader) == [wire.Failed("parent", "", "", "", 3)]


def test_name_that_no_report_can_hold() -> None:
    layer = msgspec.structs.replace(REPORT.layers[0], name="a\ud800")
    with pytest.raises(ModelError) as caught:
        _Channel(os.open(os.devnull, os.O_WRONLY), "m.pt").send(
            wire.Done(msgspec.structs.replace(REPORT, layers=(layer,)))
        )
    assert (caught.value.slug, caught.value.file) == ("not-unicode", "m.pt")
    assert "\\ud800" in caught.value.message


@pytest.mark.parametrize(
    ("request_", "runs"),
    [
        (Request(model="m.pt", data="x.npz", loss="mse"), False),
        (Request(model="package.module:net"), True),
        (Request(model="m.pt", data="module:data"), True),
        (Request(model="m.pt", loss="module:loss"), True),
        (Request(model="m.pt", trust=True), True),
    ],
)
def test_whether_users_code_runs(request_: Request, runs: bool) -> None:
    assert _runs_user_code(request_) is runs


@pytest.mark.parametrize(
    ("device", "cuda", "there"),
    [(None, False, False), (None, True, True), ("cpu", True, False), ("cuda:1", True, True), ("mps", False, True)],
)
def test_where_it_runs(device: str | None, cuda: bool, there: bool) -> None:
    assert _on_accelerator(device, cuda=cuda) is there
