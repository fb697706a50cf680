"""The device's line to the fleet: identity, MQTT, HTTPS and the outbox; the one door of paho."""
