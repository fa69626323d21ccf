"""The contract's requests of sales, read no deeper than the server looks, and answers put together.

On the wire a message and its bytes are the same, so these types leave the requests of a batch, the
lines of a sale and the answers of committers as bytes. They are made of the contract's own and
share its rules.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from buf.validate import validate_pb2
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.timestamp_pb2 import DESCRIPTOR as TIMESTAMP
from google.protobuf.timestamp_pb2 import Timestamp
from loyalty.ledger.v1 import point_of_sale_pb2 as pos

from services.plumbing.grpc_calls import Codec

_PACKAGE = "loyalty.ledger.wire"
# What is left as bytes, by the message it stands in.
_BYTES = {"BatchRecordSalesRequest": "requests", "Sale": "lines", "SaleOutcome": "recorded"}
_TYPES = (
    pos.Sale,
    pos.RecordSaleRequest,
    pos.BatchRecordSalesRequest,
    pos.SaleOutcome,
    pos.BatchRecordSalesResponse,
)


class Sale(Protocol):
    """A Sale; each of its lines is a serialized Line."""

    card_token: str
    store: str
    terminal: str
    receipt_number: str
    business_time: Timestamp
    currency_code: str
    tender_points: int

    @property
    def lines(self) -> Sequence[bytes]: ...


class RecordSaleRequest(Protocol):
    request_id: str

    @property
    def sale(self) -> Sale: ...


class _Outcomes(Protocol):
    def add(self, *, recorded: bytes | None = None, refused: pos.Refusal | None = None) -> Any: ...


class BatchRecordSalesRequest(Protocol):
    """Each of its requests is a serialized RecordSaleRequest."""

    @property
    def requests(self) -> Sequence[bytes]: ...


class BatchRecordSalesResponse(Protocol):
    """Its outcomes are added with `recorded` as a serialized RecordSaleResponse."""

    @property
    def outcomes(self) -> _Outcomes: ...


def _file() -> descriptor_pb2.FileDescriptorProto:
    contract = f".{pos.DESCRIPTOR.package}."
    ours = {contract + kind.DESCRIPTOR.name for kind in _TYPES}
    file = descriptor_pb2.FileDescriptorProto(
        name="loyalty/ledger/wire.proto",
        package=_PACKAGE,
        syntax="proto3",
        dependency=[each.name for each in (pos.DESCRIPTOR, TIMESTAMP, validate_pb2.DESCRIPTOR)],
    )
    for kind in _TYPES:
        message = file.message_type.add()
        kind.DESCRIPTOR.CopyToProto(message)
        for field in message.field:
            if field.name == _BYTES.get(message.name):
                field.type = field.TYPE_BYTES
                field.ClearField("type_name")
            elif field.type_name in ours:
                field.type_name = f".{_PACKAGE}.{field.type_name.removeprefix(contract)}"
    return file


descriptor_pool.Default().Add(_file())


def _class(name: str) -> Any:
    found = descriptor_pool.Default().FindMessageTypeByName(f"{_PACKAGE}.{name}")
    return message_factory.GetMessageClass(found)


read_request: Callable[[bytes], RecordSaleRequest] = _class("RecordSaleRequest").FromString
new_response = _class("BatchRecordSalesResponse")
# Of both what the method reads and writes itself is left as bytes.
SINGLE = Codec(read=bytes, write=bytes, checks_itself=True)
BATCHES = Codec(
    read=_class("BatchRecordSalesRequest").FromString, write=new_response.SerializeToString
)
