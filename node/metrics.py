"""What Prometheus sees. Counters are incremented where things happen; gauges are read from the node when asked for."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

REGISTRY = CollectorRegistry()

REQUESTS = Counter("tally_rpc_requests", "JSON-RPC calls, by method", ["method"], registry=REGISTRY)
REFUSALS = Counter("tally_refusals", "Refusals, by their name", ["code"], registry=REGISTRY)
PAYMENTS = Counter("tally_payments", "Payments made durable", registry=REGISTRY)
DEPOSITS = Counter("tally_deposits", "Deposits credited", registry=REGISTRY)
BLOCKS = Counter("tally_blocks", "Blocks made durable", registry=REGISTRY)
BLOCK_RECORDS = Histogram(
    "tally_block_records", "Records of a block", registry=REGISTRY, buckets=[4**power for power in range(7)]
)
HEAD_BLOCK = Gauge("tally_head_block", "Number of the last durable block", registry=REGISTRY)
OPEN_EPOCH = Gauge("tally_open_epoch", "Number of the open epoch", registry=REGISTRY)
OPEN_EPOCH_RECORDS = Gauge("tally_open_epoch_records", "Records in the open epoch", registry=REGISTRY)
SEALED_EPOCH = Gauge("tally_sealed_epoch", "Last epoch whose commitment is signed", registry=REGISTRY)
MINED_EPOCH = Gauge("tally_mined_epoch", "Last epoch whose commitment is on Ethereum", registry=REGISTRY)
FINAL_EPOCH = Gauge("tally_final_epoch", "Last final epoch", registry=REGISTRY)
CONNECTIONS = Gauge("tally_websocket_connections", "WebSocket connections", registry=REGISTRY)
REFUSED_CONNECTIONS = Counter("tally_connections_refused", "Connections that were too many", registry=REGISTRY)
CUT_OFF = Counter("tally_connections_cut_off", "Connections ended for what they did", ["reason"], registry=REGISTRY)
SUBSCRIPTIONS = Gauge("tally_subscriptions", "Subscriptions of all WebSocket connections", registry=REGISTRY)
BACKLOG = Gauge("tally_backlog", "Payments being verified or waiting to be ordered", registry=REGISTRY)
INDEX_LAG = Gauge("tally_index_lag", "Journal entries that the index has not reached", registry=REGISTRY)
OPENING = Gauge("tally_opening", "1 for what the node waits for before it can open", ["state"], registry=REGISTRY)
L1_ENDPOINT_STATE = Gauge(
    "tally_l1_endpoint_state",
    "1 for the state that an Ethereum endpoint is in",
    ["endpoint", "state"],
    registry=REGISTRY,
)
L1_ENDPOINT_BLOCK = Gauge(
    "tally_l1_endpoint_block", "Newest block that an Ethereum endpoint has shown", ["endpoint"], registry=REGISTRY
)
L1_ENDPOINT_FAULTS = Counter(
    "tally_l1_endpoint_faults", "Answers of an Ethereum endpoint lacking or outvoted", ["endpoint"], registry=REGISTRY
)
COMMITTER_STATE = Gauge(
    "tally_committer_state", "1 for the state that the committer is in", ["state"], registry=REGISTRY
)
WATCHER_STATE = Gauge("tally_watcher_state", "1 for the state that the watcher is in", ["state"], registry=REGISTRY)
FUNDS_STATE = Gauge("tally_funds_state", "1 for how far the balance reaches", ["state"], registry=REGISTRY)
LAG_EPOCHS = Gauge("tally_commitment_lag_epochs", "Epochs sealed and not on Ethereum", registry=REGISTRY)
WAITING_SECONDS = Gauge("tally_commitment_waiting_seconds", "How long the oldest of them has waited", registry=REGISTRY)
ATTEMPTS = Counter("tally_commitment_attempts", "Transactions signed to send commitments", registry=REGISTRY)
ATTEMPTS_IN_FLIGHT = Gauge(
    "tally_commitment_attempts_in_flight", "Those of which it is not known what became of them", registry=REGISTRY
)
# Prometheus has nothing but floats. They hold gwei exactly up to nine million ether, and wei not even of one.
COST_GWEI = Counter("tally_commitment_cost_gwei", "What commitments have cost this node, in gwei", registry=REGISTRY)
BALANCE_GWEI = Gauge(
    "tally_gas_balance_gwei", "Of the account that pays for commitments, rounded down; NaN before it is known",
    registry=REGISTRY,
)  # fmt: skip
BUDGET_SPENT_GWEI = Gauge("tally_budget_spent_gwei", "Spent of the budget of 24 hours, in gwei", registry=REGISTRY)
BUDGET_GWEI = Gauge("tally_budget_gwei", "The budget of 24 hours, in gwei", registry=REGISTRY)
L1_BASE_FEE_GWEI = Gauge(
    "tally_l1_base_fee_gwei",
    "Per gas, of the newest L1 block; NaN before one was seen, and on a chain without base fees",
    registry=REGISTRY,
)
DEPOSITS_MISSING = Gauge(
    "tally_deposits_missing", "Deposits in the final L1 block that are not credited yet", registry=REGISTRY
)
DEEP_REORGANISATIONS = Counter(
    "tally_deep_reorganisations", "Reorganisations deeper than what was final", registry=REGISTRY
)
L1_SYNCED_AT = Gauge("tally_l1_synced_seconds", "L1 time up to which deposits are credited", registry=REGISTRY)


def count_refusals() -> dict[str, int]:
    """Since the start, by name; only those that there were."""
    (family,) = REFUSALS.collect()
    return {
        sample.labels["code"]: int(sample.value) for sample in family.samples if sample.name == "tally_refusals_total"
    }


def render() -> bytes:
    """The text format that Prometheus reads."""
    return generate_latest(REGISTRY)
