"""Carries messages from the link to those who deal with them, then acknowledges."""

import asyncio

from edgewright_manifests.errors import DocumentError
from edgewright_manifests.topics import parse_upward

from edgewright_fleet.link.intake import Intake
from edgewright_fleet.link.mqtt import Incoming, MqttLink
from edgewright_fleet.link.rpc import RpcDesk

_ANSWERERS = 4
"""Answers are read from disk side by side; reports and events go one after the other."""
_WAITING_REQUESTS = 1000


class Pump:
    """Runs until cancelled. An error of the store ends it: what is not acknowledged comes again."""

    def __init__(self, link: MqttLink, intake: Intake, desk: RpcDesk) -> None:
        self._link = link
        self._intake = intake
        self._desk = desk
        self._requests: asyncio.Queue[Incoming] = asyncio.Queue(_WAITING_REQUESTS)

    async def run(self) -> None:
        """Deal with messages as they come."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._take_in(), name="link intake")
            for number in range(_ANSWERERS):
                tasks.create_task(self._answer(), name=f"link answers {number}")

    async def _take_in(self) -> None:
        while True:
            message = await self._link.incoming.get()
            if message.correlation is not None and _is_request(message.topic):
                await self._requests.put(message)
                continue
            await asyncio.to_thread(self._intake.accept, message.topic, message.payload)
            self._link.acknowledge(message)

    async def _answer(self) -> None:
        while True:
            message = await self._requests.get()
            await asyncio.to_thread(
                self._desk.answer,
                message.topic,
                message.payload,
                message.correlation or b"",
                self._link.publish_chunk,
            )
            self._link.acknowledge(message)


def _is_request(topic: str) -> bool:
    try:
        return parse_upward(topic).channel == "rpc"
    except DocumentError:
        return False
