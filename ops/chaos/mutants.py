"""`make mutants`: show that each guard is needed.

    python -m ops.chaos.mutants [name …]

A mutant is a temporary copy of the tree without one guard. The guard is removed by replacing a text
that must occur exactly once; if it does not, the guard has moved, and this program stops. A
campaign whose form tests the guard must fail in the mutant ("killed"), and must pass with the same
form and seed in the control, which has the guard. Where a second guard does the same work, it is
removed from both beforehand, and the description says so.

A mutant counts how often it did what its guard would have prevented (ops/chaos/met.py), which is
the result's `met`. Campaigns depend on races: one that passes without having met the guard says
nothing, and is repeated with other seeds. Writes var/mutants.json, and exits with 0 only if all
mutants were killed.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ops.chaos.forms import FORMS
from ops.chaos.met import VARIABLE
from ops.local.supervisor import ROOT
from ops.local.trees import copy_checkout

Json = dict[str, Any]

SEEDS = (1, 2, 3)
TIMEOUT_S = 300
SHOWN = 300  # characters of a failure


@dataclass(frozen=True)
class Change:
    """A text that occurs exactly once in a file, and its replacement."""

    path: str
    old: str
    new: str


@dataclass(frozen=True)
class Mutant:
    """One guard to remove. form: of a campaign of money (ops/chaos/forms.py), or of `make chaos`
    (ops/chaos/everything.py); or a test, where the guard saves time and not money. aside: other
    guards that are removed from the control too. meter: what the control counts, where the mutant
    cannot: the guard at work. point: deaths at this crash point are counted instead."""

    name: str
    guard: str
    description: str
    form: str
    changes: tuple[Change, ...]
    aside: tuple[Change, ...] = ()
    meter: tuple[Change, ...] = ()
    point: str = ""


class GuardMoved(Exception):
    """The text of a guard does not occur exactly once: change the mutant."""


METER = Change(
    "sql/data/currencies.sql",
    "        excluded.maximum_charge);\n",
    "        excluded.maximum_charge);\ncreate sequence if not exists met;\n",
)
MET = "__import__('ops.chaos.met', fromlist=['met']).met()"
AGAIN = "__import__('ops.chaos.met', fromlist=['again']).again"
NO_FENCING = Change(
    "tasks/durable/leases.py",
    """            if outbox.lock(conn, self.ids, self.token) != set(self.ids):
                raise LeaseLost
""",
    """            if outbox.lock(conn, self.ids, self.token) != set(self.ids):
                """
    + MET
    + "\n",
)
NO_FENCING_IN_GROUPS = Change(
    "tasks/durable/leases.py",
    "            yield conn, outbox.lock(conn, self.ids, self.token)\n",
    """            held = outbox.lock(conn, self.ids, self.token)
            if held != set(self.ids):
                """
    + MET
    + """
            yield conn, set(self.ids)
""",
)
NO_REPAIRS = Change(
    "db/maintenance/findings.py", "repair = REPAIRS.get(invariant.name)", "repair = None"
)
FREEZE_WHILE_OPEN = Change(
    "tasks/disputes.py",
    '    reach("after dispute is read")\n',
    '    if dispute.state == "needs_response":\n        reach("after dispute is read")\n',
)
BOOKINGS = "sql/functions/bookings/"
GROUPS = "tests/payments/test_groups.py::"
ALWAYS_WAKE = Change(
    "sql/functions/payments/start_payment.sql",
    "and buyer_id = p_buyer and state = 'held' and p_method <> 'offline'));",
    "and buyer_id = p_buyer and p_method <> 'offline'));",
)

MUTANTS = (
    Mutant(
        name="csrf",
        guard="a browser's cookie joins a queue only for a page of ours",
        description="web/support/auth.py takes the cookie of a request, whichever page sent it",
        form="tests/accounts/test_cookies.py::test_another_page_cannot_join_for_its_visitor",
        changes=(
            Change(
                "web/support/auth.py",
                """    if session and not comes_from_own_page(environ, session):
        return None
