/* Takes the notification that an account does not let the platform act for it any more: a task asks the gateway
   whether that is so, and then pauses its lanes. It decides nothing, and counts for connected accounts alone, with
   the platform's signature. Returns 'news', or 'no_news': there is no such account. */
create or replace function take_deauthorization(p_account text, p_signer bigint, p_trace text)
returns text language plpgsql as $$
begin
    perform enqueue('check_merchant', 'maintenance', a.id::text, jsonb_build_object('account_id', a.id),
        p_trace => p_trace)
    from (select id from gateway_accounts a
          where a.access = 'connected' and a.state = 'active' and is_signed_for(a, p_account, p_signer)
          order by id) a;
    return case when found then 'news' else 'no_news' end;
end $$;
