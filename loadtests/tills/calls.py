"""A user's calls, timed and told to Locust: refusals by their reason, the expected ones apart."""

import time
from collections.abc import Callable, Collection
from typing import Any, Protocol, TypeVar

import grpc
from google.protobuf.message import Message
from locust.env import Environment

from services.plumbing.grpc_client import bearer, error_info

CALL_SECONDS_MAX = 5.0
# How soon what one service says is expected of the others, and how often they are asked.
HEARD_SECONDS_MAX = 30.0
HEARD_POLL_SECONDS = 0.1
Response = TypeVar("Response", bound=Message, covariant=True)


class Unexpected(Exception):  # noqa: N818 — the message is the reason alone, so Locust counts by it
    """A refusal nobody expected, or an answer where a refusal was due."""


class Method(Protocol[Response]):
    def __call__(self, request: Any, *, timeout: float, metadata: Any) -> Response: ...


class Calls:
    """The calls of one user."""

    def __init__(self, environment: Environment, token: str) -> None:
        # Locust's hooks are not typed.
        self._request: Any = environment.events.request
        self._metadata = bearer(token)

    def answer(
        self,
        name: str,
        method: Method[Response],
        request: Message,
        *,
        tolerated: Collection[str] = (),
    ) -> Response | None:
        """The answer to a call; None where it was refused. Tolerated reasons are no failures."""
        started = time.perf_counter()
        response, reason = self._call(method, request)
        if response is not None:
            self.tell(name, started, length_bytes=response.ByteSize())
        elif reason in tolerated:
            self.tell(f"{name} ({reason})", started)
        else:
            self.tell(name, started, failure=reason)
        return response

    def refusal(self, name: str, method: Method[Response], request: Message, due: str) -> None:
        """Make a call that is to be refused for a reason; anything else is a failure."""
        started = time.perf_counter()
        _, reason = self._call(method, request)
        failure = "" if reason == due else reason or f"answered, {due} was due"
        self.tell(f"{name} ({due})", started, failure=failure)

    def once_heard(
        self,
        name: str,
        method: Method[Response],
        make_request: Callable[[], Message],
        *,
        before: Collection[str],
        due: Collection[str],
    ) -> None:
        """Ask until an event has come through: before and due are reasons of refusals, "" stands
        for an answer. Locust is told of all the asking as one call; any other outcome is a failure,
        and so is hearing nothing.
        """
        started = time.perf_counter()
        while True:
            _, reason = self._call(method, make_request())
            late = time.perf_counter() - started > HEARD_SECONDS_MAX
            if reason in due or reason not in before or late:
                break
            time.sleep(HEARD_POLL_SECONDS)
        failure = "" if reason in due else reason or "answered, as if nothing had been heard"
        self.tell(f"{name} (once heard)", started, failure=failure)

    def _call(self, method: Method[Response], request: Message) -> tuple[Response | None, str]:
        """The answer, or the reason of the refusal."""
        try:
            return method(request, timeout=CALL_SECONDS_MAX, metadata=self._metadata), ""
        except grpc.RpcError as error:
            return None, reason_of(error)

    def tell(self, name: str, started: float, *, failure: str = "", length_bytes: int = 0) -> None:
        """Tell Locust of a call that started at a time of the performance counter."""
        self._request.fire(
            request_type="gRPC",
            name=name,
            response_time=(time.perf_counter() - started) * 1000,
            response_length=length_bytes,
            exception=Unexpected(failure) if failure else None,
            context={},
        )


def reason_of(error: grpc.RpcError) -> str:
    """The reason the server gave, or the status where the call did not get that far."""
    info = error_info(error)
    return info.reason if info is not None else str(error.code().name)
