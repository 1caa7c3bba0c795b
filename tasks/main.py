"""The broker and every actor, for `dramatiq tasks.main`."""

from db.runtime.logs import configure_logs
from tasks.auditor import audit_changes, audit_findings, audit_whole
from tasks.balances import read_balance
from tasks.booking_groups import advance
from tasks.booking_search import index_bookings
from tasks.disputes import freeze_for_fraud_warning, look_at_dispute
from tasks.drain import drain
from tasks.durable.broker import broker
from tasks.event_cancellations import cancel_event
from tasks.exports import write_export
from tasks.gateways.merchants import check_merchant
from tasks.gateways.probe import probe_gateway
from tasks.housekeeping import archive_event, drop_partitions, purge, sum_up_day
from tasks.mail.actors import send_email
from tasks.plan_imports import import_plan
from tasks.postponements import tell_of_postponement
from tasks.receipts import number_receipts
from tasks.reconciliation import reconcile
from tasks.refunds import adopt_refund, refund
from tasks.unexpected_payments import stop_unexpected

configure_logs("worker")

QUEUES = ("payments", "mail", "maintenance")
"""The queues of durable tasks; the drain has its own queue."""

__all__ = [
    "QUEUES",
    "adopt_refund",
    "advance",
    "archive_event",
    "audit_changes",
    "audit_findings",
    "audit_whole",
    "broker",
    "cancel_event",
    "check_merchant",
    "drain",
    "drop_partitions",
    "freeze_for_fraud_warning",
    "import_plan",
    "index_bookings",
    "look_at_dispute",
    "number_receipts",
    "probe_gateway",
    "purge",
    "read_balance",
    "reconcile",
    "refund",
    "send_email",
    "stop_unexpected",
    "sum_up_day",
    "tell_of_postponement",
    "write_export",
]
