"""Sign-in of browsers: cookie and proof, and codes that work once."""

from __future__ import annotations

from control.console.session import LIFETIME_S, Codes, begin, cookie_name, cookies_in, holder
from router.process.tokens import Token

ANN, BOB = Token("ann", "write", "secret-a"), Token("bob", "read", "secret-b")
NOW = 1_700_000_000.0


def test_cookie_and_proof_together_are_their_token() -> None:
    for token in (ANN, BOB):
        session = begin(token, NOW)
        assert holder([ANN, BOB], [session.cookie], session.proof, NOW + 60) is token
        assert token.value not in session.cookie + session.proof


def test_either_alone_or_of_another_session_is_nobodys() -> None:
    one, other = begin(ANN, NOW), begin(ANN, NOW)
    assert holder([ANN], [one.cookie], "", NOW) is None
    assert holder([ANN], [""], one.proof, NOW) is None
    assert holder([ANN], [one.cookie], other.proof, NOW) is None
    assert holder([ANN], [one.cookie], begin(BOB, NOW).proof, NOW) is None
    assert holder([ANN], [one.cookie], "\udcff", NOW) is None


def test_a_session_dies_with_its_token_and_with_time() -> None:
    session = begin(ANN, NOW)
    assert holder([BOB], [session.cookie], session.proof, NOW) is None
    renewed = Token("ann", "write", "another")
    assert holder([renewed], [session.cookie], session.proof, NOW) is None
    assert holder([ANN], [session.cookie], session.proof, NOW + LIFETIME_S + 1) is None


def test_what_is_no_cookie_of_ours_is_nobodys() -> None:
    session = begin(ANN, NOW)
    expiry, nonce, mac = session.cookie.split(".")
    longer = f"{int(expiry) + 1}.{nonce}.{mac}"
    for cookie in (
        "",
        "a",
        "a.b.c",
        "1.2.3.4",
        longer,
        f"{nonce}.{expiry}.{mac}",
        "٣.a.b",
        "x" * 999,
    ):
        assert holder([ANN], [cookie], session.proof, NOW) is None


def test_a_code_signs_in_once_and_not_for_ever() -> None:
    now = 0.0
    codes = Codes(lambda: now)
    code = codes.make(ANN)
    assert codes.take(code) is ANN
    assert codes.take(code) is None
    late = codes.make(ANN)
    now = 3601.0
    assert codes.take(late) is None
    assert codes.take("guess") is None


def test_codes_are_bounded_and_the_newest_stay() -> None:
    codes = Codes(lambda: 0.0)
    made = [codes.make(ANN) for _ in range(150)]
    assert codes.take(made[0]) is None
    assert codes.take(made[-1]) is ANN


def test_a_cookie_that_another_program_set_beside_ours_locks_nobody_out() -> None:
    session = begin(ANN, NOW)
    name = cookie_name("127.0.0.1:8081")
    ours = f"{name}={session.cookie}"
    for header in (ours, f"{name}=x; {ours}", f"{ours}; {name}=1.2.3", f'a="b;c"; {ours} ;{name}='):
        given = cookies_in([header], "127.0.0.1:8081")
        assert holder([ANN], given, session.proof, NOW) is ANN
    many = "; ".join([f"{name}=x"] * 10_000)
    assert len(list(cookies_in([many], "127.0.0.1:8081"))) < 100


def test_servers_on_two_ports_of_a_host_have_a_cookie_each() -> None:
    names = [cookie_name(host) for host in ("127.0.0.1:8081", "[::1]:8082", "turnout.example")]
    assert len(set(names)) == 3
    assert all(name.replace("_", "").isalnum() for name in names)
