/* Tells whether a place, and a seat, is kept for an entry with a pass. A pass is good for minutes, but after
   the first one it keeps no other buyer waiting: so unused passes cannot keep an event shut. */
create or replace function pass_keeps_place(p_entry entries, p_pass_seconds integer) returns boolean
language sql stable as $$
    select p_entry.state = 'admitted' and p_entry.pass_state <> 'missed'
        and p_entry.pass_until > clock_timestamp()
        and (p_entry.pass_state = 'offered' or p_entry.pass_until
             > clock_timestamp() + make_interval(secs => p_pass_seconds - 60))
$$;
