"""A business registers: once, with sound data, and can sign in at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from bais_gates import Evidence, Unique
from bais_gates.bais import Api, not_answered
from bais_gates.probes import Response

PATH = "/api/v1/auth/register"
AT_ONCE = 6
WEAK = {
    "nine characters": "Aa1!aaaaa",
    "no upper case": "aa1!aaaaaaaa",
    "no lower case": "AA1!AAAAAAAA",
    "no digit": "Aaa!aaaaaaaa",
    "no symbol": "Aaa1aaaaaaaa",
    "empty": "",
}
NO_ADDRESS = {
    "no at": "example.com",
    "no user": "@example.com",
    "no domain": "someone@",
    "a space": "some one@example.com",
    "two ats": "some@one@example.com",
}
REQUIRED = ("email", "password", "business_name", "contact_name")


@pytest.mark.gate("acceptance.user_registration")
def test_user_registration(api: Api, unique: Unique, evidence: Evidence) -> None:
    """A business registers once and signs in; weak, invalid, incomplete, second registrations do nothing."""
    answers: list[Response] = []
    person = _person(unique)
    _registers_and_signs_in(api, person, answers, evidence)
    _is_its_own(api, unique, answers, evidence)
    _is_refused_a_second_time(api, person, unique, answers, evidence)
    _only_one_of_many_at_once(api, unique, answers, evidence)
    _unsound_data_is_refused(api, unique, answers, evidence)
    violations = {one for answer in answers for one in api.conforms(answer, "POST", PATH)}
    evidence.check("contract violations of all registrations", sorted(violations), "==", [], n=len(answers))
    told = sum(_password_of(answer, person) for answer in answers)
    evidence.check("answers that hold the password", told, "==", 0, n=len(answers))


def _person(unique: Unique, **fields: object) -> dict[str, object]:
    return {
        "email": unique.email("register"),
        "password": unique.password(),
        "business_name": unique.word("business"),
        "contact_name": "Gate Keeper",
        "phone": "+1-555-0123",
        **fields,
    }


def _sign_in(api: Api, person: dict[str, object]) -> int:
    return api.login(str(person["email"]), str(person["password"])).status


def _password_of(answer: Response, person: dict[str, object]) -> bool:
    return str(person["password"]) in answer.text


def _registers_and_signs_in(
    api: Api, person: dict[str, object], answers: list[Response], evidence: Evidence
) -> None:
    made = api.register(**person)
    answers.append(made)
    evidence.require("registration status", made.status, "==", 201, source=made.url)
    signed_in = api.login(str(person["email"]), str(person["password"]))
    evidence.check("status of signing in right after", signed_in.status, "==", 200)
    token = signed_in.field("access_token")
    with_token = api.post("/api/v1/auth/api-keys", json={"name": "first key"}, token=token or "none")
    evidence.check("status of using the token right after", with_token.status, "==", 201)


def _is_its_own(api: Api, unique: Unique, answers: list[Response], evidence: Evidence) -> None:
    """See that the least that is sound is enough (ten characters, no phone), and gets its own ids."""
    least = _person(unique, password=f"Aa1!{unique.password()[4:10]}")
    del least["phone"]
    answers.append(api.register(**least))
    evidence.check("status with the shortest password and no phone", answers[-1].status, "==", 201)
    for key in ("user_id", "verification_token"):
        values = {str(answer.field(key)) for answer in answers if answer.field(key)}
        evidence.check(f"different {key} of {len(answers)} registrations", len(values), "==", len(answers))


def _is_refused_a_second_time(
    api: Api, person: dict[str, object], unique: Unique, answers: list[Response], evidence: Evidence
) -> None:
    user, _, domain = str(person["email"]).partition("@")
    intruder = _person(unique, email=person["email"])
    seconds = {
        "the same e-mail": intruder,
        "the domain in capitals": {**intruder, "email": f"{user}@{domain.upper()}"},
    }
    tried = {name: api.register(**second) for name, second in seconds.items()}
    answers.extend(tried.values())
    accepted = not_answered(409, tried)
    evidence.check("second registrations not answered 409", accepted, "==", {}, n=len(tried))
    evidence.check("sign-in with the second one's password", _sign_in(api, intruder), "==", 401)
    evidence.check("sign-in with the first one's password", _sign_in(api, person), "==", 200)


def _only_one_of_many_at_once(api: Api, unique: Unique, answers: list[Response], evidence: Evidence) -> None:
    email = unique.email("register")
    people = [_person(unique, email=email) for _ in range(AT_ONCE)]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        tried = list(pool.map(lambda person: api.register(**person), people))
    answers.extend(tried)
    statuses = sorted(answer.status for answer in tried)
    evidence.check(
        f"statuses of {AT_ONCE} registrations of one e-mail at once",
        statuses,
        "==",
        [201] + [409] * (AT_ONCE - 1),
    )
    winners = [person for person, answer in zip(people, tried, strict=True) if answer.status == 201]
    losers = [person for person, answer in zip(people, tried, strict=True) if answer.status != 201]
    evidence.check(
        "sign-in with the accepted one's password", [_sign_in(api, person) for person in winners], "==", [200]
    )
    evidence.check(
        "sign-in with a refused one's password", [_sign_in(api, losers[0])] if losers else [], "==", [401]
    )


def _unsound_data_is_refused(api: Api, unique: Unique, answers: list[Response], evidence: Evidence) -> None:
    weak = {name: _person(unique, password=password) for name, password in WEAK.items()}
    invalid = {name: _person(unique, email=email) for name, email in NO_ADDRESS.items()}
    without = {name: _person(unique, **{name: None}) for name in REQUIRED}
    for person, name in zip(without.values(), REQUIRED, strict=True):
        del person[name]
    for group, people in (
        ("a weak password", weak),
        ("an invalid e-mail", invalid),
        ("a missing field", without),
    ):
        tried = {name: api.register(**person) for name, person in people.items()}
        answers.extend(tried.values())
        accepted = not_answered(400, tried)
        evidence.check(f"registrations with {group} not answered 400", accepted, "==", {}, n=len(tried))
    refused = weak["no symbol"]
    evidence.check("sign-in with a refused weak password", _sign_in(api, refused), "==", 401)
    sound = api.register(**{**refused, "password": unique.password()})
    answers.append(sound)
    evidence.check("a refused registration left the e-mail free: status", sound.status, "==", 201)
