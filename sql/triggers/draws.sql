/* Refuses changes to the published columns of a draw. */
create or replace function keep_draw() returns trigger language plpgsql as $$
begin
    if new.secret <> old.secret
        or old.drawn_at is not null
        or old.closed_at is not null and row(new.public_source, new.committed_at, new.closed_at, new.accounts,
                new.lobby_numbers, new.list_sha256)
            is distinct from row(old.public_source, old.committed_at, old.closed_at, old.accounts,
                old.lobby_numbers, old.list_sha256)
        or old.public_value <> coalesce(new.public_value, '') then
        raise check_violation using message =
            format('event %s: published values of a draw cannot be changed', old.event_id);
    end if;
    return new;
end $$;

create or replace trigger draws_keep_what_was_published before update on draws
    for each row execute function keep_draw();
