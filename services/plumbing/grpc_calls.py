"""What happens around every call of a server: access, validation, errors, metrics and the log."""

import asyncio
import logging
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import grpc
from google.protobuf import any_pb2, descriptor_pool
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status
from plumbing.v1 import access_pb2

from services.plumbing import errors
from services.plumbing.auth import Caller, TokenVerifier, set_caller
from services.plumbing.database import database_is_away
from services.plumbing.draining import CallsUnderWay
from services.plumbing.telemetry import GRPC_HANDLED, GRPC_REFUSED, GRPC_SECONDS
from services.plumbing.validation import ItemsToCheck, Validation

log = logging.getLogger("grpc")

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
MethodHandler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"

STATUS_OF: tuple[tuple[type[errors.Refused], grpc.StatusCode], ...] = (
    (errors.Invalid, grpc.StatusCode.INVALID_ARGUMENT),
    (errors.Unauthenticated, grpc.StatusCode.UNAUTHENTICATED),
    (errors.Forbidden, grpc.StatusCode.PERMISSION_DENIED),
    (errors.Missing, grpc.StatusCode.NOT_FOUND),
    (errors.Clash, grpc.StatusCode.ALREADY_EXISTS),
    (errors.Unmet, grpc.StatusCode.FAILED_PRECONDITION),
    (errors.Stale, grpc.StatusCode.ABORTED),
    (errors.Exhausted, grpc.StatusCode.RESOURCE_EXHAUSTED),
    (errors.Unavailable, grpc.StatusCode.UNAVAILABLE),
)
RETRY_DELAY_SECONDS = 1
# Health and reflection are asked by probes and tools that carry no token.
OPEN_SERVICES = ("/grpc.health.v1.Health/", "/grpc.reflection.v1alpha.ServerReflection/")


@dataclass(frozen=True, slots=True)
class Codec:
    """How a method's requests are read and its answers written, where not as the stubs do: with
    the same bytes on the wire.
    """

    read: Callable[[bytes], Any]
    write: Callable[[Any], bytes]
    # Whether the method checks its requests by their rules itself, as it reads them.
    checks_itself: bool = False


@dataclass(frozen=True, slots=True)
class Access:
    """What a method states in its .proto: its scopes, and who refuses a bad item."""

    required: str
    own: str
    # The repeated field whose items the handler answers one by one; empty for most.
    by_item: str


def access_of(method: str) -> Access:
    """Read a method's scopes from its descriptor; method is "/package.Service/Method"."""
    service, _, name = method.removeprefix("/").rpartition("/")
    found = descriptor_pool.Default().FindServiceByName(service).methods_by_name[name]
    options = found.GetOptions()
    return Access(
        required=options.Extensions[access_pb2.required_scope],
        own=options.Extensions[access_pb2.own_scope],
        by_item=options.Extensions[access_pb2.answered_by_item],
    )


def admit(caller: Caller, access: Access) -> Caller:
    """The caller as the method sees it. Refuses: Forbidden MISSING_SCOPE."""
    if access.required and access.required in caller.scopes:
        return caller
    if access.own and access.own in caller.scopes:
        return replace(caller, own_only=True)
    raise errors.Forbidden(
        f"the token lacks the scope {access.required}",
        reason="MISSING_SCOPE",
        scope=access.required,
    )


def code_of(refusal: errors.Refused) -> grpc.StatusCode:
    return next(code for kind, code in STATUS_OF if isinstance(refusal, kind))


def status_of(refusal: errors.Refused, domain: str) -> status_pb2.Status:
    """The google.rpc.Status of a refusal: ErrorInfo always, BadRequest and RetryInfo where due."""
    code = code_of(refusal)
    info = error_details_pb2.ErrorInfo(
        reason=refusal.reason, domain=domain, metadata=refusal.metadata
    )
    details: list[Message] = [info]
    if refusal.violations:
        violations = [
            error_details_pb2.BadRequest.FieldViolation(field=v.field, description=v.description)
            for v in refusal.violations
        ]
        details.append(error_details_pb2.BadRequest(field_violations=violations))
    if refusal.retryable:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromSeconds(RETRY_DELAY_SECONDS)
        details.append(retry)
    packed = []
    for detail in details:
        packed.append(any_pb2.Any())
        packed[-1].Pack(detail)
    return status_pb2.Status(code=code.value[0], message=refusal.message, details=packed)


