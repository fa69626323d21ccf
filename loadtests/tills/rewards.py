"""What the app's members find in the catalogue."""

import uuid

from loyalty.rewards.v1 import catalogue_pb2, catalogue_pb2_grpc

from services.plumbing.grpc_client import bearer, channel

# Titles and prices in points: some can be had after a basket or two.
REWARDS = {"coffee": ("A coffee", 10), "dessert": ("A dessert", 40), "dinner": ("A dinner", 400)}
PIECES = 1_000_000
EACH_DAY = 100


def publish_rewards(address: str, token: str) -> None:
    metadata = bearer(token)
    with channel(address) as opened:
        catalogue = catalogue_pb2_grpc.CatalogueServiceStub(opened)
        for name, (title, points) in REWARDS.items():
            creation = catalogue_pb2.CreateRewardRequest(
                request_id=str(uuid.uuid4()),
                name=f"rewards/{name}",
                definition=definition(title, points),
                stock=catalogue_pb2.Stock(total=PIECES),
            )
            catalogue.CreateReward(creation, metadata=metadata)
            publication = catalogue_pb2.PublishRewardRequest(name=creation.name)
            catalogue.PublishReward(publication, metadata=metadata)


def definition(title: str, points: int) -> catalogue_pb2.RewardDefinition:
    """A voucher with a made code, so many a day for each member."""
    limit = catalogue_pb2.MemberLimit(period=catalogue_pb2.MemberLimit.PERIOD_DAY, most=EACH_DAY)
    return catalogue_pb2.RewardDefinition(
        kind=catalogue_pb2.REWARD_KIND_VOUCHER,
        texts={"en": catalogue_pb2.RewardTexts(title=title)},
        default_language="en",
        points=points,
        member_limits=[limit],
        voucher=catalogue_pb2.VoucherDefinition(
            generated=catalogue_pb2.GeneratedCode(), life_days=30
        ),
    )
