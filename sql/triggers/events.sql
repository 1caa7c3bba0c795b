create or replace trigger events_audit_added after insert on events
    for each row execute function audit_changes('event added', 'id', '=venue_id', '=plan_version_id', 'name',
        'starts_at', 'on_sale_at', 'off_sale_at', 'time_zone', 'currency', 'booking_fee', 'seats_per_buyer',
        'payment_methods');

create or replace trigger events_audit after update of state, name, venue_id, starts_at, on_sale_at,
    off_sale_at, time_zone, currency, booking_fee, booking_fee_tax_rate, seats_per_buyer, hold_seconds,
    terms, gated, claim_seconds, grace_seconds, pass_seconds, payment_methods, offline_instructions,
    offline_seconds, accessible_release_seconds on events
    for each row execute function audit_changes('event changed', 'id', 'state', 'name', 'venue_id',
        'starts_at', 'on_sale_at', 'off_sale_at', 'time_zone', 'currency', 'booking_fee',
        'booking_fee_tax_rate', 'seats_per_buyer', 'hold_seconds', 'terms', 'gated', 'claim_seconds',
        'grace_seconds', 'pass_seconds', 'payment_methods', 'offline_instructions', 'offline_seconds',
        'accessible_release_seconds');
