"""A route answers requests of one method and path."""

from collections.abc import Callable

from edgewright_runtime.serving.http.messages import Answer, HttpRefused, Reply, Request

Route = Callable[[Request, Answer], None]
"""May raise RuntimeFault instead of answering."""


def only(method: bytes, allowed: bytes) -> None:
    """Raise HttpRefused for another method."""
    if method != allowed:
        raise HttpRefused(
            405,
            f"this path takes {allowed.decode()}",
            headers=b"Allow: %s\r\n" % allowed,
        )


def get(method: bytes, make: Callable[[], Reply]) -> Route:
    """A route for GET. Raises HttpRefused for another method."""
    only(method, b"GET")
    return lambda _, answer: answer(make())


def post(method: bytes, make: Callable[[Request], Reply]) -> Route:
    """A route for POST. Raises HttpRefused for another method."""
    only(method, b"POST")
    return lambda request, answer: answer(make(request))
