"""How many vouchers the year's households got, as the rewards' own tables say."""

from services.plumbing.database import engine, transaction


def count_vouchers(rewards_database_url: str) -> int:
    source = engine(rewards_database_url, pool_size=1)
    try:
        with transaction(source) as connection:
            found: int = connection.exec_driver_sql("SELECT count(*) FROM vouchers").scalar_one()
            return found
    finally:
        source.dispose()