def refusal_of(error: Exception) -> errors.Refused | None:
    """What the caller is told of an error; None for one that is not theirs to know.

    Every call that changes something carries an id, or does no harm when done twice, so the same
    can be sent again to a database that is back.
    """
    if isinstance(error, errors.Refused):
        return error
    if database_is_away(error):
        return errors.DatabaseDown()
    return None


class CallInterceptor(grpc.aio.ServerInterceptor):
    """Wraps every method once, at its first call, and answers from then on by look-up.

    Methods take one request; they answer with one response or a stream of them.
    """

    def __init__(
        self,
        *,
        verifier: TokenVerifier,
        domain: str,
        under_way: CallsUnderWay,
        codecs: Mapping[str, Codec],
    ) -> None:
        """codecs are by method, "/package.Service/Method"."""
        self._verifier = verifier
        self._domain = domain
        self._under_way = under_way
        self._codecs = codecs
        self._validation = Validation()
        self._wrapped: dict[str, MethodHandler] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable["MethodHandler | None"]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "MethodHandler | None":
        method = handler_call_details.method
        wrapped = self._wrapped.get(method)
        if wrapped is None:
            wrapped = await continuation(handler_call_details)
            if wrapped is None or method.startswith(OPEN_SERVICES):
                return wrapped
            wrapped = self._wrap(method, wrapped)
            self._wrapped[method] = wrapped
        return wrapped

    def _wrap(self, method: str, handler: MethodHandler) -> MethodHandler:
        codec = self._codecs.get(method)
        call = _Call(
            method=method,
            handle=handler.unary_stream if handler.response_streaming else handler.unary_unary,
            access=access_of(method),
            verifier=self._verifier,
            validation=self._validation,
            checks_itself=codec is not None and codec.checks_itself,
            domain=self._domain,
            under_way=self._under_way,
        )
        if handler.response_streaming:
            return grpc.unary_stream_rpc_method_handler(
                call.stream,
                request_deserializer=handler.request_deserializer,
                response_serializer=handler.response_serializer,
            )
        return grpc.unary_unary_rpc_method_handler(
            call.answer,
            request_deserializer=codec.read if codec else handler.request_deserializer,
            response_serializer=codec.write if codec else handler.response_serializer,
        )


