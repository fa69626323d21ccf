"""What rewards counts."""

from prometheus_client import Counter, Gauge

VOUCHERS_REDEEMED = Counter("rewards_vouchers_redeemed_total", "Uses of vouchers at tills.")
VOUCHERS_GIVEN_BACK = Counter(
    "rewards_vouchers_given_back_total", "Uses of vouchers taken back, for their sale was voided."
)
VOUCHERS_REVOKED = Counter("rewards_vouchers_revoked_total", "Vouchers made worthless.")
CODES_LOADED = Counter("rewards_codes_loaded_total", "Codes put into pools.")
REDEMPTIONS = Counter(
    "rewards_redemptions_total", "Redemptions that came to their end, by what that is.", ["step"]
)
REDEMPTIONS_OLDEST_SECONDS = Gauge(
    "rewards_redemptions_oldest_seconds",
    "How long ago the redemption was begun that has been under way longest; zero for none.",
)
REDEMPTIONS_RECOVERED = Counter(
    "rewards_redemptions_recovered_total",
    "Redemptions left behind that were brought to their end, by what that is.",
    ["step"],
)
OLD_ROWS_PRUNED = Counter(
    "rewards_old_rows_pruned_total", "Rows dropped that nobody needs any more, by table.", ["table"]
)
