/* Takes the next number of an event's queue, or a place in its lobby.

   In the lobby numbers are negative, and the draw replaces them by 1..N. Every number of the tail is higher
   than N. A number for the lobby is taken before the clock is read and the lobby is found open; a number
   for the tail is taken after it is found closed. So all numbers for the lobby, at least N, are taken
   before the first one for the tail. */
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
