"""The connection to the broker: MQTT 5, mutual TLS, reconnecting by itself with full jitter.

paho runs its network loop in a thread of its own; what it calls here must be quick and
never raise. Nothing is queued in memory for a broker that is away: state is published
when the connection is there, events wait in the outbox.
"""

import contextlib
import logging
import random
import ssl
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

import paho.mqtt.client as paho
from edgewright_manifests import documents
from edgewright_manifests.errors import DocumentError
from edgewright_manifests.messages import RPC_EXPIRY_S, Desired
from edgewright_manifests.topics import DeviceTopics
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from edgewright_runtime.link.outbox import Outbox
from edgewright_runtime.link.rpc import RpcClient
from edgewright_runtime.source import SourceUnreachable

_LOG = logging.getLogger(__name__)

KEEPALIVE_S = 60
SESSION_EXPIRY_S = 4 * 3600
"""The retained `desired` is enough after longer; a session costs the broker memory."""
RECEIVE_MAXIMUM = 16
"""Twice the RPC window."""
MAX_PACKET_BYTES = 128 * 1024 + 1024
WILL_DELAY_S = 30
"""A device that reconnects within this was never offline."""
EVENT_WINDOW = 16
FIRST_WAIT_S = 1.0
LAST_WAIT_S = 60.0


class Callbacks(NamedTuple):
    """What the link tells the agent, from paho's thread."""

    connected: Callable[[], None]
    desired: Callable[[Desired], None]
    acknowledged: Callable[[], None]
    """The broker has a message: `flush` may send more."""


