"""Venues."""

from typing import Any

from marshmallow import fields

from db.catalogue import venues
from db.connections import Conn
from db.runtime.errors import InvalidRequest
from web.support.blueprint import Blueprint
from web.support.callers import caller, needs
from web.support.fields import Answer, Name, Schema, StrictInteger, TimeZone

blp = Blueprint("venues", __name__, url_prefix="/v1", description="Venues")


class NewVenue(Schema):
    """A place where events are."""

    name = Name(required=True, metadata={"description": "the venue's name"})
    city = Name(least=0, load_default="", metadata={"description": "as in mails; empty: not said"})
    time_zone = TimeZone(required=True)
    organisation_id = StrictInteger(
        least=1, load_default=None, metadata={"description": "required for operators"}
    )


class Venue(Answer):
    """A place where events are."""

    id = StrictInteger(metadata={"description": "the venue's id"})
    organisation_id = StrictInteger()
    name = fields.String(metadata={"description": "the venue's name"})
    city = fields.String(metadata={"description": "empty: not given"})
    time_zone = fields.String()


@blp.route("/venues", methods=["POST"])
@needs("venues.write")
@blp.arguments(NewVenue, example={"name": "Opera", "city": "Berlin", "time_zone": "Europe/Berlin"})
@blp.idempotent(Venue, key_required=False)
def add_venue(conn: Conn, given: dict[str, Any]) -> dict[str, Any]:
    """Add a venue."""
    owner = given.pop("organisation_id") or caller().organisation_id
    if owner is None:
        raise InvalidRequest("Name the organisation.", path="organisation_id")
    if caller().scope not in (None, owner):
        raise InvalidRequest("That is not your organisation.", path="organisation_id")
    return venues.add_venue(conn, owner, **given)


@blp.route("/venues")
@needs("venues.read")
@blp.paginated(Venue)
def list_venues(conn: Conn, page: dict[str, int]) -> list[dict[str, Any]]:
    """The venues of your organisation."""
    return venues.list_venues(conn, caller().scope, **page)
