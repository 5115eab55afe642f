from __future__ import annotations

import math
import os
import struct

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from worker_reports import REPORT

from gradcheck_cli.records import LayerReadings, Request
from gradcheck_cli.worker import wire


def bodies(*pieces: bytes) -> list[bytes]:
    frames = wire.Frames()
    return [body for piece in pieces for body in frames.feed(piece)]


def test_report_with_infinite_numbers_survives() -> None:
    (body,) = bodies(wire.frame(wire.Done(REPORT)))
    assert wire.message_of(body) == wire.Done(REPORT)


def test_nan_survives() -> None:
    layer = msgspec.structs.replace(REPORT.layers[0], readings=LayerReadings(gain=math.nan))
    (body,) = bodies(wire.frame(wire.Done(msgspec.structs.replace(REPORT, layers=(layer,)))))
    message = wire.message_of(body)
    assert isinstance(message, wire.Done)
    gain = message.diagnosis.layers[0].readings.gain
    assert gain is not None
    assert math.isnan(gain)


@given(st.lists(st.tuples(st.text(st.characters(codec="utf-8")), st.integers(0, 9))), st.data())
def test_any_cut_of_the_stream_gives_the_same_messages(sent: list[tuple[str, int]], data: st.DataObject) -> None:
    messages = [wire.Progress(stage, done, 9) for stage, done in sent]
    stream = b"".join(wire.frame(message) for message in messages)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=5)))
    pieces = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert [wire.message_of(body) for body in bodies(*pieces)] == messages


def test_frame_that_claims_too_much_is_refused_at_once() -> None:
    with pytest.raises(wire.GarbledError):
        bodies(struct.pack(">I", wire.LARGEST + 1))


@given(st.binary(max_size=200))
def test_garbage_is_refused(body: bytes) -> None:
    with pytest.raises(wire.GarbledError):
        wire.message_of(body)


def test_message_of_the_wrong_type_is_refused() -> None:
    stream = wire.frame(wire.Done(REPORT)).replace(b"exploding", b"exploding"[::-1])
    (body,) = bodies(stream)
    with pytest.raises(wire.GarbledError):
        wire.message_of(body)


def test_order_through_a_pipe() -> None:
    order = wire.Order(request=Request(model="a:b", lr=0.1), memory_limit=5)
    reader, writer = os.pipe()
    wire.write_all(writer, wire.frame(order))
    assert wire.read_order(reader) == order  # and the writer is still open
    wire.write_all(writer, wire.frame(order)[:-1])
    os.close(writer)
    with pytest.raises(wire.GarbledError):
        wire.read_order(reader)
    os.close(reader)


def test_text_that_is_no_utf8() -> None:
    with pytest.raises(UnicodeEncodeError):
        wire.frame(wire.Order(request=Request(model="\udcff")))
