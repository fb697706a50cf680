"""What devices went through, each event once."""

import datetime

from edgewright_manifests import documents
from edgewright_manifests.documents import Document
from edgewright_manifests.messages import Event
from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError

from edgewright_fleet.store.database import Database
from edgewright_fleet.store.schema import events


class EventRecord(Document, frozen=True):
    """An event and when it arrived."""

    received: datetime.datetime
    event: Event


class Events:
    """The table of events."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, event: Event, received: datetime.datetime) -> bool:
        """Keep an event; False when its id is known (a repeated delivery)."""
        try:
            with self._database.writing() as connection:
                connection.execute(
                    insert(events).values(
                        # Two devices may choose the same id; neither can hide the other's event.
                        id=f"{event.device}/{event.id}",
                        device=event.device,
                        assignment=event.assignment,
                        time=event.time,
                        received=received,
                        document=documents.encode(event),
                    )
                )
        except IntegrityError:
            return False
        return True

    def latest(self, *, device: str | None = None, limit: int = 100) -> list[EventRecord]:
        """The newest events first."""
        query = select(events.c.received, events.c.document)
        if device is not None:
            query = query.where(events.c.device == device)
        query = query.order_by(events.c.received.desc(), events.c.id).limit(limit)
        with self._database.reading() as connection:
            rows = connection.execute(query).all()
        return [
            EventRecord(
                received=row.received,
                event=documents.decode(row.document, Event, source="events.document"),
            )
            for row in rows
        ]