class MqttLink:
    """One device's connection."""

    def __init__(
        self,
        host: str,
        port: int,
        topics: DeviceTopics,
        context: ssl.SSLContext,
        outbox: Outbox,
        callbacks: Callbacks,
    ) -> None:
        self._topics = topics
        self._outbox = outbox
        self._callbacks = callbacks
        self._tries = 0
        self._flying: dict[int, str] = {}
        self._acknowledged: deque[tuple[int, bool]] = deque()
        self.rpc = RpcClient(self._send_request)
        self._client = client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id=topics.device, protocol=paho.MQTTv5
        )
        client.tls_set_context(context)
        will = _properties(PacketTypes.WILLMESSAGE)
        will.WillDelayInterval = WILL_DELAY_S
        client.will_set(topics.online, b"0", qos=1, retain=True, properties=will)
        client.on_connect = self._on_connect
        client.on_connect_fail = self._on_connect_fail
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.on_publish = self._on_publish
        self._host = host
        self._port = port

    def start(self) -> None:
        """Connect, now and whenever the connection is lost; returns at once."""
        wanted = _properties(PacketTypes.CONNECT)
        wanted.SessionExpiryInterval = SESSION_EXPIRY_S
        wanted.ReceiveMaximum = RECEIVE_MAXIMUM
        wanted.MaximumPacketSize = MAX_PACKET_BYTES
        self._jitter()
        self._client.connect_async(
            self._host,
            self._port,
            keepalive=KEEPALIVE_S,
            clean_start=paho.MQTT_CLEAN_START_FIRST_ONLY,
            properties=wanted,
        )
        self._client.loop_start()

    def stop(self) -> None:
        """Say goodbye (`online` 0) and end the thread."""
        if self._client.is_connected():
            farewell = self._client.publish(self._topics.online, b"0", qos=1, retain=True)
            # The connection may break meanwhile; then the will says it.
            with contextlib.suppress(RuntimeError, ValueError):
                farewell.wait_for_publish(1.0)
        self._client.disconnect()
        self._client.loop_stop()
        self.rpc.disconnected()

    def is_connected(self) -> bool:
        """Whether the broker is there now."""
        return self._client.is_connected()

    def publish_report(self, envelope: bytes) -> None:
        """Replace the retained `reported`; dropped without a connection, which brings a new one."""
        if self._client.is_connected():
            self._client.publish(self._topics.reported, envelope, qos=1, retain=True)

    def publish_telemetry(self, payload: bytes) -> None:
        """Send figures that may be lost."""
        if self._client.is_connected():
            self._client.publish(self._topics.telemetry, payload, qos=0)

    def flush(self) -> None:
        """Take in acknowledgements, send what waits in the outbox; for one thread only."""
        while self._acknowledged:
            mid, accepted = self._acknowledged.popleft()
            id = self._flying.pop(mid, None)
            if id is not None and accepted:
                self._outbox.acknowledge(id)
        if not self._client.is_connected():
            return
        flying = set(self._flying.values())
        for entry in self._outbox.waiting(EVENT_WINDOW):
            if entry.id not in flying:
                sent = self._client.publish(self._topics.event, entry.payload, qos=1)
                self._flying[sent.mid] = entry.id

    def _send_request(self, payload: bytes, correlation: bytes) -> None:
        if not self._client.is_connected():
            raise SourceUnreachable("the broker is not connected")
        fields = _properties(PacketTypes.PUBLISH)
        fields.ResponseTopic = self._topics.rpc_response
        fields.CorrelationData = correlation
        fields.MessageExpiryInterval = RPC_EXPIRY_S
        self._client.publish(self._topics.rpc_request, payload, qos=1, properties=fields)

    # Any in the callbacks: paho hands `userdata` of any type, which we never set.
    def _on_connect(
        self, client: paho.Client, _: Any, flags: object, reason: ReasonCode, __: object
    ) -> None:
        if reason.is_failure:
            _LOG.warning("broker refused the connection: %s", reason)
            return
        self._tries = 0
        qos = SubscribeOptions(qos=1)
        client.subscribe([(self._topics.desired, qos), (self._topics.rpc_response, qos)])
        client.publish(self._topics.online, b"1", qos=1, retain=True)
        _LOG.info("broker connected host=%s port=%d", self._host, self._port)
        self._callbacks.connected()

    def _on_connect_fail(self, client: paho.Client, _: Any) -> None:
        self._jitter()

    def _on_disconnect(
        self, client: paho.Client, _: Any, flags: object, reason: ReasonCode, __: object
    ) -> None:
        self._jitter()
        self.rpc.disconnected()
        _LOG.warning("broker connection ended: %s", reason)

    def _on_message(self, client: paho.Client, _: Any, message: paho.MQTTMessage) -> None:
        if message.topic == self._topics.desired:
            try:
                desired = documents.decode(bytes(message.payload), Desired, source=message.topic)
            except DocumentError as error:
                _LOG.warning("doorbell not understood: %s", error)
                return
            self._callbacks.desired(desired)
        elif message.topic == self._topics.rpc_response and message.properties is not None:
            correlation = getattr(message.properties, "CorrelationData", b"")
            fields = dict(getattr(message.properties, "UserProperty", []))
            self.rpc.receive(correlation, fields, bytes(message.payload))

    def _on_publish(
        self, client: paho.Client, _: Any, mid: int, reason: ReasonCode, __: object
    ) -> None:
        # paho holds its own lock here, so nothing may be published from this callback.
        self._acknowledged.append((mid, not reason.is_failure))
        if reason.is_failure:
            _LOG.error("broker refused a message, an event stays in the outbox: %s", reason)
        else:
            self._callbacks.acknowledged()

    def _jitter(self) -> None:
        """Full jitter for paho's next wait: 0 to 1, 2, 4, ... 60 s."""
        ceiling = min(LAST_WAIT_S, FIRST_WAIT_S * 2 ** min(self._tries, 10))
        self._tries += 1
        wait = random.uniform(0.05, ceiling)  # noqa: S311  # spreads load, guards nothing
        # paho doubles from min to max and is typed for whole seconds; it only adds and compares.
        self._client.reconnect_delay_set(wait, wait)  # type: ignore[arg-type]


def _properties(packet: int) -> Properties:
    return Properties(packet)  # type: ignore[no-untyped-call]  # paho leaves its constructor untyped