""",
                """    if session and not comes_from_own_page(environ, session):
        """
                + MET
                + "\n",
            ),
        ),
    ),
    Mutant(
        name="idempotency_key",
        guard="a payment is sent under the same idempotency key at each try",
        description="tasks/gateways/stripe/payments.py sends a new random key at each try",
        form="lost_replies",
        changes=(
            Change(
                "tasks/gateways/stripe/payments.py",
                'key = f"{progress.payment_id}:{progress.idempotency_n}"',
                f"key = {AGAIN}(f'{{progress.payment_id}}:{{progress.idempotency_n}}')"
                " or __import__('uuid').uuid4().hex",
            ),
        ),
    ),
    Mutant(
        name="refund_key",
        guard="a refund is sent under the same idempotency key at each try",
        description="tasks/gateways/stripe/refunds.py sends a new random key at each try",
        form="lost_replies",
        changes=(
            Change(
                "tasks/gateways/stripe/refunds.py",
                'key = f"{progress.refund_id}:{progress.idempotency_n}"',
                f"key = {AGAIN}(f'{{progress.refund_id}}:{{progress.idempotency_n}}')"
                " or __import__('uuid').uuid4().hex",
            ),
        ),
    ),
    Mutant(
        name="one_live_payment",
        guard="at most one live payment of a booking, by a partial unique index",
        description="the index payments_one_live is not unique; start_payment no longer checks"
        " whether the booking is being paid, since this check comes before the index",
        form="two_tabs",
        changes=(
            Change(
                "sql/migrations/V0005__payments.sql",
                "create unique index payments_one_live",
                "create index payments_one_live",
            ),
            Change(
                "sql/functions/payments/start_payment.sql",
                """        when b.state = 'authorising' then 'payment_in_progress'
        when b.state <> 'held' then 'not_held'
""",
                """        when b.state not in ('held', 'authorising') then 'not_held'
        when b.state = 'authorising' and nextval('met') < 0 then 'never'
""",
            ),
            Change(
                "sql/functions/payments/start_payment.sql",
                "where event_id = p_event and id = p_booking and state = 'held';\nend $$;",
                "where event_id = p_event and id = p_booking;\nend $$;",
            ),
            ALWAYS_WAKE,
        ),
    ),
    Mutant(
        name="paid_while_held",
        guard="an attempt to pay begins only while the booking is held",
        description="start_payment begins an attempt in every state of the booking, unless it is"
        " being paid",
        form="last_moment",
        changes=(
            Change(
                "sql/functions/payments/start_payment.sql",
                "        when b.state <> 'held' then 'not_held'\n",
                "        when b.state <> 'held' and nextval('met') < 0 then 'never'\n",
            ),
            Change(
                "sql/functions/payments/start_payment.sql",
                "hold_deadline(b) < clock_timestamp() then",
                "hold_deadline(b) < clock_timestamp() - interval '1 day' then",
            ),
            ALWAYS_WAKE,
        ),
    ),
    Mutant(
        name="compare_and_set",
        guard="an answer of the gateway is only written over the attempt's state as it was read",
        description="payments are recorded, and bookings secured, confirmed and reopened, in every"
        " state; the triggers for legal moves check the same thing and are removed too. Fencing"
        " comes before this guard and is removed from the control as well",
        form="frozen_payments",
        aside=(NO_FENCING, NO_FENCING_IN_GROUPS),
        changes=(
            Change(
                "sql/functions/payments/record_outcomes.sql",
                "where p.id = o.payment_id and p.state = o.expected\n",
                "where p.id = o.payment_id and (p.state = o.expected or nextval('met') > 0)\n",
            ),
            Change(
                BOOKINGS + "secure_booking.sql",
                """    where event_id = p_event and id = p_booking and payment_id = p_payment
        and state in ('authorising', 'expiring', 'review');
""",
                """    where event_id = p_event and id = p_booking and (payment_id = p_payment
        and state in ('authorising', 'expiring', 'review') or nextval('met') > 0);
