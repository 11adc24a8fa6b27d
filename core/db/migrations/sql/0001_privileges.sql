-- Who may do what. Neither app nor system can change or delete ledger, wallet log or usage rows.

GRANT USAGE ON SCHEMA public TO oneapi_app, oneapi_system, oneapi_partitions;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO oneapi_system;
GRANT INSERT, UPDATE ON workspace, api_key, model, model_alias, upstream, route,
    route_candidate, change_counter, wallet, credit_grant, edge_epoch, lease, lease_slice,
    limit_window, limit_permit, spend_window, idempotency_key, usage_hourly TO oneapi_system;
GRANT INSERT ON api_key_event, call_replay, price_version, price_tier, change_log, audit_log,
    alarm, ledger_txn, ledger_entry, wallet_log, usage_record, usage_late TO oneapi_system;
GRANT DELETE ON model_alias, route, route_candidate, limit_window, limit_permit,
    idempotency_key, call_replay TO oneapi_system;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO oneapi_system;
GRANT SELECT ON workspace, api_key, api_key_event, wallet, credit_grant, ledger_txn,
    ledger_entry, wallet_log, usage_record, usage_late, usage_hourly, model, model_alias,
    price_version, price_tier, upstream TO oneapi_app;
GRANT SELECT ON archive_watermark TO oneapi_partitions;

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY[
        'api_key', 'api_key_event', 'wallet', 'credit_grant', 'ledger_txn', 'ledger_entry',
        'wallet_log', 'lease', 'usage_record', 'usage_late', 'usage_hourly', 'idempotency_key',
        'audit_log'
    ] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format(
            'CREATE POLICY all_tenants ON %I TO oneapi_system, oneapi_partitions, oneapi_owner '
            'USING (true) WITH CHECK (true)', name);
        EXECUTE format(
            'CREATE POLICY one_tenant ON %I TO oneapi_app USING (workspace_id = '
            'nullif(current_setting(''oneapi.workspace_id'', true), '''')::uuid)', name);
    END LOOP;
END $$;
ALTER TABLE workspace ENABLE ROW LEVEL SECURITY;
ALTER TABLE workspace FORCE ROW LEVEL SECURITY;
CREATE POLICY all_tenants ON workspace TO oneapi_system, oneapi_owner
    USING (true) WITH CHECK (true);
CREATE POLICY one_tenant ON workspace TO oneapi_app
    USING (id = nullif(current_setting('oneapi.workspace_id', true), '')::uuid);

ALTER TABLE usage_record OWNER TO oneapi_partitions;
ALTER TABLE usage_late OWNER TO oneapi_partitions;
GRANT SELECT, INSERT ON usage_record, usage_late TO oneapi_system;
GRANT SELECT ON usage_record, usage_late TO oneapi_app;
