"""Times as people read them."""

from datetime import datetime
from zoneinfo import ZoneInfo


def moment(value: str, time_zone: str) -> str:
    """An ISO timestamp in the event's time zone, with its offset, because one hour comes twice."""
    local = datetime.fromisoformat(value).astimezone(ZoneInfo(time_zone))
    return f"{local:%A %-d %B %Y, %H:%M} ({time_zone}, UTC{local.isoformat()[-6:]})"
