"""The console's commands for durable tasks and dead letters."""

import argparse
import json
from typing import Any
from uuid import UUID

from db.connections import transaction
from db.durable import dead_letters, outbox
from db.runtime.errors import InvalidRequest
from ops.console.arguments import line

Nouns = Any  # argparse's own type for them is private


def list_dead_letters(wanted: argparse.Namespace) -> None:
    open_ones = {"open": True, "resolved": False, "all": None}[wanted.state]
    with transaction() as conn:
        letters = dead_letters.list_dead_letters(
            conn, chosen(wanted) | {"open": open_ones}, wanted.limit
        )
    for letter in letters:
        about = f"event {letter['event_id'] or '-'}  booking {letter['booking_id'] or '-'}"
        end = f"  [{letter['resolution']}]" if letter["resolution"] else ""
        print(
            f"{letter['id']:>6}  {letter['died_at']:%Y-%m-%d %H:%M:%S}  {letter['actor']:<16}  "
            f"{about}  {letter['reason'][:100]}{end}"
        )


def show_dead_letter(wanted: argparse.Namespace) -> None:
    with transaction() as conn:
        letter = dead_letters.get_dead_letter(conn, wanted.letter)
    print(json.dumps(letter, indent=2, default=str))


def retry_dead_letters(wanted: argparse.Namespace) -> None:
    """Retry the named dead letters one by one; or up to --limit of those that the filters match."""
    if not wanted.letters and not wanted.all:
        raise InvalidRequest("Name the dead letters to retry, or choose them: --all --actor …")
    with transaction(wanted.who) as conn:
        if wanted.all:
            done = dead_letters.retry_many(conn, chosen(wanted), wanted.limit)
        else:
            retried = [dead_letters.retry(conn, letter) for letter in wanted.letters]
            done = {"retried": retried, "refused": []}
    for letter in done["retried"]:
        print(f"{letter['id']:>6}  {letter['outcome']} as task {letter['task_id']}")
    for letter in done["refused"]:
        print(f"{letter['id']:>6}  {letter['why']}")


def discard_dead_letter(wanted: argparse.Namespace) -> None:
    with transaction(wanted.who) as conn:
        dead_letters.discard(conn, wanted.letter, wanted.because)


def chosen(wanted: argparse.Namespace) -> dict[str, Any]:
    """The filters of CHOICES that were given."""
    return {name: getattr(wanted, name) for name in dead_letters.CHOICES}


def list_tasks(wanted: argparse.Namespace) -> None:
    with transaction() as conn:
        tasks = outbox.list_tasks(
            conn,
            starting_after=wanted.starting_after,
            limit=wanted.limit,
            actor=wanted.actor,
            event_id=wanted.event_id,
            state=wanted.state,
        )
    for task in tasks:
        print(
            f"{task['id']:>8}  {task['state']:<8}  {task['run_at']:%Y-%m-%d %H:%M:%S}  "
            f"{task['actor']:<16}  event {task['event_id'] or '-'}  {json.dumps(task['args'])}  "
            f"failures {task['failures']}, claims {task['claims']}  {task['last_error'] or ''}"
        )


def list_actors(wanted: argparse.Namespace) -> None:
    """Print each actor's policy: queue, lease, retries, and what happens when they are used up."""
    from tasks.durable.leases import MAX_CLAIMS, policies
    from tasks.main import broker  # declares them

    print(
        f"{'actor':<18} {'queue':<9} {'batch':>5} {'lease':>6} {'failures':>8} "
        f"{'backoff':>12}  at the end"
    )
    for name, policy in sorted(policies.items()):
        backoff = f"{policy.base_delay:g}..{policy.longest_delay:g} s"
        end = "dead letter, retried" if policy.keep else "dead letter"
        about = (broker.get_actor(name).fn.__doc__ or "").split(". ")[0].split("\n")[0]
        print(
            f"{name:<18} {policy.queue:<9} {policy.batch:>5} {policy.lease:>4g} s "
            f"{policy.failures:>8} {backoff:>12}  {end:<26} {about}"
        )
    print(f"\nAny task is a dead letter after {MAX_CLAIMS} leases without an outcome.")


def add_choices(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--actor")
    parser.add_argument("--event", dest="event_id", type=int, metavar="N")
    parser.add_argument("--booking", dest="booking_id", type=UUID, metavar="UUID")
    parser.add_argument("--buyer", dest="buyer_id", type=int, metavar="N")
    parser.add_argument("--older-than", type=float, metavar="SECONDS")
    parser.add_argument("--newer-than", type=float, metavar="SECONDS")
    parser.add_argument("--reason", metavar="TEXT", help="a part of the reason")
    parser.add_argument("--limit", type=int, default=50, metavar="N")


def add_dead_letter_commands(nouns: Nouns) -> None:
    noun = nouns.add_parser("dead-letter", help="tasks that failed for good")
    verbs = noun.add_subparsers(required=True, metavar="list|show|retry|discard")
    listing = verbs.add_parser("list", help="the latest first")
    listing.add_argument("--state", choices=["open", "resolved", "all"], default="open")
    add_choices(listing)
    listing.set_defaults(run=list_dead_letters)
    show = verbs.add_parser("show", help="one, with every attempt")
    show.add_argument("letter", type=int, metavar="ID")
    show.set_defaults(run=show_dead_letter)
    retry = verbs.add_parser("retry", help="try the tasks again; repeating it does no harm")
    retry.add_argument("letters", type=int, nargs="*", metavar="ID")
    retry.add_argument("--all", action="store_true", help="all open ones that these filters match:")
    add_choices(retry)
    retry.set_defaults(run=retry_dead_letters)
    discard = verbs.add_parser("discard", help="close one and delete its task")
    discard.add_argument("letter", type=int, metavar="ID")
    discard.add_argument("--reason", dest="because", type=line, required=True, metavar="WHY")
    discard.set_defaults(run=discard_dead_letter)


def add_task_commands(nouns: Nouns) -> None:
    noun = nouns.add_parser("task", help="durable tasks that are not done")
    verbs = noun.add_subparsers(required=True, metavar="list")
    listing = verbs.add_parser("list", help="the oldest first")
    listing.add_argument("--state", choices=["due", "leased", "waiting", "failing"])
    listing.add_argument("--actor")
    listing.add_argument("--event", dest="event_id", type=int, metavar="N")
    listing.add_argument("--starting-after", type=int, default=0, metavar="ID")
    listing.add_argument("--limit", type=int, default=50, metavar="N")
    listing.set_defaults(run=list_tasks)
    nouns.add_parser("actors", help="actors and their policies").set_defaults(run=list_actors)
