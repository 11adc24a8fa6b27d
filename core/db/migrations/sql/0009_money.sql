-- Payments, refunds, disputes, documents: everything that has to do with money from outside.
-- Amounts in minor units (cents) end in _minor, nano-dollars in _nanos. Ids of the payment provider
-- are text and unique: one object of theirs is one row of ours.

CREATE TABLE billing_account (
    workspace_id uuid PRIMARY KEY REFERENCES wallet,
    customer_id text UNIQUE CHECK (customer_id ~ '^[A-Za-z0-9_]{1,255}$'),
    -- The profile: what receipts name. Erased on request; documents keep what they said.
    name text NOT NULL DEFAULT '' CHECK (char_length(name) <= 200),
    email text NOT NULL DEFAULT '' CHECK (char_length(email) <= 254),
    address text NOT NULL DEFAULT '' CHECK (char_length(address) <= 500),
    country text NOT NULL DEFAULT '' CHECK (country ~ '^([A-Z]{2})?$'),
    tax_id text NOT NULL DEFAULT '' CHECK (char_length(tax_id) <= 32),
    -- The saved card: a reference, never a number.
    method_id text CHECK (method_id ~ '^[A-Za-z0-9_]{1,255}$'),
    card_brand text NOT NULL DEFAULT '' CHECK (card_brand ~ '^[a-z0-9_]{0,64}$'),
    card_last4 text NOT NULL DEFAULT '' CHECK (card_last4 ~ '^([0-9]{4})?$'),
    -- Automatic top-up: 1 off, 2 on, 3 stopped (by us, with the reason).
    auto_state smallint NOT NULL DEFAULT 1 CHECK (auto_state BETWEEN 1 AND 3),
    auto_stop_reason smallint NOT NULL DEFAULT 0,
    auto_threshold_nanos bigint NOT NULL DEFAULT 0 CHECK (auto_threshold_nanos >= 0),
    auto_amount_minor bigint NOT NULL DEFAULT 0 CHECK (auto_amount_minor >= 0),
    auto_monthly_cap_minor bigint NOT NULL DEFAULT 0 CHECK (auto_monthly_cap_minor >= 0),
    auto_failures smallint NOT NULL DEFAULT 0 CHECK (auto_failures >= 0),
    auto_not_before timestamptz,
    updated_at timestamptz NOT NULL
);
CREATE INDEX billing_account_auto ON billing_account (workspace_id) WHERE auto_state = 2;