""",
            ),
            Change(
                "sql/functions/payments/lock_members.sql",
                "where b.state = p_state and",
                "where (b.state = p_state or nextval('met'::text::regclass) > 0) and",
            ),
            Change(
                BOOKINGS + "confirm_bookings.sql",
                "b.id = w.id and b.payment_id = w.payment_id and b.state = 'secured'\n",
                "b.id = w.id and (b.payment_id = w.payment_id and b.state = 'secured'"
                " or nextval('met') > 0)\n",
            ),
            Change(
                BOOKINGS + "reopen_booking.sql",
                """payment_id = p_payment
        and (state = 'authorising' or""",
                """payment_id = p_payment
        and (true or""",
            ),
            Change(
                "sql/functions/maintenance/check_moves.sql",
                "where m.noun = tg_argv[0] and",
                "where true or m.noun = tg_argv[0] and",
            ),
        ),
    ),
    Mutant(
        name="lease_fencing",
        guard="every transaction of a task begins by locking its row by id and lease token",
        description="Lease.transaction() goes on when the row is gone or leased to another worker",
        form="frozen_disputes",
        aside=(FREEZE_WHILE_OPEN,),
        changes=(NO_FENCING, NO_FENCING_IN_GROUPS),
    ),
    Mutant(
        name="deleted_with_effect",
        guard="a task is deleted in the transaction of its effect",
        description="Lease.finish() deletes the task in a transaction of its own, just before the"
        " effect's transaction commits; rows are not locked, since this would wait for the lock."
        " The auditor would repair lost tasks, and is removed from the control as well",
        form="deaths",
        point="after deletion",
        aside=(NO_REPAIRS,),
        changes=(
            Change(
                "tasks/durable/leases.py",
                "        outbox.finish(conn, self.ids if ids is None else ids, self.token,"
                " for_good=for_good)\n"
                '        reach("after deletion")\n        if self.policy.keep',
                "        with transaction() as first:\n"
                "            outbox.finish(first, self.ids if ids is None else ids, self.token,"
                " for_good=for_good)\n"
                '        reach("after deletion")\n        if self.policy.keep',
            ),
            Change(
                "sql/queries/durable/outbox.sql",
                "WHERE id = ANY (%(ids)s) AND lease_token = %(token)s\nORDER BY id FOR UPDATE\n",
                "WHERE id = ANY (%(ids)s) AND lease_token = %(token)s\nORDER BY id\n",
            ),
        ),
    ),
    Mutant(
        name="again",
        guard="a task that is enqueued again while it runs is run again",
        description="finishing a task deletes it even if it was enqueued again meanwhile. The"
        " auditor would repair what is forgotten, and is removed from the control as well",
        form="changes_of_mind",
        aside=(NO_REPAIRS,),
        changes=(
            Change(
                "sql/queries/durable/outbox.sql",
                "%(token)s AND (NOT again OR %(for_good)s)\n",
                "%(token)s AND (NOT again OR nextval('met') > 0)\n",
            ),
            Change(
                "sql/queries/durable/outbox.sql",
                "%(token)s AND again AND NOT %(for_good)s\n",
                "%(token)s AND false\n",
            ),
        ),
    ),
    Mutant(
        name="key_in_group",
        guard="each payment of a group is sent under a key of its own",
        description="tasks/booking_groups.py gives all members of a group the id of the first, from"
        " which the key is made",
        form=GROUPS + "test_every_member_has_a_key_of_its_own",
        changes=(
            Change(
                "tasks/booking_groups.py",
                "        outcome = step.ask(lease, progress, slot)\n",
                f"        {MET}\n        first = answers.__dict__.setdefault('first', progress)\n"
                "        outcome = step.ask(lease, __import__('dataclasses').replace(progress,"
                " payment_id=first.payment_id), slot)\n",
            ),
        ),
    ),
    Mutant(
        name="alone_in_group",
        guard="where a group's transaction fails, each member's answer is recorded alone",
        description="tasks/booking_groups.py fails all tasks of the group with the one that is the"
        " cause",
        form=GROUPS + "test_a_member_that_cannot_be_recorded_takes_no_other_along",
        changes=(
            Change(
                "tasks/booking_groups.py",
                'log.warning("a group breaks up", error=why, exc_info=told)\n'
                "            return None\n",
                f"{MET}\n            raise\n",
            ),
        ),
    ),
    Mutant(
        name="lost_in_group",
        guard="a member whose lease was lost is left out of the group's transaction",
        description="Lease.shared_transaction() fails for all members when one has lost its lease",
        form=GROUPS + "test_a_lost_lease_costs_no_other_its_record",
        changes=(
            Change(
                "tasks/durable/leases.py",
                "            yield conn, outbox.lock(conn, self.ids, self.token)\n",
                "            held = outbox.lock(conn, self.ids, self.token)\n"
                "            if held != set(self.ids):\n"
                f"                {MET}\n"
                "                raise LeaseLost\n"
                "            yield conn, held\n",
            ),
        ),
    ),
    Mutant(
        name="news_by_rank",
        guard="a notification that goes further than known starts the task that looks",
        description="the table of ranks has no higher rank for an authorisation than for a payment"
        " that waits for its buyer",
        form="tests/payments/test_saga.py::test_3ds_approved",
        changes=(
            Change(
                "sql/functions/payments/is_news.sql",
                "when 'payment authorised' then 3",
                "when 'payment authorised' then 1",
            ),
            Change(
                "sql/functions/payments/take_notification.sql",
                "        if actor is null then\n",
                "        if actor is null then\n            perform nextval('met')"
                " where mine.state = 'requires_action' and p_says = 'authorised';\n",
            ),
        ),
    ),
    Mutant(
        name="feed_horizon",
        guard="the feed tells what transactions below the oldest open one have written",
        description="it tells what was written by now, and goes on behind transactions that are"
        " open: what they commit later is never told",
        form="tests/feed/test_feed.py::"
        "test_what_commits_late_is_told_after_several_runs_of_the_job",
        changes=(
            Change(
                "sql/functions/feed/number_feed.sql",
                "    p_progress.to_xid := horizon.oldest;\n",
                "    p_progress.to_xid := horizon.coming;\n"
                "    perform nextval('met') where horizon.coming > horizon.oldest;\n",
            ),
        ),
    ),
    Mutant(
        name="answer_once",
        guard="a request that is repeated with its Idempotency-Key is not executed again",
        description="an earlier answer is never found; storing it twice is made harmless",
        form="cut_answers",
        changes=(
            Change(
                "sql/queries/accounts/idempotency.sql",
                " AND route IN (%(route)s, %(spelt_route)s) AND key = %(key)s\n",
                " AND route IN (%(route)s, %(spelt_route)s) AND key = %(key)s"
                " AND nextval('met') < 0\n",
            ),
            Change(
                "sql/queries/accounts/idempotency.sql",
                "%(sha256)s, %(status)s, %(response)s)\n",
                "%(sha256)s, %(status)s, %(response)s)\nON CONFLICT DO NOTHING\n",
            ),
        ),
    ),
    Mutant(
        name="sent_again",
        guard="a message that is lost, with all of Redis, is sent again",
        description="the relay sends each task again only after a day",
        form="flushes",
        changes=(
            Change(
                "sql/functions/durable/next_send.sql",
                "least(interval '5 min', interval '15 s' * 2 ^ least(p_sends, 5))",
                "interval '1 day'",
            ),
        ),
        meter=(
            Change(
                "sql/functions/durable/next_send.sql",
                "case when p_claims > 0 then",
                "case when p_sends > 0 and nextval('met'::text::regclass) < 0 or p_claims > 0 then",
            ),
        ),
    ),
    Mutant(
        name="one_message_id",
        guard="a mail keeps its Message-ID, however often it is sent",
        description="tasks/mail/compose.py makes a new one each time",
        form="quiet",
        changes=(
            Change(
                "tasks/mail/compose.py",
                'message["Message-ID"] = f"<{message_name(mail)}@',
                f'message["Message-ID"] = f"<{{{MET} or __import__(\'uuid\').uuid4()}}@',
            ),
        ),
    ),
)


def main() -> None:
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__)
    names = [mutant.name for mutant in MUTANTS]
    parser.add_argument("names", nargs="*", metavar="name", help=f"of {', '.join(names)}")
    parser.add_argument("--out", type=Path, default=ROOT / "var" / "mutants.json")
    args = parser.parse_args()
    if unknown := set(args.names) - set(names):
        parser.error(f"no such mutant: {', '.join(sorted(unknown))}")
    chosen = [mutant for mutant in MUTANTS if not args.names or mutant.name in args.names]
    check_texts(chosen)
    each = list(try_all(chosen))
    outcomes = [one["outcome"] for one in each]
    result = {
        "mutants": len(each),
        "killed": outcomes.count("killed"),
        "survived": outcomes.count("survived"),
        "missed": outcomes.count("missed"),
        "each": each,
    }
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(result, indent=1) + "\n")
    print(f"{result['killed']} of {result['mutants']} killed")
    sys.exit(result["killed"] != result["mutants"])


def check_texts(mutants: Iterable[Mutant]) -> None:
    """Check all texts before a campaign runs. Errors: GuardMoved."""
    for mutant in mutants:
        for change in (METER, *mutant.aside, *mutant.changes, *mutant.meter):
            apply(change, ROOT, dry=True)


def apply(change: Change, tree: Path, *, dry: bool = False) -> None:
    """Errors: GuardMoved."""
    path = tree / change.path
    text = path.read_text()
    if text.count(change.old) != 1:
        raise GuardMoved(f"{change.path} has {text.count(change.old)} times: {change.old}")
    if not dry:
        path.write_text(text.replace(change.old, change.new))


def try_all(mutants: Iterable[Mutant]) -> Iterator[Json]:
    """Run each mutant and its control. Mutants with the same form and control share one."""
    controls: dict[object, Json] = {}
    for mutant in mutants:
        began = time.monotonic()
        for seed in SEEDS:
            which = mutant.form, mutant.aside, mutant.meter, seed
            if which not in controls:
                controls[which] = campaign(mutant.form, (*mutant.aside, *mutant.meter), seed)
            found = campaign(mutant.form, (*mutant.aside, *mutant.changes), seed)
            met = times_met(mutant, controls[which], found)
            outcome, how = judge(controls[which], found, met)
            print(f"{mutant.name}: {outcome}, met its guard {met} times. {how}", flush=True)
            if outcome != "missed":
                break
        yield {
            "name": mutant.name,
            "guard": mutant.guard,
            "description": mutant.description,
            "outcome": outcome,
            "met": met,
            "how": how,
            "form": mutant.form,
            "seed": seed,
            "seconds": round(time.monotonic() - began, 1),
        }


def times_met(mutant: Mutant, control: Json, found: Json) -> int:
    if mutant.point:
        died_at: dict[str, int] = (found.get("faults", {}) | found).get("died_at", {})
        return died_at.get(mutant.point, 0)
    return int((control if mutant.meter else found).get("met", 0))


def judge(control: Json, found: Json, met: int) -> tuple[str, str]:
    """Say killed; survived; missed: it passed, but the guard was not met; or invalid: the control
    failed, or the mutant did not finish."""
    if control["failures"]:
        return "invalid", f"the control fails: {control['failures'][0][:SHOWN]}"
    if "seed" not in found:
        return "invalid", found["failures"][0][:SHOWN]
    if not found["failures"]:
        return ("survived" if met else "missed"), "the campaign passed"
    return "killed", "; ".join(failure[:SHOWN] for failure in found["failures"][:3])


def campaign(form: str, changes: Iterable[Change], seed: int) -> Json:
    """Run a campaign in a changed copy of the tree; return its result, or only {failures: why}
    when it did not finish."""
    with copy_of_tree() as tree:
        for change in (METER, *changes):
            apply(change, tree)
        return conduct(tree, form, seed)


def conduct(tree: Path, form: str, seed: int) -> Json:
    out, met = tree / "result.json", tree / "met"
    met.mkdir()
    if form.startswith("tests/"):
        return run_test(tree, form, seed, met)
    module = "ops.chaos.money" if form in FORMS else "ops.chaos"
    command = [sys.executable, "-m", module, "--form", form, "--seed", str(seed), "--out", str(out)]
    with (tree / "log").open("wb") as log:
        try:
            done = subprocess.run(
                command, cwd=tree, stdout=log, stderr=subprocess.STDOUT, timeout=TIMEOUT_S,
                env={**os.environ, VARIABLE: str(met)},
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return {"failures": [f"the campaign was not over after {TIMEOUT_S} s"]}
    if not out.exists():
        last = (tree / "log").read_text().strip().splitlines()[-1:]
        return {"failures": [f"the campaign broke off ({done.returncode}): {last}"]}
    result: Json = json.loads(out.read_text())
    return result


def run_test(tree: Path, test: str, seed: int, met: Path) -> Json:
    """Run a test in place of a campaign; its failure is the result's only one."""
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", test]
    done = subprocess.run(
        command, cwd=tree, capture_output=True, text=True, timeout=TIMEOUT_S,
        env={**os.environ, VARIABLE: str(met)},
    )  # fmt: skip
    last = done.stdout.strip().splitlines()[-2:]
    only_set_up = " error" in last[-1] and " failed" not in last[-1]
    if done.returncode not in (0, 1) or only_set_up:  # 1: a test failed
        return {"failures": [f"the test broke off ({done.returncode}): {last}"]}
    times = met / "met"
    lines = times.read_text().splitlines() if times.exists() else []
    return {"seed": seed, "failures": last[:1] if done.returncode else [], "met": len(lines)}


@contextmanager
def copy_of_tree() -> Iterator[Path]:
    """A temporary copy of this checkout."""
    with tempfile.TemporaryDirectory(prefix="usher-mutant-") as folder:
        copy_checkout(Path(folder))
        yield Path(folder)


if __name__ == "__main__":
    main()
