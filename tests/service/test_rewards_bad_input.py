"""Requests that are wrong in themselves: refused by the field, and nothing changed."""

from typing import Any

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from loyalty.rewards.v1 import catalogue_pb2 as catalogue
from loyalty.rewards.v1 import vouchers_pb2 as vouchers

from tests.service.contents import contents
from tests.service.refusals import refused
from tests.service.rewards_calls import MEMBER, Rewards, new_id
from tests.service.rewards_desk import definition

BEYOND = Timestamp(seconds=253_402_300_800)
TEXT = catalogue.RewardTexts(title="A coffee")


def described(**fields: Any) -> catalogue.CreateRewardRequest:
    return catalogue.CreateRewardRequest(
        request_id=new_id(), name="rewards/tea", definition=definition(**fields)
    )


def at_till(**fields: Any) -> vouchers.RedeemVoucherRequest:
    usual = {
        "request_id": new_id(),
        "code": "any",
        "store": "31",
        "terminal": "4",
        "receipt_number": "R-1",
    }
    return vouchers.RedeemVoucherRequest(**{**usual, **fields})


def uploading(**fields: Any) -> vouchers.UploadCodesRequest:
    usual = {"pool": "codePools/a", "upload_id": new_id(), "first_line": 1, "codes": ["AAAA"]}
    return vouchers.UploadCodesRequest(**{**usual, **fields})


def voucher(**fields: Any) -> catalogue.VoucherDefinition:
    return catalogue.VoucherDefinition(generated=catalogue.GeneratedCode(), **fields)


# A request, and the field it is wrong in.
WRONG: tuple[tuple[Message, str], ...] = (
    (
        catalogue.CreateRewardRequest(request_id="1", name="rewards/tea", definition=definition()),
        "request_id",
    ),
    (catalogue.GetRewardRequest(name="rewards/Tea"), "name"),
    (catalogue.GetRewardRequest(name="rewards/tea/versions/1"), "name"),
    (catalogue.GetRewardRequest(name=f"rewards/{'a' * 64}"), "name"),
    (described(kind=catalogue.REWARD_KIND_UNSPECIFIED), "definition.kind"),
    (described(kind=99), "definition.kind"),
    (described(texts={}), "definition.texts"),
    (described(texts={"en us": TEXT}), "definition.texts[en us]"),
    (described(texts={"en": catalogue.RewardTexts()}), "definition.texts[en].title"),
    (
        described(texts={"en": catalogue.RewardTexts(title="a\0b")}),
        "definition.texts[en].title",
    ),
    (described(picture_urls=["http://pictures.example/a"]), "definition.picture_urls[0]"),
    (described(picture_urls=["https://a b/"]), "definition.picture_urls[0]"),
    (described(picture_urls=["javascript:alert(1)"]), "definition.picture_urls[0]"),
    (described(points=0), "definition.points"),
    (described(points=-1), "definition.points"),
    (described(points=10**12), "definition.points"),
    (described(prices=[catalogue.RewardPrice(tiers=["a"])]), "definition.prices[0].points"),
    (described(money_minor=-1), "definition.money_minor"),
    (described(currency_code="chf"), "definition.currency_code"),
    (described(end_time=BEYOND), "definition.end_time"),
    (described(channels=[catalogue.CHANNEL_APP] * 2), "definition.channels"),
    (described(channels=[catalogue.CHANNEL_UNSPECIFIED]), "definition.channels[0]"),
    (described(stores=["a/b"]), "definition.stores[0]"),
    (described(tiers=["Gold"]), "definition.tiers[0]"),
    (
        described(member_limits=[catalogue.MemberLimit(most=1)]),
        "definition.member_limits[0].period",
    ),
    (
        described(member_limits=[catalogue.MemberLimit(period=1, most=0)]),  # type: ignore[arg-type]
        "definition.member_limits[0].most",
    ),
    (described(voucher=catalogue.VoucherDefinition()), "definition.voucher.code"),
    (described(voucher=voucher(life_days=0)), "definition.voucher.life_days"),
    (
        described(voucher=catalogue.VoucherDefinition(pool="cinema")),
        "definition.voucher.pool",
    ),
    (described(voucher=voucher(value_minor=-1)), "definition.voucher.value_minor"),
    (
        catalogue.SetStockRequest(name="rewards/coffee", stock=catalogue.Stock(total=-1)),
        "stock.total",
    ),
    (
        catalogue.SetStockRequest(name="rewards/coffee", stock=catalogue.Stock(stores={"": 1})),
        "stock.stores[]",
    ),
    (catalogue.SetStockRequest(name="rewards/coffee"), "stock"),
    (catalogue.PublishRewardRequest(name="rewards/coffee", version=-1), "version"),
    (catalogue.ListRewardsRequest(member="members/1"), "member"),
    (catalogue.ListRewardsRequest(page_size=-1), "page_size"),
    (catalogue.ListRewardsRequest(channel=9), "channel"),  # type: ignore[arg-type]
    (catalogue.SetSegmentRequest(segment="parents"), "segment"),
    (
        catalogue.SetSegmentRequest(segment="segments/a", added_members=[MEMBER, "members/2"]),
        "added_members[1]",
    ),
    (vouchers.GetVoucherRequest(name=f"{MEMBER}/vouchers/1"), "name"),
    (at_till(request_id=""), "request_id"),
    (at_till(code=""), "code"),
    (at_till(code="a\0b"), "code"),
    (at_till(code="a" * 201), "code"),
    (at_till(store=""), "store"),
    (at_till(terminal="a b"), "terminal"),
    (at_till(receipt_number=""), "receipt_number"),
    (at_till(amount_minor=-1), "amount_minor"),
    (at_till(currency_code="francs"), "currency_code"),
    (at_till(business_time=BEYOND), "business_time"),
    (vouchers.RevokeVoucherRequest(name=f"{MEMBER}/vouchers/{new_id()}"), "reason"),
    (
        vouchers.UndoVoucherRedemptionRequest(
            redeem_request_id="1", store="31", receipt_number="R-1"
        ),
        "redeem_request_id",
    ),
    (uploading(pool="cinema"), "pool"),
    (uploading(first_line=0), "first_line"),
    (uploading(codes=[]), "codes"),
)


async def test_what_is_wrong_is_refused_by_its_field(rewards: Rewards) -> None:
    await rewards.offer()
    before = contents(rewards.database_url)
    wrong = {}
    for request, field in WRONG:
        method = type(request).__name__.removesuffix("Request")
        is_of_vouchers = request.DESCRIPTOR.file is vouchers.DESCRIPTOR
        stub = rewards.vouchers if is_of_vouchers else rewards.catalogue
        refusal = await refused(getattr(stub, method)(request, metadata=rewards.everything))
        if (refusal.reason, refusal.fields) != ("INVALID_REQUEST", (field,)):
            wrong[field] = refusal
    assert wrong == {}
    assert contents(rewards.database_url) == before


async def test_quotes_and_braces_are_text_like_any_other(rewards: Rewards) -> None:
    hostile = '\'; DROP TABLE rewards; -- {"a"} \\ %s %(x)s \U0001f381'
    texts = {"en": catalogue.RewardTexts(title=hostile, description=hostile, terms=hostile)}
    await rewards.offer(texts=texts)
    (shown,) = await rewards.shown()
    assert shown.texts == texts["en"]
    assert (await rewards.upload(hostile, 'A"}{,NULL', "AAAA\\")).bad == 3
    (held,) = await rewards.issued()
    refusal = await refused(rewards.use(held, code=hostile))
    assert refusal.reason == "VOUCHER_NOT_FOUND"
