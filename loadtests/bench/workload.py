"""The requests of the benchmark, made before the clock runs: every sale is one of its own."""

import random
import time
import uuid
from collections.abc import Iterable, Sequence

from loyalty.ledger.v1 import point_of_sale_pb2 as pos
from loyalty.rewards.v1 import catalogue_pb2, redemption_pb2
from plumbing.v1 import diagnostics_pb2

SALES_PER_CALL = 500
SALES_PER_STORE_CALL = 40
LINES_PER_BULK_SALE = 3
STORES = 100
PRODUCTS = 5_000
# Business times reach this far back, so that a wallet's sales lie days apart as real ones do.
DAYS = 300
SECONDS_PER_DAY = 86_400
CENTS_MAX = 2_000
DEPARTMENTS = ("GROCERY", "DRUG GM", "MEAT", "DELI", "PASTRY", "NUTRITION")


def card_token(wallet_id: int) -> str:
    return f"bench-{wallet_id:07d}"


class SaleMaker:
    """Makes serialized requests. Makers of one run differ by number, so no two make the same; what
    they sell is the same, as in the shops of a chain.
    """

    def __init__(self, number: int, *, wallets: int) -> None:
        self._number = number
        self._wallets = range(1, wallets + 1)
        self._made = 0
        self._random = random.Random(number)  # noqa: S311 — a workload, no secret
        self._now_seconds = int(time.time())
        self._products = [
            _product(number, DEPARTMENTS[number % len(DEPARTMENTS)]) for number in range(PRODUCTS)
        ]
        self._produce = [_product(PRODUCTS + number, "PRODUCE") for number in range(PRODUCTS // 20)]

    def ping(self) -> bytes:
        return diagnostics_pb2.PingRequest(text="ping").SerializeToString()

    def sale(self) -> bytes:
        """A RecordSaleRequest with one line."""
        return self._request(self._random.choice(self._wallets), lines=1).SerializeToString()

    def batch(self) -> bytes:
        """A BatchRecordSalesRequest over wallets drawn uniformly."""
        wallets = self._random.choices(self._wallets, k=SALES_PER_CALL)
        return self.batch_of(wallets)

    def store_batch(self) -> bytes:
        """The same, of as many sales as a store's concentrator gathers in a second or so."""
        return self.batch_of(self._random.choices(self._wallets, k=SALES_PER_STORE_CALL))

    def batch_of(self, wallets: Iterable[int]) -> bytes:
        """A BatchRecordSalesRequest with one sale for each of these wallets."""
        requests = [self._request(wallet, lines=LINES_PER_BULK_SALE) for wallet in wallets]
        return pos.BatchRecordSalesRequest(requests=requests).SerializeToString()

    def _request(self, wallet_id: int, *, lines: int) -> pos.RecordSaleRequest:
        self._made += 1
        draw = self._random
        basket = draw.choices(self._products, k=lines)
        # Every third basket holds produce, which earns extra.
        if self._made % 3 == 0:
            basket[0] = draw.choice(self._produce)
        for line in basket:
            line.amount_minor = draw.randint(50, CENTS_MAX)
        sale = pos.Sale(
            card_token=card_token(wallet_id),
            store=str(draw.randint(1, STORES)),
            terminal=str(self._number),
            receipt_number=f"{self._number}-{self._made}",
            currency_code="USD",
            lines=basket,
        )
        sale.business_time.seconds = self._now_seconds - draw.randrange(DAYS * SECONDS_PER_DAY)
        request_id = uuid.UUID(int=draw.getrandbits(128), version=4)
        return pos.RecordSaleRequest(request_id=str(request_id), sale=sale)


class RedemptionMaker:
    """Makes serialized requests of members, drawn uniformly, for one reward."""

    def __init__(
        self, number: int, reward: str, members: Sequence[str], *, price_points: int
    ) -> None:
        self._members = members
        self._random = random.Random(number)  # noqa: S311 — a workload, no secret
        self._request = redemption_pb2.RedeemRewardRequest(
            reward=reward, expected_points=price_points, channel=catalogue_pb2.CHANNEL_APP
        )

    def redemption(self) -> bytes:
        """A RedeemRewardRequest."""
        self._request.request_id = str(uuid.uuid4())
        self._request.member = self._random.choice(self._members)
        return self._request.SerializeToString()


def _product(number: int, department: str) -> pos.Line:
    return pos.Line(
        sku=str(1_000_000 + number),
        description=f"Product number {number} of the shelf",
        category_path=[department, f"CATEGORY {number % 300}", f"TYPE {number % 1_500}"],
        quantity_thousandths=1_000,
    )
