"""Who may do what with the catalogue and with vouchers."""

from loyalty.rewards.v1 import catalogue_pb2, vouchers_pb2
from plumbing.v1 import access_pb2

from tests.service.contents import contents
from tests.service.refusals import refused
from tests.service.rewards_calls import Rewards

# The scope that each method wants, and the narrower one that opens it to members.
CATALOGUE = {
    "CreateReward": ("rewards.write", ""),
    "UpdateReward": ("rewards.write", ""),
    "PublishReward": ("rewards.publish", ""),
    "EndReward": ("rewards.publish", ""),
    "SetStock": ("rewards.stock", ""),
    "GetReward": ("rewards.read", ""),
    "ListRewardVersions": ("rewards.read", ""),
    "ListCatalogue": ("rewards.read", ""),
    "ListRewards": ("rewards.read", "rewards.read.own"),
    "SetSegment": ("rewards.write", ""),
}
VOUCHERS = {
    "GetVoucher": ("vouchers.read", "vouchers.read.own"),
    "ListVouchers": ("vouchers.read", "vouchers.read.own"),
    "RedeemVoucher": ("vouchers.redeem", ""),
    "UndoVoucherRedemption": ("vouchers.redeem", ""),
    "RevokeVoucher": ("vouchers.write", ""),
    "UploadCodes": ("vouchers.write", ""),
    "GetCodePool": ("vouchers.read", ""),
    "GetSigningKeys": ("vouchers.redeem", ""),
}
SERVICES = (
    (catalogue_pb2, "CatalogueService", CATALOGUE),
    (vouchers_pb2, "VoucherService", VOUCHERS),
)


def test_every_method_states_its_scopes() -> None:
    for contract, name, scopes in SERVICES:
        stated = {}
        for method in contract.DESCRIPTOR.services_by_name[name].methods:
            options = method.GetOptions().Extensions
            stated[method.name] = (
                options[access_pb2.required_scope],
                options[access_pb2.own_scope],
            )
        assert stated == scopes


async def test_every_method_is_closed_to_every_other_scope(rewards: Rewards) -> None:
    await rewards.offer()
    before = contents(rewards.database_url)
    everything = {scope for _, _, scopes in SERVICES for pair in scopes.values() for scope in pair}
    for contract, name, scopes in SERVICES:
        stub = rewards.catalogue if contract is catalogue_pb2 else rewards.vouchers
        for method, opened_by in scopes.items():
            others = everything - {"", *opened_by}
            # What is asked is not even looked at.
            request = getattr(contract, f"{method}Request")()
            call = getattr(stub, method)(request, metadata=rewards.tokens.bearer(*others))
            refusal = await refused(call)
            assert (refusal.reason, refusal.metadata) == (
                "MISSING_SCOPE",
                {"scope": opened_by[0]},
            ), f"{name}.{method}"
    assert contents(rewards.database_url) == before
