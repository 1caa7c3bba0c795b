/* Erases the personal data of an account, now or as soon as nothing is under way. state: 'erased', or
   'postponed' with because, see erasure_blocks; null: there is no such account. */
create or replace function request_erasure(p_account bigint, out state text, out because text[])
language plpgsql as $$
begin
    because := erase_account(p_account);
    if because is null then
        return;
    end if;
    state := case because when '{}' then 'erased' else 'postponed' end;
    insert into erasures as e (account_id, requested_by, because, erased_at, sweep_at)
    values (p_account, acting(), because, case because when '{}' then clock_timestamp() end,
        case because when '{}' then clock_timestamp() + interval '1 h' end)
    on conflict (account_id) do update
    set because = excluded.because, checked_at = excluded.checked_at, erased_at = excluded.erased_at,
        sweep_at = excluded.sweep_at
    where e.erased_at is null;
    if state = 'postponed' then
        perform audit('erasure postponed', null, jsonb_build_object('because', because), null, p_account);
    end if;
end $$;