CREATE TABLE payment (
    id uuid PRIMARY KEY,
    workspace_id uuid NOT NULL REFERENCES wallet,
    -- The caller's (AIP-155).
    request_id text NOT NULL CHECK (request_id ~ '^[0-9a-zA-Z_:-]{8,64}$'),
    kind smallint NOT NULL CHECK (kind BETWEEN 1 AND 3),   -- checkout, saved card, automatic
    -- created, pending, needs action, succeeded, failed, expired, quarantined
    state smallint NOT NULL CHECK (state BETWEEN 1 AND 7),
    attempt smallint NOT NULL DEFAULT 1 CHECK (attempt > 0),
    currency text NOT NULL CHECK (currency ~ '^[a-z]{3}$'),
    net_minor bigint NOT NULL CHECK (net_minor > 0),       -- the credit that is bought
    tax_minor bigint NOT NULL DEFAULT 0 CHECK (tax_minor >= 0),
    tax_mode smallint NOT NULL CHECK (tax_mode BETWEEN 1 AND 3), -- none, by Stripe, static rate
    tax_rate_ppm integer NOT NULL DEFAULT 0 CHECK (tax_rate_ppm BETWEEN 0 AND 1000000),
    tax_calculation_id text CHECK (tax_calculation_id ~ '^[A-Za-z0-9_]{1,255}$'),
    tax_calculated_at timestamptz,
    session_id text UNIQUE CHECK (session_id ~ '^[A-Za-z0-9_]{1,255}$'),
    session_url text,
    intent_id text UNIQUE CHECK (intent_id ~ '^[A-Za-z0-9_]{1,255}$'),
    charge_id text UNIQUE CHECK (charge_id ~ '^[A-Za-z0-9_]{1,255}$'),
    -- Whom and which card it was made for: the same key must repeat the same content.
    customer_id text CHECK (customer_id ~ '^[A-Za-z0-9_]{1,255}$'),
    method_id text CHECK (method_id ~ '^[A-Za-z0-9_]{1,255}$'),
    saves_card boolean NOT NULL DEFAULT false,
    failure text NOT NULL DEFAULT '' CHECK (failure ~ '^[a-z0-9_]{0,64}$'),
    card_brand text NOT NULL DEFAULT '' CHECK (card_brand ~ '^[a-z0-9_]{0,64}$'),
    card_last4 text NOT NULL DEFAULT '' CHECK (card_last4 ~ '^([0-9]{4})?$'),
    grant_id uuid REFERENCES credit_grant,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    checked_at timestamptz NOT NULL,                       -- when it was last compared with Stripe
    paid_at timestamptz,
    sent_at timestamptz,                                   -- when the call that makes it last began
    UNIQUE (workspace_id, request_id),
    CHECK ((state = 4) = (grant_id IS NOT NULL))
) WITH (fillfactor = 70);
CREATE INDEX payment_workspace ON payment (workspace_id, id);
CREATE INDEX payment_open ON payment (checked_at) WHERE state IN (1, 2, 3);
CREATE UNIQUE INDEX payment_auto_open ON payment (workspace_id)
    WHERE kind = 3 AND state IN (1, 2, 3);

-- Money that came and gave no credit: it goes back. Ids of the payment provider, cents.
CREATE TABLE payment_surplus (
    intent_id text PRIMARY KEY CHECK (intent_id ~ '^[A-Za-z0-9_]{1,255}$'),
    charge_id text NOT NULL UNIQUE CHECK (charge_id ~ '^[A-Za-z0-9_]{1,255}$'),
    payment_id uuid NOT NULL REFERENCES payment,
    workspace_id uuid NOT NULL REFERENCES wallet,
    currency text NOT NULL CHECK (currency ~ '^[a-z]{3}$'),
    amount_minor bigint NOT NULL CHECK (amount_minor > 0),
    refund_id text CHECK (refund_id ~ '^[A-Za-z0-9_]{1,255}$'),
    failure text NOT NULL DEFAULT '' CHECK (failure ~ '^[a-z0-9_]{0,64}$'),
    created_at timestamptz NOT NULL,
    not_before timestamptz NOT NULL,
    done_at timestamptz
);
CREATE INDEX payment_surplus_open ON payment_surplus (not_before) WHERE done_at IS NULL;
-- Cards that are removed here and are still to be detached at the provider.
CREATE TABLE card_detach (
    method_id text PRIMARY KEY CHECK (method_id ~ '^[A-Za-z0-9_]{1,255}$'),
    created_at timestamptz NOT NULL,
    not_before timestamptz NOT NULL
);

