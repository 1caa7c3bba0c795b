"""Sealed secrets: they open in their place alone, and keys can be changed."""

from collections.abc import Callable

import pytest

from db.accounts import secrets
from db.connections import Conn
from db.runtime.errors import Conflict
from db.runtime.sealing import (
    CannotOpen,
    Place,
    Purpose,
    Sealed,
    open_sealed,
    open_to_verify,
    seal,
)
from db.runtime.settings import SettingsError, read_settings, settings
from ops.console.commands import read_command
from ops.deploy.migrate import check_encryption_keys

KEY = Place("stripe_key", "7", 1)
SECRET = "sk_live_of_the_opera"

SetKeys = Callable[[str], None]


@pytest.fixture
def set_keys(configured: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> SetKeys:
    def put(value: str) -> None:
        monkeypatch.setenv("ENCRYPTION_KEYS", value)
        settings.cache_clear()

    return put


def keep(conn: Conn, place: Place = KEY, secret: str = SECRET) -> Sealed:
    if place.organisation_id:
        conn.execute(
            "insert into organisations (id, name) overriding system value values (%s, 'Opera')"
            " on conflict do nothing",
            [place.organisation_id],
        )
    secrets.keep_secret(conn, place, secret)
    found = secrets.find_secret(conn, place)
    assert found is not None
    return found


def test_a_secret_is_kept_sealed_and_replaced(conn: Conn, configured: dict[str, str]) -> None:
    sealed = keep(conn)
    assert sealed.key_id == "tests"
    assert SECRET not in sealed.text
    assert open_sealed(sealed) == SECRET
    assert open_sealed(keep(conn, secret="another")) == "another"
    secrets.forget_secret(conn, KEY)
    assert secrets.find_secret(conn, KEY) is None


OTHERS = [
    Place("stripe_key", "8", 1),
    Place("stripe_key", "7", 2),
    Place("stripe_key", "7", None),
    Place("stripe_webhook_secret", "7", 1),
]


@pytest.mark.parametrize("place", OTHERS, ids=str)
def test_a_secret_opens_in_its_place_alone(place: Place, configured: dict[str, str]) -> None:
    with pytest.raises(CannotOpen, match="does not belong"):
        open_sealed(Sealed(place, seal(KEY, SECRET).text))


def test_secrets_that_were_swapped_between_rows_do_not_open(
    conn: Conn, configured: dict[str, str]
) -> None:
    other = Place("stripe_key", "8", 1)
    keep(conn), keep(conn, other, "sk_live_of_the_circus")
    conn.execute(
        "update sealed_secrets s set sealed = o.sealed from sealed_secrets o"
        " where o.owner <> s.owner"
    )
    for place in (KEY, other):
        found = secrets.find_secret(conn, place)
        assert found is not None
        with pytest.raises(CannotOpen):
            open_sealed(found)


def test_a_request_opens_only_what_it_is_checked_with(configured: dict[str, str]) -> None:
    seed = Place("totp_seed", "3")
    assert open_to_verify(seal(seed, "seed")) == "seed"
    with pytest.raises(ValueError, match="stripe_key"):
        open_to_verify(seal(KEY, SECRET))


@pytest.mark.parametrize("purpose", Purpose.__args__)  # type: ignore[attr-defined]
def test_the_table_takes_each_purpose(
    purpose: Purpose, conn: Conn, configured: dict[str, str]
) -> None:
    assert open_sealed(keep(conn, Place(purpose, "7"))) == SECRET


def test_without_keys_nothing_is_sealed(conn: Conn, set_keys: SetKeys) -> None:
    set_keys("")
    with pytest.raises(Conflict, match="ENCRYPTION_KEYS"):
        secrets.keep_secret(conn, KEY, SECRET)


A, B = f"a:{'B' * 43}=", f"b:{'C' * 42}8="


@pytest.mark.parametrize(
    "value", ["a", "a:", "a:c2hvcnQ=", f"A{A}", f"{A},{A}", A.replace(":", " "), f"{A[:-4]}....="]
)
def test_a_wrong_key_stops_the_process(value: str, configured: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match="secrets new-key"):
        read_settings({**configured, "ENCRYPTION_KEYS": value})


def test_keys_are_changed_while_both_are_known(
    conn: Conn, set_keys: SetKeys, capsys: pytest.CaptureFixture[str], database_url: str
) -> None:
    places = [Place("stripe_key", str(n), 1) for n in range(secrets.BATCH + 5)]
    set_keys(A)
    for place in places:
        keep(conn, place)
    set_keys(B)
    with pytest.raises(SystemExit, match="lacks a"):
        check_encryption_keys(database_url)
    set_keys(f"{B}, {A}")
    check_encryption_keys(database_url)
    console("reseal")
    assert "105 secrets sealed anew with key b" in capsys.readouterr().out
    set_keys(B)
    assert secrets.count_by_key(conn) == {"b": len(places)}
    assert open_sealed(keep(conn, places[0])) == SECRET
    found = secrets.find_secret(conn, places[-1])
    assert found is not None
    assert open_sealed(found) == SECRET


def test_what_does_not_open_is_named_and_left(
    conn: Conn, set_keys: SetKeys, capsys: pytest.CaptureFixture[str]
) -> None:
    set_keys(A)
    before = keep(conn)
    set_keys(B)
    with pytest.raises(SystemExit, match="1 secrets could not be opened"):
        console("reseal")
    assert "stripe_key 7" in capsys.readouterr().err
    assert secrets.find_secret(conn, KEY) == before
    console("list")
    assert "a                      1 secrets  not in ENCRYPTION_KEYS" in capsys.readouterr().out


def console(*words: str) -> None:
    wanted = read_command(["secrets", *words])
    wanted.run(wanted)


def test_a_made_key_is_one_that_the_setting_takes(
    configured: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    console("new-key", "--id", "k1")
    made = capsys.readouterr().out.strip()
    keys = read_settings({**configured, "ENCRYPTION_KEYS": made}).sealing_keys
    assert [(id, len(key)) for id, key in keys.items()] == [("k1", 32)]
