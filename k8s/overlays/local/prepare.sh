#!/bin/sh
# Make the files that must not be in the repository: the passwords of the database and of RabbitMQ,
# the issuer's public keys, the keys that vouchers are signed with, and the tokens of rewards and the night.
set -eu
[ $# -eq 2 ] || { echo "usage: prepare.sh DATA_DIRECTORY NIGHT_TOKEN" >&2; exit 2; }
umask 077
cp "$1/issuer/jwks.json" "$1/rewards/signing-keys.json" "$1/rewards/ledger-token" "$(dirname "$0")"
cd "$(dirname "$0")"
echo "NIGHT_TOKEN=$2" > night.env
[ ! -e postgresql.env ] || { echo "prepare: postgresql.env exists; the passwords stay" >&2; exit 0; }
password=$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')
for service in members ledger tiering rewards; do
  variable=$(echo "$service" | tr '[:lower:]' '[:upper:]')_DATABASE_URL
  echo "$variable=postgresql+psycopg2://loyalty:$password@postgresql:5432/$service" > "$service-database.env"
done
echo "AMQP_URL=amqp://loyalty:$password@rabbitmq:5672//" > bus.env
echo "RABBITMQ_DEFAULT_PASS=$password" > rabbitmq.env
echo "POSTGRES_PASSWORD=$password" > postgresql.env
