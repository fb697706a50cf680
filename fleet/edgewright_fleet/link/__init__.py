"""The fleet's end of MQTT: what devices say comes in, doorbells and answers go out."""

from edgewright_fleet.link.intake import Intake
from edgewright_fleet.link.mqtt import BrokerAddress, Incoming, MqttLink
from edgewright_fleet.link.pump import Pump
from edgewright_fleet.link.rpc import MetadataSource, RpcDesk

__all__ = ["BrokerAddress", "Incoming", "Intake", "MetadataSource", "MqttLink", "Pump", "RpcDesk"]
