"""MQTT 5 by paho in its own thread, bridged to asyncio; acknowledges after the work is done."""

import asyncio
import logging
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from edgewright_manifests.messages import RPC_EXPIRY_S
from edgewright_manifests.topics import all_upward
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from edgewright_fleet.errors import BrokerError

log = logging.getLogger(__name__)

_SHARE = "fleet"
_SESSION_EXPIRY_S = 24 * 3600
"""What devices send while the server is away for less than a day waits in the broker."""
_KEEPALIVE_S = 30
_QUEUE = 10_000
"""Telemetry (QoS 0) beyond it is dropped; the rest is bounded by the broker's inflight window."""


@dataclass(frozen=True)
class BrokerAddress:
    """Where the broker is and how to prove who we are."""

    host: str
    port: int
    ca_file: Path
    certificate_file: Path
    key_file: Path


@dataclass(frozen=True)
class Incoming:
    """One message from a device."""

    topic: str
    payload: bytes
    correlation: bytes | None
    """Correlation Data of a request."""
    mid: int
    qos: int
    connection: int
    """Packet ids count within one connection only."""


class MqttLink:
    """One connection to the broker that comes back by itself.

    `on_connected` is called in the loop after every (re)connection: the moment to publish
    all desired state again.
    """

    def __init__(
        self,
        address: BrokerAddress,
        client_id: str,
        *,
        on_connected: Callable[[], None],
    ) -> None:
        self._address = address
        self._on_connected = on_connected
        self._loop: asyncio.AbstractEventLoop | None = None
        self.incoming: asyncio.Queue[Incoming] = asyncio.Queue(_QUEUE)
        self.connected = asyncio.Event()
        self._connection = 0
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            protocol=paho.MQTTv5,
            manual_ack=True,
        )
        self._client.on_connect = self._connected
        self._client.on_disconnect = self._disconnected
        self._client.on_message = self._message
        self._client.reconnect_delay_set(1, 10)
        self._client.max_inflight_messages_set(1000)

    @property
    def address(self) -> str:
        """The broker's HOST:PORT."""
        return f"{self._address.host}:{self._address.port}"

    def start(self) -> None:
        """Begin to connect, and keep at it. Raises BrokerError for unreadable certificates."""
        self._loop = asyncio.get_running_loop()
        context = ssl.create_default_context(cafile=str(self._address.ca_file))
        try:
            context.load_cert_chain(self._address.certificate_file, self._address.key_file)
        except OSError as error:
            raise BrokerError(
                f"{self._address.certificate_file}: cannot be used for MQTT: {error}"
            ) from error
        self._client.tls_set_context(context)
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho has no types here
        properties.SessionExpiryInterval = _SESSION_EXPIRY_S
        self._client.connect_async(
            self._address.host,
            self._address.port,
            keepalive=_KEEPALIVE_S,
            clean_start=False,
            properties=properties,
        )
        self._client.loop_start()

    def stop(self) -> None:
        """Say goodbye and end the thread. Blocks for a moment."""
        self._client.disconnect()
        self._client.loop_stop()

    def publish_retained(self, topic: str, payload: bytes) -> None:
        """QoS 1, retained; queued while the broker is away."""
        self._client.publish(topic, payload, qos=1, retain=True)

    def publish_chunk(
        self, topic: str, payload: bytes, correlation: bytes, fields: list[tuple[str, str]]
    ) -> None:
        """One part of an answer: QoS 1, forgotten by the broker after RPC_EXPIRY_S."""
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho has no types here
        properties.CorrelationData = correlation
        properties.MessageExpiryInterval = RPC_EXPIRY_S
        properties.UserProperty = fields
        self._client.publish(topic, payload, qos=1, properties=properties)

    def acknowledge(self, message: Incoming) -> None:
        """The message is dealt with: the broker may forget it."""
        if message.qos and message.connection == self._connection:
            self._client.ack(message.mid, message.qos)

    def _connected(
        self,
        client: paho.Client,
        _userdata: Any,  # Any: paho's callback types
        _flags: paho.ConnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        if reason.is_failure:
            log.error("broker refuses the fleet's connection reason=%s", reason)
            return
        self._connection += 1
        client.subscribe(all_upward(_SHARE), options=SubscribeOptions(qos=1))
        log.info("link connected")
        self._in_loop(self.connected.set)
        self._in_loop(self._on_connected)

    def _disconnected(
        self,
        _client: paho.Client,
        _userdata: Any,  # Any: paho's callback types
        _flags: paho.DisconnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        log.info("link disconnected reason=%s", reason)
        self._in_loop(self.connected.clear)

    def _message(
        self, _client: paho.Client, _userdata: Any, message: paho.MQTTMessage
    ) -> None:  # Any: paho's callback types
        correlation = getattr(message.properties, "CorrelationData", None)
        incoming = Incoming(
            message.topic,
            bytes(message.payload),
            correlation,
            message.mid,
            message.qos,
            self._connection,
        )
        self._in_loop(lambda: self._enqueue(incoming))

    def _enqueue(self, incoming: Incoming) -> None:
        try:
            self.incoming.put_nowait(incoming)
        except asyncio.QueueFull:
            log.warning("message dropped, the queue is full topic=%s", incoming.topic)
            self.acknowledge(incoming)

    def _in_loop(self, act: Callable[[], None]) -> None:
        if self._loop and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(act)
