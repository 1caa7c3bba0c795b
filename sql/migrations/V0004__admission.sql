/* Admission: instead of seats an entry may ask for a pass, with which seats are chosen on the map.

   gated: seats are booked with a pass only; else anybody may book who does not want to queue.
   claim_seconds: for which a pass is offered; grace_seconds: for which whoever did not take it may
   still come back to the head of the queue; pass_seconds: for which it is good, once taken. */
alter table events
    add column gated boolean not null default true,
    add column claim_seconds integer not null default 60 check (claim_seconds between 1 and 3600),
    add column grace_seconds integer not null default 300 check (grace_seconds between 0 and 86400),
    add column pass_seconds integer not null default 600 check (pass_seconds between 5 and 86400);

/* pass_state: offered and taken passes count as buyers in flight until pass_until; missed ones do not,
   and lapse then. */
alter table entries
    add column admission boolean not null default false,
    add column pass_state text check (pass_state in ('offered', 'taken', 'missed')),
    add column pass_until timestamptz,
    add constraint entries_admitted check (admission or state <> 'admitted'),
    add constraint entries_pass check ((state = 'admitted') = (pass_state is not null)
        and (pass_state is null) = (pass_until is null));
create index entries_passes on entries (event_id, pass_until) where state = 'admitted';

insert into legal_moves (noun, old_state, new_state) values ('entry', 'admitted', 'standby');

/* admission_rate: entries a minute that may be given seats or a pass; admission_credit: of those, how
   many may be now, as of credited_at. rest_until: it is not looked at before.
   served_at: when a drain last had it.
   told_through: everybody up to this number has been told that there is nothing, though the entries are
   still to be written, those up to told_from apart; told_all false: but those who need accessible
   places, or name seats. */
alter table lanes
    add column admission_rate numeric check (admission_rate > 0),
    add column admission_credit numeric not null default 0,
    add column credited_at timestamptz not null default clock_timestamp(),
    add column rest_until timestamptz,
    add column served_at timestamptz,
    add column told_through bigint,
    add column told_from bigint not null default 0,
    add column told_reason text,
    add column told_all boolean not null default true,
    add constraint lanes_told check ((told_through is null) = (told_reason is null));

create index audit_log_event on audit_log (event_id, id);

-- These have other parameters now.
drop function if exists next_lane(), lane_is_due(bigint), drain_lane(bigint, integer),
    end_queue(bigint, text), settle_failed(events, uuid[], boolean),
    join_queue(bigint, bigint, text, bytea, integer, integer, boolean, integer, text[], boolean);