class _Call:
    """One method with everything around it."""

    def __init__(
        self,
        *,
        method: str,
        # Typed as any: the library's types know only blocking methods, ours are coroutines.
        handle: Any,
        access: Access,
        verifier: TokenVerifier,
        validation: Validation,
        checks_itself: bool,
        domain: str,
        under_way: CallsUnderWay,
    ) -> None:
        self._method = method
        self._handle = handle
        self._access = access
        self._verifier = verifier
        self._validation = validation
        self._checks_itself = checks_itself
        self._domain = domain
        self._under_way = under_way
        self._seconds = GRPC_SECONDS.labels(method)
        self._answered = GRPC_HANDLED.labels(method, "OK")

    async def answer(self, request: Message, context: Context) -> Any:
        started = time.perf_counter()
        request_id, token = _metadata(context)
        try:
            self._under_way.enter()
            caller = self._verifier.known(token) if token else None
            if caller is None:
                caller = await self._authenticate(token)
            set_caller(admit(caller, self._access))
            if self._access.by_item:
                response = await self._handle_items(request, context)
            else:
                if not self._checks_itself:
                    self._validation.check(request)
                response = await self._handle(request, context)
        except asyncio.CancelledError:
            self._note(_loggable(request_id), started, grpc.StatusCode.CANCELLED, "CALLER_LEFT")
            raise
        except grpc.aio.AbortError:
            raise
        except Exception as error:
            await self._refuse(error, request_id, started, context)
            # To refuse raises; should it not, the error is not lost.
            raise
        finally:
            self._under_way.leave()
        self._note_answered(request_id, started)
        return response

    async def _handle_items(self, request: Message, context: Context) -> Any:
        """The request is checked where the method asks, which it must."""
        items = ItemsToCheck(self._validation, request, self._access.by_item)
        response = await self._handle(request, context)
        if not items.checked:
            raise RuntimeError(f"{self._method} does not ask which items are refused")
        return response

    async def stream(self, request: Message, context: Context) -> AsyncIterator[Any]:
        """The same for a method that answers with a stream; a drain waits for its end."""
        started = time.perf_counter()
        request_id, token = _metadata(context)
        try:
            self._under_way.enter()
            caller = self._verifier.known(token) if token else None
            if caller is None:
                caller = await self._authenticate(token)
            set_caller(admit(caller, self._access))
            self._validation.check(request)
            # Closed with this, so that a caller who leaves ends what was done for them.
            async with aclosing(self._handle(request, context)) as responses:
                async for response in responses:
                    yield response
        except (asyncio.CancelledError, GeneratorExit):
            self._note(_loggable(request_id), started, grpc.StatusCode.CANCELLED, "CALLER_LEFT")
            raise
        except grpc.aio.AbortError:
            raise
        except Exception as error:
            await self._refuse(error, request_id, started, context)
            # To refuse raises; should it not, the error is not lost.
            raise
        finally:
            self._under_way.leave()
        self._note_answered(request_id, started)

    async def _refuse(
        self, error: Exception, request_id: str, started: float, context: Context
    ) -> None:
        """End the call with what its caller may know of an error."""
        rid = _loggable(request_id)
        refusal = refusal_of(error)
        if refusal is None:
            log.error(
                "unexpected error", exc_info=error, extra={"method": self._method, "rid": rid}
            )
            status, reason = _internal(self._domain), "INTERNAL"
        else:
            status, reason = status_of(refusal, self._domain), refusal.reason
        self._note(rid, started, _CODES[status.code], reason)
        await context.abort_with_status(rpc_status.to_status(status))

    def _note_answered(self, request_id: str, started: float) -> None:
        self._answered.inc()
        self._seconds.observe(time.perf_counter() - started)
        if log.isEnabledFor(logging.DEBUG):
            rid = _loggable(request_id)
            log.debug("call", extra={"method": self._method, "rid": rid, "code": "OK"})

    async def _authenticate(self, token: str | None) -> Caller:
        if token is None:
            raise errors.Unauthenticated("a bearer token is required", reason="TOKEN_MISSING")
        # The issuer's keys may have to be fetched; the loop must go on meanwhile.
        return await asyncio.to_thread(self._verifier.verify, token)

    def _note(self, rid: str, started: float, code: grpc.StatusCode, reason: str) -> None:
        seconds = time.perf_counter() - started
        GRPC_HANDLED.labels(self._method, code.name).inc()
        GRPC_REFUSED.labels(self._method, reason).inc()
        self._seconds.observe(seconds)
        log.info(
            "call",
            extra={
                "method": self._method,
                "rid": rid,
                "code": code.name,
                "reason": reason,
                "ms": round(seconds * 1000, 2),
            },
        )


_CODES = {code.value[0]: code for code in grpc.StatusCode}


def _internal(domain: str) -> status_pb2.Status:
    detail = any_pb2.Any()
    detail.Pack(error_details_pb2.ErrorInfo(reason="INTERNAL", domain=domain))
    return status_pb2.Status(
        code=grpc.StatusCode.INTERNAL.value[0], message="internal error", details=[detail]
    )


def _metadata(context: Context) -> tuple[str, str | None]:
    """What the caller calls its request, and the token."""
    request_id, token = "", None
    for key, value in context.invocation_metadata() or ():
        if isinstance(value, bytes):
            continue
        if key == "authorization" and value.startswith("Bearer "):
            token = value[7:]
        elif key == "x-request-id":
            request_id = value
    return request_id, token


def _loggable(request_id: str) -> str:
    """The caller's own id where it is a UUID; other text could be anything, a card number too."""
    try:
        return uuid.UUID(request_id).hex
    except ValueError:
        return uuid.uuid4().hex
