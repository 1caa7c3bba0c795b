/* A lane that waits for seats may rest, too: until rest_until it does not look at what was only settled. */
alter table lane_state
    drop constraint lane_state_resting,
    add constraint lane_state_resting check (case state
        when 'resting' then num_nonnulls(rest_until, rest_reason) = 2
        when 'waiting_for_seats' then rest_reason is null
        else num_nonnulls(rest_until, rest_reason) = 0 end);
