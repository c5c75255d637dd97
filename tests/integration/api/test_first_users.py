"""The first workspace and its people."""

from tests.caller import Caller
from workflow_service.accounts.models import Membership, User, Workspace
from workflow_service.accounts.services.bootstrap import (
    INITIAL_USERS,
    ensure_initial_users,
    generate_passwords,
)


def signs_in(username: str, password: str) -> bool:
    answer = Caller().post("auth/token", {"username": username, "password": password})
    return bool(answer.status_code == 200)


def test_the_first_users_can_sign_in_and_have_their_roles(db: None) -> None:
    passwords = ensure_initial_users()
    assert set(passwords) == {"admin", "developer", "approver", "operator", "viewer"}
    assert len(set(passwords.values())) == 5
    assert all(signs_in(name, password) for name, password in passwords.items())
    assert Workspace.objects.get().slug == "demo"
    roles = dict(Membership.objects.values_list("user__username", "role"))
    assert roles == {user.username: user.role.value for user in INITIAL_USERS}
    staff = set(User.objects.filter(is_staff=True).values_list("username", flat=True))
    assert staff == {"admin", "approver", "operator"}
    assert User.objects.get(is_superuser=True).username == "admin"


def test_asking_again_changes_nothing(db: None) -> None:
    passwords = ensure_initial_users()
    before = list(User.objects.order_by("id").values_list("username", "password"))
    assert ensure_initial_users() == {}
    assert ensure_initial_users(generate_passwords()).keys() == passwords.keys()
    assert list(User.objects.order_by("id").values_list("username", "password")) == before


def test_passwords_can_be_given_and_reset(db: None) -> None:
    first = ensure_initial_users({"admin": "a-given-password"})
    assert first["admin"] == "a-given-password"
    assert signs_in("admin", "a-given-password")
    assert ensure_initial_users({"admin": "another-password"}, reset=True) == {"admin": "another-password"}
    assert signs_in("admin", "another-password")
    assert signs_in("viewer", first["viewer"])
