/* The next number of an event's queue, or a place in its lobby.

   In the lobby numbers are negative, and the draw replaces them by 1..N. N is below every number of
   the tail: a number for the lobby is taken before a look at the clock that finds the lobby open, one
   for the tail after a look that finds it closed, so the tail's are higher than the at least N that
   were taken for the lobby. */
create or replace function take_number(p_show events, out number bigint, out state text)
language plpgsql as $$
declare
    numbers constant regclass := format('entry_numbers_%s', p_show.id);
begin
    if clock_timestamp() < p_show.lobby_closes_at then
        number := -nextval(numbers);
        state := 'lobby';
        if clock_timestamp() < p_show.lobby_closes_at then
            return;
        end if;
    end if;
    number := nextval(numbers);
    state := 'waiting';
end $$;
