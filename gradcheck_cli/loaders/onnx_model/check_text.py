"""Is all text in the message text? Protobuf hands out the bytes of names that are not, on which everything else stumbles."""

from __future__ import annotations

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from gradcheck_cli.loaders.onnx_model.faults import GraphFault
from gradcheck_cli.loaders.refusals import printable

_FOR_PEOPLE = frozenset(("doc_string", "producer_name", "producer_version", "model_version"))
"""Fields that nothing depends on."""


def check_text(message: Message) -> None:
    """Raises GraphFault for a name, anywhere in `message`, that is not valid UTF-8."""
    for field, content in message.ListFields():
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            for each in [content] if isinstance(content, Message) else content:
                check_text(each)
        elif field.type == FieldDescriptor.TYPE_STRING and field.name not in _FOR_PEOPLE:
            for each in [content] if isinstance(content, (str, bytes)) else content:
                if not isinstance(each, str):
                    raise GraphFault(f"a name in it is not valid UTF-8: {printable(each, 80)}")
