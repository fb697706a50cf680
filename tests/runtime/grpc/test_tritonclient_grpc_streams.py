"""tritonclient's streams, synchronous and asynchronous: order, errors, decoupled models."""

import asyncio
import queue
from collections.abc import AsyncIterator, Iterator
from typing import Any

import numpy as np
import pytest

from tests.runtime.grpc.test_tritonclient_grpc_methods import (
    WAIT_S,
    Client,
    Failure,
    X,
    aio,
    pair_inputs,
    triton,
)


@pytest.fixture
def stream(address: str) -> Iterator[tuple[Client, "queue.Queue[Any]"]]:
    """A client with an open stream, and what its callback got."""
    answers: queue.Queue[Any] = queue.Queue()
    with triton.InferenceServerClient(address) as client:
        client.start_stream(lambda result, error: answers.put(error or result.get_response()))
        yield client, answers
        client.stop_stream()


def final(response: Any) -> bool | None:
    if "triton_final_response" not in response.parameters:
        return None
    return bool(response.parameters["triton_final_response"].bool_param)


def test_a_stream_answers_many_requests_in_order(stream: tuple[Client, "queue.Queue[Any]"]) -> None:
    client, answers = stream
    sizes = [1, 30_000, 3, 1, 70_000] * 20
    for number, size in enumerate(sizes):
        x = np.full((size, 4), number, np.float32)
        client.async_stream_infer("pair", pair_inputs(x), request_id=str(number))
    for number, size in enumerate(sizes):
        response = answers.get(timeout=WAIT_S)
        assert (response.id, response.model_name) == (str(number), "pair")
        total = np.frombuffer(response.raw_output_contents[0], np.float32)
        assert total.size == size * 4
        assert (total == 3 * number).all()
        assert final(response) is True


def test_an_error_within_a_stream_is_of_its_request_alone(
    stream: tuple[Client, "queue.Queue[Any]"],
) -> None:
    client, answers = stream
    bad = np.zeros((1, 5), np.float32)
    for model, x in (("pair", X), ("pair", bad), ("nobody", X), ("pair", X)):
        client.async_stream_infer(model, pair_inputs(x))
    found = [answers.get(timeout=WAIT_S) for _ in range(4)]
    assert [isinstance(each, Failure) for each in found] == [False, True, True, False]
    assert "[1, 5]" in str(found[1])
    assert "no model 'nobody'" in str(found[2])


def test_an_error_ends_a_stream_that_asks_for_statuses(address: str) -> None:
    answers: queue.Queue[Any] = queue.Queue()
    with triton.InferenceServerClient(address) as client:
        client.start_stream(
            lambda result, error: answers.put(error or result),
            headers={"triton_grpc_error": "true"},
        )
        client.async_stream_infer("nobody", pair_inputs())
        assert answers.get(timeout=WAIT_S).status() == "StatusCode.NOT_FOUND"


def test_a_final_response_is_marked_where_it_is_asked_for(
    stream: tuple[Client, "queue.Queue[Any]"],
) -> None:
    client, answers = stream
    client.async_stream_infer("pair", pair_inputs(), enable_empty_final_response=True)
    assert final(answers.get(timeout=WAIT_S)) is True
    x = np.arange(12, dtype=np.float32).reshape(3, 4)
    client.async_stream_infer(
        "items", pair_inputs(x), request_id="n", enable_empty_final_response=True
    )
    for row in x:
        response = answers.get(timeout=WAIT_S)
        assert (response.id, final(response)) == ("n", False)
        assert list(response.outputs[0].shape) == [1, 4]
        total = np.frombuffer(response.raw_output_contents[0], np.float32)
        np.testing.assert_array_equal(total, 3 * row)
    last = answers.get(timeout=WAIT_S)
    assert (last.id, final(last), len(last.outputs)) == ("n", True, 0)


def test_a_decoupled_model_answers_0_to_n_times(
    stream: tuple[Client, "queue.Queue[Any]"],
) -> None:
    client, answers = stream
    for count in (2, 0, 1):
        x = np.full((count, 4), count, np.float32)
        client.async_stream_infer("items", pair_inputs(x), request_id=str(count))
    client.async_stream_infer("pair", pair_inputs())
    assert [answers.get(timeout=WAIT_S).id for _ in range(4)] == ["2", "2", "1", ""]


def test_a_stream_of_the_asynchronous_client_goes_on_and_can_be_taken_back(address: str) -> None:
    async def requests(count: int) -> AsyncIterator[dict[str, Any]]:
        for number in range(count):
            yield {"model_name": "pair", "inputs": pair_inputs(), "request_id": str(number)}

    async def ask_many() -> None:
        async with aio.InferenceServerClient(address) as client:
            found = []
            async for result, error in client.stream_infer(requests(50)):
                assert error is None
                found.append(result.get_response().id)
            assert found == [str(number) for number in range(50)]
            half = client.stream_infer(requests(1000))
            async for _, error in half:
                assert error is None
                half.cancel()
                break
            packed = client.stream_infer(requests(2), compression_algorithm="gzip")
            assert [error async for _, error in packed] == [None, None]

    asyncio.run(ask_many())


def test_a_stream_has_a_deadline(address: str) -> None:
    answers: queue.Queue[Any] = queue.Queue()
    with triton.InferenceServerClient(address) as client:
        client.start_stream(lambda result, error: answers.put(error or result), stream_timeout=0.3)
        client.async_stream_infer("pair", pair_inputs())
        assert not isinstance(answers.get(timeout=WAIT_S), Failure)
        assert answers.get(timeout=WAIT_S).status() == "StatusCode.DEADLINE_EXCEEDED"
