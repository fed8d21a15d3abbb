# /// script
# requires-python = ">=3.12"
# dependencies = ["grpcio-tools==1.76.0"]
# ///
"""Write the Python module of the lean schema, or check that it is up to date (``--check``).

Run it with ``scripts/uv run --script proto/generate.py``, which brings protoc along.

protoc's own Python modules refuse to load on a protobuf older than their protoc. The module that is
written here holds the schema's descriptor and makes its classes from that when it is imported, so
that it loads on every protobuf from 5.29 on, and in a pool of its own, so that it meets no other.
"""

from __future__ import annotations

import base64
import sys
import tempfile
import textwrap
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from grpc_tools import protoc

HERE = Path(__file__).parent
SCHEMA = "otlp_lean.proto"
MODULE = HERE.parent / "otel_dify" / "export" / "encoding" / "lean.py"
# What is made by itself; all else is made through the message that it is in.
CLASSES = (
    "KeyValue",
    "OfResource",
    "OfScope",
    "MetricOfScope",
)

TEMPLATE = '''\
"""The classes of the lean OTLP schema. Generated from proto/otlp_lean.proto: do not edit.

`scripts/uv run --script proto/generate.py` writes it anew; proto/README.md says why it is so.
"""

from __future__ import annotations

import base64
from typing import Any

from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

DESCRIPTOR = base64.b64decode(
    """
{descriptor}
    """
)
"""The schema: a serialized ``google.protobuf.FileDescriptorProto``."""

_MESSAGES = DescriptorPool().AddSerializedFile(DESCRIPTOR).message_types_by_name

# The classes are made here, so that a type checker cannot know their fields.
{classes}
'''


def descriptor() -> bytes:
    """Return the schema's descriptor as protoc makes it, without names that only JSON needs."""
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "set"
        failed = protoc.main(["protoc", f"-I{HERE}", f"--descriptor_set_out={made}", SCHEMA])
        if failed:
            sys.exit(failed)
        [file] = FileDescriptorSet.FromString(made.read_bytes()).file
    plain = FileDescriptorProto()
    plain.CopyFrom(file)
    for message in plain.message_type:
        for field in message.field:
            field.ClearField("json_name")
    return plain.SerializeToString(deterministic=True)


def module() -> str:
    """Return the text of the module."""
    encoded = base64.b64encode(descriptor()).decode()
    return TEMPLATE.format(
        descriptor="\n".join(textwrap.wrap(encoded, 96)),
        classes="\n".join(
            f'{name}: Any = GetMessageClass(_MESSAGES["{name}"])' for name in CLASSES
        ),
    )


def main() -> None:
    """Write the module, or end with an error if it is not what would be written."""
    made = module()
    if "--check" not in sys.argv[1:]:
        MODULE.write_text(made)
    elif MODULE.read_text() != made:
        sys.exit(f"{MODULE.name} is not what {SCHEMA} says: run proto/generate.py")


if __name__ == "__main__":
    main()