CREATE TABLE refund (
    id uuid PRIMARY KEY,
    workspace_id uuid NOT NULL REFERENCES wallet,
    payment_id uuid NOT NULL REFERENCES payment,
    request_id text NOT NULL CHECK (request_id ~ '^[0-9a-zA-Z_:-]{8,64}$'),
    origin smallint NOT NULL CHECK (origin IN (1, 2)),     -- asked for by us, made at Stripe
    -- requested, approved (credit reserved), pending at Stripe, succeeded, failed, rejected,
    -- approved while leases still hold the credit
    state smallint NOT NULL CHECK (state BETWEEN 1 AND 7),
    net_minor bigint NOT NULL CHECK (net_minor >= 0),      -- the credit that is taken back
    tax_minor bigint NOT NULL DEFAULT 0 CHECK (tax_minor >= 0),
    reason smallint NOT NULL DEFAULT 0,
    -- What was asked for; NULL means all that could go back.
    wanted_net_minor bigint CHECK (wanted_net_minor > 0),
    attempt smallint NOT NULL DEFAULT 1 CHECK (attempt > 0),
    last_sent_at timestamptz,                              -- when the provider was last called
    stripe_id text UNIQUE CHECK (stripe_id ~ '^[A-Za-z0-9_]{1,255}$'),
    asked_by text NOT NULL CHECK (asked_by ~ '^[a-z0-9_.:-]{1,64}$'),
    decided_by text NOT NULL DEFAULT '' CHECK (decided_by ~ '^[a-z0-9_.:-]{0,64}$'),
    failure text NOT NULL DEFAULT '' CHECK (failure ~ '^[a-z0-9_]{0,64}$'),
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    checked_at timestamptz NOT NULL,
    decided_at timestamptz,
    UNIQUE (workspace_id, request_id),
    CHECK (net_minor + tax_minor > 0)
) WITH (fillfactor = 70);
CREATE INDEX refund_workspace ON refund (workspace_id, id);
CREATE INDEX refund_payment ON refund (payment_id);
CREATE INDEX refund_open ON refund (checked_at) WHERE state IN (2, 3, 7);

CREATE TABLE dispute (
    id uuid PRIMARY KEY,
    workspace_id uuid NOT NULL REFERENCES wallet,
    payment_id uuid NOT NULL REFERENCES payment,
    stripe_id text NOT NULL UNIQUE CHECK (stripe_id ~ '^[A-Za-z0-9_]{1,255}$'),
    -- inquiry, open, under review, won, lost, inquiry closed, prevented
    state smallint NOT NULL CHECK (state BETWEEN 1 AND 7),
    reason text NOT NULL DEFAULT '' CHECK (reason ~ '^[a-z0-9_]{0,64}$'),
    currency text NOT NULL CHECK (currency ~ '^[a-z]{3}$'),
    amount_minor bigint NOT NULL CHECK (amount_minor >= 0), -- with tax, as the bank sees it
    -- What it moved of our balance, by the balance transactions; fees are not in it.
    withdrawn_minor bigint NOT NULL DEFAULT 0 CHECK (withdrawn_minor >= 0),
    reinstated_minor bigint NOT NULL DEFAULT 0 CHECK (reinstated_minor >= 0),
    up_to_nanos bigint NOT NULL DEFAULT 0 CHECK (up_to_nanos >= 0), -- the credit to be frozen
    frozen_nanos bigint NOT NULL DEFAULT 0 CHECK (frozen_nanos >= 0),
    owed_nanos bigint NOT NULL DEFAULT 0 CHECK (owed_nanos >= 0),
    -- What it took of the payment for good: credit, and the tax on it.
    lost_net_minor bigint NOT NULL DEFAULT 0 CHECK (lost_net_minor >= 0),
    lost_tax_minor bigint NOT NULL DEFAULT 0 CHECK (lost_tax_minor >= 0),
    evidence_due_at timestamptz,
    evidence_sent_at timestamptz,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    checked_at timestamptz NOT NULL,
    closed_at timestamptz
) WITH (fillfactor = 70);
CREATE INDEX dispute_workspace ON dispute (workspace_id, id);
CREATE INDEX dispute_payment ON dispute (payment_id);
CREATE INDEX dispute_open ON dispute (checked_at) WHERE closed_at IS NULL;

