#!/bin/sh
# Make the files that must not be in the repository: the passwords of the database and of RabbitMQ, and the issuer's public keys.
set -eu
[ $# -eq 1 ] || { echo "usage: prepare.sh JWKS_FILE" >&2; exit 2; }
cp "$1" "$(dirname "$0")/jwks.json"
cd "$(dirname "$0")"
[ ! -e postgresql.env ] || { echo "prepare: postgresql.env exists; the passwords stay" >&2; exit 0; }
umask 077
password=$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')
for service in members ledger tiering; do
  variable=$(echo "$service" | tr '[:lower:]' '[:upper:]')_DATABASE_URL
  echo "$variable=postgresql+psycopg2://loyalty:$password@postgresql:5432/$service" > "$service-database.env"
done
echo "AMQP_URL=amqp://loyalty:$password@rabbitmq:5672//" > bus.env
echo "RABBITMQ_DEFAULT_PASS=$password" > rabbitmq.env
echo "POSTGRES_PASSWORD=$password" > postgresql.env
