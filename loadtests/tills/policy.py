"""The demo's earn policy, and members may send each other points."""

from loyalty.ledger.v1 import earn_policy_pb2, earn_policy_pb2_grpc

from services.cli.demo.policy import publications
from services.plumbing.grpc_client import bearer, channel

CALL_SECONDS_MAX = 30.0
TRANSFERS = earn_policy_pb2.TransferRules(
    points_min=2, points_max=100, points_sent_max=2_000, transfers_per_day_max=100
)


def publish_policies(address: str, token: str) -> None:
    with channel(address) as opened:
        policies = earn_policy_pb2_grpc.EarnPolicyServiceStub(opened)
        for request in publications():
            request.policy.transfers.CopyFrom(TRANSFERS)
            policies.PublishEarnPolicy(request, timeout=CALL_SECONDS_MAX, metadata=bearer(token))
