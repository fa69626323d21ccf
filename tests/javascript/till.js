// A till in another language: gRPC's own library and the contract are all it has.
// It is told by the environment: LEDGER_ADDRESS, TOKEN, CARD_TOKEN, and CONTRACT, a file with the
// descriptors of the .proto files, whose names it uses. It prints its answers as JSON.
"use strict";

const crypto = require("node:crypto");
const fs = require("node:fs");
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const DEADLINE_SECONDS = 30;
const ATTEMPTS_MAX = 5;
// After these nobody knows whether it was done; the request id makes asking again safe.
const RETRYABLE = [
  grpc.status.UNAVAILABLE,
  grpc.status.DEADLINE_EXCEEDED,
  grpc.status.RESOURCE_EXHAUSTED,
  grpc.status.CANCELLED,
];

const { LEDGER_ADDRESS, TOKEN, CARD_TOKEN, CONTRACT } = process.env;
const contract = loader.loadFileDescriptorSetFromBuffer(fs.readFileSync(CONTRACT), {
  longs: Number,
  enums: String,
  defaults: true,
});
const { PointOfSaleService } = grpc.loadPackageDefinition(contract).loyalty.ledger.v1;
const ledger = new PointOfSaleService(LEDGER_ADDRESS, grpc.credentials.createInsecure());
const metadata = new grpc.Metadata();
metadata.set("authorization", `Bearer ${TOKEN}`);

function callOnce(method, request) {
  const deadline = new Date(Date.now() + DEADLINE_SECONDS * 1000);
  return new Promise((resolve, reject) => {
    ledger[method](request, metadata, { deadline }, (error, answer) =>
      error ? reject(error) : resolve(answer),
    );
  });
}

// Stores and forwards: the same request again until it is answered.
async function call(method, request) {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await callOnce(method, request);
    } catch (error) {
      if (attempt === ATTEMPTS_MAX || !RETRYABLE.includes(error.code)) throw error;
      await new Promise((wake) => setTimeout(wake, 200 * 2 ** attempt * Math.random()));
    }
  }
}

// Every refusal carries a google.rpc.Status, and in it an ErrorInfo with the reason.
function refusal(error) {
  const [bytes] = error.metadata.get("grpc-status-details-bin");
  const { details } = contract["google.rpc.Status"].deserialize(bytes);
  const packed = details.find(({ type_url }) => type_url.endsWith("/google.rpc.ErrorInfo"));
  const { reason, domain } = contract["google.rpc.ErrorInfo"].deserialize(packed.value);
  return { code: grpc.status[error.code], reason, domain };
}

function now() {
  return { seconds: Math.floor(Date.now() / 1000), nanos: 0 };
}

async function main() {
  const sale = {
    card_token: CARD_TOKEN,
    store: "31",
    terminal: "js-1",
    receipt_number: "1",
    business_time: now(),
    currency_code: "USD",
    lines: [
      { sku: "coffee", quantity_thousandths: 1000, amount_minor: 1250 },
      { sku: "milk", quantity_thousandths: 2000, amount_minor: 399 },
    ],
  };
  const request = { request_id: crypto.randomUUID(), sale };
  const recorded = await call("RecordSale", request);
  const repeated = await call("RecordSale", request);
  const changed = { ...request, sale: { ...sale, receipt_number: "2" } };
  const refused = await call("RecordSale", changed).then(() => null, refusal);
  const returned = await call("RecordReturn", {
    request_id: crypto.randomUUID(),
    sale: recorded.sale,
    store: sale.store,
    terminal: sale.terminal,
    receipt_number: "3",
    business_time: now(),
    lines: [{ line: 1 }],
  });
  console.log(JSON.stringify({ recorded, repeated, refused, returned }));
}

main()
  .catch((error) => {
    console.error(error);
    process.exitCode = 1;
  })
  .finally(() => ledger.close());
