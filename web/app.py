"""The web process: create_app() puts the blueprints together."""

from flask import Flask

from db.connections import set_statement_limits
from db.runtime.logs import configure_logs
from web.api import (
    accounts,
    api_keys,
    audit,
    booking_records,
    bookings,
    charts,
    dead_letters,
    disputes,
    emails,
    event_cancellations,
    events,
    feed,
    gateway_accounts,
    gateway_notifications,
    health,
    identity_providers,
    lanes,
    lobbies,
    me,
    members,
    memberships,
    offline,
    operators,
    organisations,
    passkeys,
    payouts,
    personal_data,
    plan_imports,
    plans,
    postponements,
    queues,
    receipts,
    reconciliations,
    refunds,
    reports,
    reviews,
    seats,
    second_factors,
    sessions,
    sign_in,
    streams,
    tickets,
    venues,
)
from web.fast_path import serve_fast_path, take_over
from web.notifications import fast_path
from web.pages import invitation, oidc, payment_result
from web.pages import passkeys as passkeys_page
from web.pages import sign_in as sign_in_page
from web.queue import board
from web.support import ended_tokens, headers, metrics, openapi, rate_limits
from web.support.blueprint import MAX_BODY, refuse_other_bodies
from web.support.errors import register_errors
from web.support.tracing import trace_requests

NOUNS = (
    accounts,
    me,
    sign_in,
    sessions,
    personal_data,
    organisations,
    feed,
    gateway_accounts,
    payouts,
    api_keys,
    members,
    memberships,
    identity_providers,
    second_factors,
    passkeys,
    venues,
    events,
    seats,
    charts,
    queues,
    booking_records,
    bookings,
    tickets,
    lanes,
    lobbies,
    refunds,
    offline,
    receipts,
    emails,
    event_cancellations,
    postponements,
    disputes,
    reviews,
    reconciliations,
    reports,
    dead_letters,
    operators,
    audit,
    plans,
    plan_imports,
    gateway_notifications,
)

PAGES = (health, payment_result, sign_in_page, passkeys_page, oidc, invitation)
"""Outside the OpenAPI document."""

SECONDS = 5.0
"""Seconds for a request's statement, and for a lock; longer work sets its own limits."""


def create_app() -> Flask:
    """Make the app. It opens no connection before the first request."""
    configure_logs("web")
    set_statement_limits(SECONDS)
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY
    served = metrics.measure_requests(app)
    trace_requests(app)
    app.before_request(take_over)
    headers.protect_answers(app)
    app.before_request(refuse_other_bodies)
    register_errors(app)
    ended_tokens.keep_ended_tokens(app)
    board.keep_boards(app)
    events.keep_events(app)
    seats.keep_documents(app)
    charts.keep_documents(app)
    lobbies.keep_lists(app)
    api = openapi.describe(app)
    for noun in NOUNS:
        api.register_blueprint(noun.blp)
    streams.describe(api)
    rate_limits.limit_requests(app)
    for page in PAGES:
        app.register_blueprint(page.blp)
    serve_fast_path(app, served)
    fast_path.serve_fast_path(app)
    rate_limits.trust_proxies(app)
    return app
