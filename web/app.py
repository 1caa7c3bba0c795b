"""The web process: create_app() puts the blueprints together."""

from flask import Flask

from db.connections import hurry
from db.logs import configure_logs
from web import (
    accounts,
    bookings,
    cancellations,
    dead_letters,
    disputes,
    docs,
    events,
    health,
    lanes,
    limits,
    lobbies,
    metrics,
    offline,
    operators,
    queue_board,
    queues,
    receipts,
    reconciliations,
    refunds,
    reports,
    reviews,
    seats,
    tickets,
    token_epochs,
    venues,
    webhooks,
)
from web.blueprint import MAX_BODY, refuse_other_bodies
from web.errors import register_errors
from web.shortcut import shorten
from web.tracing import trace_requests

NOUNS = (
    accounts,
    venues,
    events,
    seats,
    queues,
    bookings,
    tickets,
    lanes,
    lobbies,
    refunds,
    offline,
    receipts,
    cancellations,
    disputes,
    reviews,
    reconciliations,
    reports,
    dead_letters,
    operators,
)

SECONDS = 5.0
"""For a statement of a request, and to wait for a lock; what takes longer says so."""


def create_app() -> Flask:
    """A new app; nothing is connected to before the first request."""
    configure_logs("web")
    hurry(SECONDS)
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY
    served = metrics.measure_requests(app)
    trace_requests(app)
    app.before_request(metrics.refuse_other_methods)
    app.before_request(refuse_other_bodies)
    register_errors(app)
    token_epochs.keep_epochs(app)
    queue_board.keep_boards(app)
    seats.keep_documents(app)
    lobbies.keep_lists(app)
    api = docs.describe(app)
    for noun in NOUNS:
        api.register_blueprint(noun.blp)
    limits.limit_requests(app)
    app.register_blueprint(webhooks.blp)
    app.register_blueprint(health.blp)
    shorten(app, served)
    return app
