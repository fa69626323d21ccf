"""Names as the contract writes them. The rules of validity have seen to their form."""

from uuid import UUID


def read_reward(name: str) -> str:
    return name.removeprefix("rewards/")


def read_member(name: str) -> UUID:
    return UUID(name.removeprefix("members/"))


def read_owned(name: str) -> tuple[UUID, UUID]:
    """The member and the id in "members/{member}/{collection}/{id}"."""
    _, member, _, owned = name.split("/")
    return UUID(member), UUID(owned)


def owner(name: str) -> str:
    """The "members/{member}" that a name begins with."""
    return "/".join(name.split("/")[:2])


def read_pool(name: str) -> str:
    return name.removeprefix("codePools/")


def read_segment(name: str) -> str:
    return name.removeprefix("segments/")
