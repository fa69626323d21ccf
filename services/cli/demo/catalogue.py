"""The demo's rewards, in the order in which a household looks through them."""

from dataclasses import dataclass

from loyalty.rewards.v1 import catalogue_pb2, catalogue_pb2_grpc

from services.cli.demo.requests import CURRENCY_CODE, request_id
from services.plumbing.grpc_client import bearer, channel

CALL_SECONDS_MAX = 30.0
VOUCHER_LIFE_DAYS = 365
KINDS = {
    "product": catalogue_pb2.REWARD_KIND_PRODUCT,
    "experience": catalogue_pb2.REWARD_KIND_EXPERIENCE,
    "voucher": catalogue_pb2.REWARD_KIND_VOUCHER,
    "gift": catalogue_pb2.REWARD_KIND_PARTNER_GIFT,
    "donation": catalogue_pb2.REWARD_KIND_DONATION,
}


@dataclass(frozen=True, slots=True)
class DemoReward:
    """value_minor is what a gift voucher is worth; zero for what is handed over for the voucher."""

    code: str
    kind: str
    points: int
    title: str
    title_es: str
    description: str
    value_minor: int = 0

    @property
    def name(self) -> str:
        return f"rewards/{self.code}"


REWARDS = (
    DemoReward(
        "espresso-machine", "product", 3_000, "Espresso machine", "Cafetera exprés",
        "Fifteen bars, a milk frother, and a bag of beans from our roaster.",
    ),
    DemoReward(
        "knife-set", "product", 2_400, "Kitchen knives", "Cuchillos de cocina",
        "Three forged knives in a block of beech.",
    ),
    DemoReward(
        "wine-tasting", "experience", 2_000, "Wine tasting for two", "Cata de vinos para dos",
        "Six wines of the region with our sommelier, on any Friday evening.",
    ),
    DemoReward(
        "picnic-basket", "product", 1_900, "Picnic basket", "Cesta de pícnic",
        "Bread, cheese, fruit and lemonade for four, ready at the store of your choice.",
    ),
    DemoReward(
        "gift-card-20", "voucher", 1_800, "Gift card of $20", "Tarjeta regalo de 20 $",
        "Pay with it in any of our stores, in parts too.", value_minor=2_000,
    ),
    DemoReward(
        "cinema-for-two", "gift", 1_700, "Cinema for two", "Cine para dos",
        "Two seats and popcorn at a cinema of our partner.",
    ),
    DemoReward(
        "cooking-class", "experience", 1_650, "Cooking class", "Clase de cocina",
        "An evening in our school of cooking, what was cooked included.",
    ),
    DemoReward(
        "coffee-and-cake", "product", 1_600, "Coffee and cake for a month", "Café y pastel un mes",
        "Every Saturday of a month at our bakery's counter.",
    ),
    DemoReward(
        "tree-planted", "donation", 1_550, "A tree planted", "Un árbol plantado",
        "We plant an oak in the city's forest and write where it stands.",
    ),
    DemoReward(
        "voucher-15", "voucher", 1_500, "Voucher of $15", "Vale de 15 $",
        "For anything but fuel and tobacco.", value_minor=1_500,
    ),
)  # fmt: skip


def publish_catalogue(*, rewards_address: str, token: str) -> None:
    """Create and publish the rewards; those published before stay as they are."""
    metadata = bearer(token)
    with channel(rewards_address, seconds_max=CALL_SECONDS_MAX) as opened:
        catalogue = catalogue_pb2_grpc.CatalogueServiceStub(opened)
        for reward in REWARDS:
            catalogue.CreateReward(
                catalogue_pb2.CreateRewardRequest(
                    request_id=request_id("reward", reward.code),
                    name=reward.name,
                    definition=definition(reward),
                ),
                metadata=metadata,
            )
            catalogue.PublishReward(
                catalogue_pb2.PublishRewardRequest(name=reward.name), metadata=metadata
            )


def definition(reward: DemoReward) -> catalogue_pb2.RewardDefinition:
    english = catalogue_pb2.RewardTexts(title=reward.title, description=reward.description)
    found = catalogue_pb2.RewardDefinition(
        kind=KINDS[reward.kind],
        texts={"en": english, "es": catalogue_pb2.RewardTexts(title=reward.title_es)},
        default_language="en",
        points=reward.points,
    )
    if reward.kind != "donation":
        found.voucher.generated.SetInParent()
        found.voucher.life_days = VOUCHER_LIFE_DAYS
    if reward.value_minor:
        found.voucher.value_minor = reward.value_minor
        found.voucher.currency_code = CURRENCY_CODE
        found.voucher.partial_use = True
    return found


def first_affordable(points: int) -> DemoReward | None:
    """What a household with so many points takes."""
    return next((reward for reward in REWARDS if reward.points <= points), None)
