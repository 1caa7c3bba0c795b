"""Attacks on the cache of nginx, as it is shipped: what one client asks is told to others."""

import time

from ops.hostile.addresses import forge
from ops.hostile.clients import get_raw
from ops.hostile.scene import Event, Scene
from ops.hostile.table import attack

SPELLINGS = [
    "/v1/events/{id}/./{part}",
    "/v1/events/{id}//{part}",
    "//v1/events/{id}/{part}",
    "/v1/events/{id}/{part}/../{part}",
    "/v1/events/{id}/%2e/{part}",
    "/v1/./events/{id}/{part}",
    "/v1/events/{id}/{part}?x=1",
    "/v1/events/{id}/{part}?limit=0",
    "/v1/events/{id}/{part}#x",
    "/v1/events/0{id}/{part}",
]
FRESH_S = 1.1  # a stored copy is renewed after a second: then another answer could take its place
METHOD_FORMS = [
    ("HEAD", {}),
    ("GET", {"Range": "bytes=0-0"}),
    ("GET", {"If-None-Match": "*"}),
    ("GET", {"If-Modified-Since": "Sun, 29 Nov 2099 09:00:00 GMT"}),
    ("GET", {"Authorization": "Bearer usk_nonsense"}),
    ("GET", {"X-HTTP-Method-Override": "DELETE"}),
    ("GET", {"Accept": "text/html"}),
    ("GET", {"Cookie": "session=1", "X-Forwarded-Host": "evil.example"}),
    ("OPTIONS", {}),
]


def wrong_answers(scene: Scene, event: Event, part: str, after: str = "") -> list[str]:
    """What some buyers get instead of the document."""
    buyer = scene.client(scene.nginx_url)
    answers = [buyer.get(f"{event.path}/{part}") for _ in range(3)]
    return [
        f"{part} {after}: {answer.status_code} {answer.text[:60]!r}"
        for answer in answers
        if answer.status_code != 200 or len(answer.content) < 20
    ]


@attack("H1", "buyers who get an error instead of the document", 0, needs_nginx=True, slow=True)
def another_spelling_of_a_path_is_stored(scene: Scene) -> list[str]:
    """The path of a public document is asked for in spellings that nginx normalises and Usher does
    not know, so that an error is stored where buyers look."""
    event, mallory, wrong = scene.event(), scene.address(), list[str]()
    for part in ("queue", "availability", "seats"):
        for spelling in SPELLINGS:
            target = spelling.format(id=event.id, part=part)
            time.sleep(FRESH_S if part != "seats" else 0)
            for _ in range(5):
                get_raw(scene.nginx_url, target, address=mallory)
            wrong += wrong_answers(scene, event, part, f"after {target}")
    return wrong


@attack("H1", "buyers who get an old error after the sale has opened", 0, needs_nginx=True)
def errors_are_stored_before_a_sale_opens(scene: Scene) -> list[str]:
    """A draft's documents are asked for until its sale opens, so that a 404 is told then."""
    draft, mallory = scene.draft(), scene.client(scene.nginx_url)
    for part in ("", "/queue", "/availability", "/seats") * 10:
        mallory.get(draft.path + part)
    scene.organiser.post(f"{draft.path}/open", {})
    parts = ("queue", "availability", "seats")
    return [wrong for part in parts for wrong in wrong_answers(scene, draft, part)]


@attack("H1", "requests that reach the web processes in a second", 3, needs_nginx=True)
def queries_hosts_and_tokens_pass_the_cache(scene: Scene) -> float:
    """Each request has another query, host or token, so that none is answered from the cache."""
    event, mallory = scene.event(), scene.client(scene.nginx_url)
    mallory.get(f"{event.path}/availability")
    began, passed = time.monotonic(), 0
    for n in range(60):
        answer = mallory.get(
            f"{event.path}/availability?x={n}",
            headers={"Host": f"host-{n}.example", "Authorization": f"Bearer nonsense-{n}"},
        )
        passed += answer.headers.get("X-Cache-Status") not in ("HIT", "STALE", "UPDATING")
    return passed / max(1.0, time.monotonic() - began)


@attack("H1", "buyers who get another request's answer", 0, needs_nginx=True, slow=True)
def methods_and_headers_change_what_is_stored(scene: Scene) -> list[str]:
    """A document is asked for by other methods and with headers that change the answer, when its
    copy is old, so that the changed answer is stored."""
    event, mallory, wrong = scene.event(), scene.client(scene.nginx_url), list[str]()
    for method, headers in METHOD_FORMS:
        time.sleep(FRESH_S)
        for _ in range(3):
            mallory.ask(method, f"{event.path}/queue", headers=headers)
        wrong += wrong_answers(scene, event, "queue", f"after {method} with {headers}")
    return wrong


@attack("X-Forwarded", "requests of one client that get through in a minute", 120, needs_nginx=True)
def forged_addresses_through_nginx(scene: Scene) -> float:
    """One client names another address with each request, through nginx."""
    return forge(scene, scene.client(scene.nginx_url))
