#!/bin/sh
# Make the files that must not be in the repository: the passwords of the database and of RabbitMQ,
# the issuer's public keys, and the night's token.
set -eu
[ $# -eq 2 ] || { echo "usage: prepare.sh JWKS_FILE NIGHT_TOKEN" >&2; exit 2; }
cp "$1" "$(dirname "$0")/jwks.json"
cd "$(dirname "$0")"
umask 077
echo "NIGHT_TOKEN=$2" > night.env
[ ! -e postgresql.env ] || { echo "prepare: postgresql.env exists; the passwords stay" >&2; exit 0; }
password=$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')
for service in members ledger tiering; do
  variable=$(echo "$service" | tr '[:lower:]' '[:upper:]')_DATABASE_URL
  echo "$variable=postgresql+psycopg2://loyalty:$password@postgresql:5432/$service" > "$service-database.env"
done
echo "AMQP_URL=amqp://loyalty:$password@rabbitmq:5672//" > bus.env
echo "RABBITMQ_DEFAULT_PASS=$password" > rabbitmq.env
echo "POSTGRES_PASSWORD=$password" > postgresql.env