CREATE TABLE fraud_warning (
    id uuid PRIMARY KEY,
    stripe_id text NOT NULL UNIQUE CHECK (stripe_id ~ '^[A-Za-z0-9_]{1,255}$'),
    workspace_id uuid NOT NULL REFERENCES wallet,
    payment_id uuid NOT NULL REFERENCES payment,
    kind text NOT NULL CHECK (kind ~ '^[a-z0-9_]{0,64}$'),
    actionable boolean NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
CREATE INDEX fraud_warning_workspace ON fraud_warning (workspace_id, id);

-- What Stripe told us, before we looked at what it is about. Ids and types only, no body.
CREATE TABLE stripe_inbox (
    event_id text PRIMARY KEY CHECK (event_id ~ '^[A-Za-z0-9_]{1,255}$'),
    type text NOT NULL CHECK (type ~ '^[a-z0-9_.]{1,128}$'),
    object_id text NOT NULL CHECK (object_id ~ '^[A-Za-z0-9_]{1,255}$'),
    occurred_at timestamptz NOT NULL,
    received_at timestamptz NOT NULL,
    handled_at timestamptz,
    attempts integer NOT NULL DEFAULT 0,
    not_before timestamptz NOT NULL,
    failure text NOT NULL DEFAULT '' CHECK (failure ~ '^[a-z0-9_]{0,64}$')
) WITH (fillfactor = 70);
CREATE INDEX stripe_inbox_open ON stripe_inbox (not_before) WHERE handled_at IS NULL;
-- How far a sweep came: of events, of balance transactions.
CREATE TABLE stripe_cursor (
    name text PRIMARY KEY CHECK (name ~ '^[a-z_]{1,32}$'),
    position text NOT NULL CHECK (position ~ '^[A-Za-z0-9_.:-]{0,255}$'),
    updated_at timestamptz NOT NULL
);

-- Receipts and credit notes: gapless numbers, immutable snapshots.
CREATE TABLE document_counter (
    series text PRIMARY KEY CHECK (series ~ '^[A-Z0-9-]{1,16}$'),
    last bigint NOT NULL CHECK (last >= 0)
);
CREATE TABLE billing_document (
    id uuid PRIMARY KEY,
    series text NOT NULL REFERENCES document_counter CHECK (series ~ '^[A-Z0-9-]{1,16}$'),
    number bigint NOT NULL CHECK (number > 0),
    kind smallint NOT NULL CHECK (kind IN (1, 2, 3)),      -- receipt, credit note, its reversal
    workspace_id uuid NOT NULL REFERENCES wallet,
    payment_id uuid NOT NULL REFERENCES payment,
    refund_id uuid REFERENCES refund,
    dispute_id uuid REFERENCES dispute,
    refers_to uuid REFERENCES billing_document,
    snapshot bytea NOT NULL,                               -- canonical JSON
    snapshot_hash bytea NOT NULL CHECK (octet_length(snapshot_hash) = 32),
    issued_at timestamptz NOT NULL,
    UNIQUE (series, number),
    CHECK ((kind = 1) = (refers_to IS NULL))
);
CREATE UNIQUE INDEX billing_document_receipt ON billing_document (payment_id) WHERE kind = 1;
CREATE UNIQUE INDEX billing_document_refund ON billing_document (kind, refund_id)
    WHERE refund_id IS NOT NULL;
CREATE UNIQUE INDEX billing_document_dispute ON billing_document (kind, dispute_id)
    WHERE dispute_id IS NOT NULL;
CREATE INDEX billing_document_workspace ON billing_document (workspace_id, id);

-- The daily root over all heads of wallets, signed.
CREATE TABLE signed_root (
    day date PRIMARY KEY,
    heads bytea NOT NULL,                                  -- canonical: workspace, sequence, hash
    root bytea NOT NULL CHECK (octet_length(root) = 32),
    wallets integer NOT NULL CHECK (wallets >= 0),
    key_id text NOT NULL CHECK (key_id ~ '^[a-z0-9_-]{1,64}$'),
    signature bytea NOT NULL CHECK (octet_length(signature) = 64),
    created_at timestamptz NOT NULL
);
CREATE TABLE proof_report (
    id uuid PRIMARY KEY,
    started_at timestamptz NOT NULL,
    finished_at timestamptz NOT NULL,
    findings integer NOT NULL CHECK (findings >= 0),
    report bytea NOT NULL                                  -- canonical JSON: ids and numbers
);

-- Mail to be sent: which template to whom about what; written with what it tells of.
CREATE TABLE mail_outbox (
    id uuid PRIMARY KEY,
    workspace_id uuid NOT NULL REFERENCES wallet,
    template text NOT NULL CHECK (template ~ '^[a-z_]{1,32}$'),
    object_id uuid NOT NULL,
    created_at timestamptz NOT NULL,
    attempts integer NOT NULL DEFAULT 0,
    not_before timestamptz NOT NULL,
    sent_at timestamptz,
    UNIQUE (template, object_id)
);
CREATE INDEX mail_outbox_open ON mail_outbox (not_before) WHERE sent_at IS NULL;

-- What a workspace may spend a day, month and all in all; NULL means without a limit.
ALTER TABLE workspace
    ADD COLUMN spend_day_nanos bigint CHECK (spend_day_nanos > 0),
    ADD COLUMN spend_month_nanos bigint CHECK (spend_month_nanos > 0),
    ADD COLUMN spend_life_nanos bigint CHECK (spend_life_nanos > 0);

-- What grants have in disputes and refunds, and what debts they paid: few entries of many.
CREATE INDEX ledger_entry_lineage ON ledger_entry (grant_id, account)
    WHERE account IN ('frozen', 'refund_pending', 'receivable') AND grant_id IS NOT NULL;

-- A charge given back, whole or in part. The transaction itself names record and request id.
CREATE TABLE charge_correction (
    txn_id uuid PRIMARY KEY REFERENCES ledger_txn,
    workspace_id uuid NOT NULL REFERENCES wallet,
    request_id text NOT NULL UNIQUE CHECK (request_id ~ '^[0-9a-zA-Z_:-]{8,64}$'),
    record_id uuid NOT NULL,
    settlement_id uuid NOT NULL REFERENCES ledger_txn,
    amount bigint NOT NULL CHECK (amount > 0),
    reason smallint NOT NULL CHECK (reason > 0)
);
CREATE INDEX charge_correction_record ON charge_correction (record_id);
CREATE INDEX charge_correction_settlement ON charge_correction (settlement_id);
CREATE INDEX charge_correction_workspace ON charge_correction (workspace_id, txn_id);
GRANT SELECT, INSERT ON charge_correction TO oneapi_system;

-- What a workspace with spend limits was charged in a period, as `spend_window` is of a key.
CREATE TABLE workspace_spend_window (
    workspace_id uuid NOT NULL REFERENCES workspace,
    period smallint NOT NULL CHECK (period BETWEEN 1 AND 3), -- day, month, life
    period_start date NOT NULL,
    charged bigint NOT NULL CHECK (charged >= 0),
    PRIMARY KEY (workspace_id, period, period_start)
);
GRANT SELECT, INSERT, UPDATE, DELETE ON workspace_spend_window TO oneapi_system;
GRANT SELECT ON charge_correction TO oneapi_app;

GRANT SELECT ON billing_account, payment, refund, dispute, fraud_warning, stripe_inbox,
    stripe_cursor, document_counter, billing_document, signed_root, proof_report, mail_outbox
    TO oneapi_system;
GRANT INSERT, UPDATE ON billing_account, payment, refund, dispute, fraud_warning, stripe_inbox,
    stripe_cursor, document_counter, mail_outbox TO oneapi_system;
GRANT SELECT, INSERT, UPDATE ON payment_surplus, card_detach TO oneapi_system;
GRANT DELETE ON stripe_inbox, mail_outbox, card_detach TO oneapi_system;
GRANT INSERT ON billing_document, signed_root, proof_report TO oneapi_system;
GRANT SELECT ON billing_account, payment, refund, dispute, billing_document TO oneapi_app;

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY[
        'billing_account', 'payment', 'refund', 'dispute', 'fraud_warning', 'billing_document',
        'mail_outbox', 'charge_correction', 'payment_surplus'
    ] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format(
            'CREATE POLICY all_tenants ON %I TO oneapi_system, oneapi_owner '
            'USING (true) WITH CHECK (true)', name);
        EXECUTE format(
            'CREATE POLICY one_tenant ON %I TO oneapi_app USING (workspace_id = '
            'nullif(current_setting(''oneapi.workspace_id'', true), '''')::uuid)', name);
    END LOOP;
END $$;
