/* The queue of each event, with the lobby and the draw before it. */

/* What organisers set of each lane. weight: the lane's share of the drain's work; in_flight_cap: the most
   buyers in flight; admission_rate: entries a minute that may get seats or a pass. A table of its own,
   because the drain locks lane_state for as long as a batch takes. */
create table lanes (
    event_id bigint primary key,
    weight numeric not null default 1 check (weight > 0),
    paused boolean not null default false,
    in_flight_cap integer check (in_flight_cap > 0),
    admission_rate numeric check (admission_rate > 0)
);

/* The lane state, which drains keep. Its row lock is the lane's lock; it is written once a batch.

   state: idle: nothing to decide; ready: something to decide; waiting_for_seats: no seat is free, but held
   ones may come back, and a wake ends the state; resting: the lane is not served before rest_until;
   ending: there is a queue ending whose entries are still to be written (queue_endings).
   virtual_time: seats served / weight; see next_lane. served_at: when a drain last had the lane.
   low_water: the low-water mark: no entry waits below it, so that the drain need not read over dead rows.
   It is moved 2 s late, the longest time of a join, so that no entry that commits late is missed.
   low_water_next: the mark at the last move.
   standby_from: the progress of the pass over standby entries.
   admission_credit: how many entries the admission rate lets in now, as of credited_at. */
create table lane_state (
    event_id bigint primary key,
    state text not null default 'idle' check (state in
        ('idle', 'ready', 'waiting_for_seats', 'resting', 'ending')),
    rest_until timestamptz,
    rest_reason text check (rest_reason in ('rate', 'gateway')),
    virtual_time numeric not null default 0 check (virtual_time >= 0),
    served_at timestamptz,
    low_water bigint not null default 0,
    low_water_next bigint not null default 0,
    low_water_reset_at timestamptz not null default clock_timestamp(),
    standby_from bigint not null default 0,
    now_serving bigint not null default 0,
    admission_credit numeric not null default 0,
    credited_at timestamptz not null default clock_timestamp(),
    constraint lane_state_resting check (
        num_nonnulls(rest_until, rest_reason) = case state when 'resting' then 2 else 0 end),
    constraint lane_state_served check (state = 'idle' or served_at is not null)
) with (fillfactor = 50);

/* Queue endings, for as long as their entries are being written. All entries up to last_number are told that
   there is nothing left; the rows of those up to written_to say so as well. everyone false: except entries
   that need accessible seats or name seats. */
create table queue_endings (
    event_id bigint primary key,
    reason text not null check (reason in ('sale_over', 'sold_out')),
    last_number bigint not null,
    everyone boolean not null,
    written_to bigint not null default 0 check (written_to <= last_number),
    started_at timestamptz not null default clock_timestamp()
);

/* Wakes: reasons to serve a lane again, in any state. released: seats were released, and standby entries
   come before later numbers; settled: a booking was settled, and some entries may have no prospects any
   more; changed: the organiser has changed the lane. Rows instead of a flag in lane_state, because a
   transaction that adds a wake does not lock the lane. */
create table lane_wakes (
    id bigint generated always as identity primary key,
    event_id bigint not null,
    kind text not null default 'released' check (kind in ('released', 'settled', 'changed'))
);
create index lane_wakes_event on lane_wakes (event_id);
create index lane_wakes_changed on lane_wakes (event_id) where kind = 'changed';

/* Entries. admission: the entry asks for a pass instead of seats, to choose on the map. pass_state: offered
   and taken passes count as in flight until pass_until; missed ones do not, and lapse at that time. */
create table entries (
    event_id bigint not null,
    id uuid not null default uuid7(),
    number bigint not null,
    organisation_id bigint not null,
    buyer_id bigint not null,
    state text not null default 'waiting' check (state in
        ('lobby', 'waiting', 'standby', 'admitted', 'booked', 'unavailable', 'left', 'lapsed')),
    quantity smallint not null check (quantity between 1 and 50),
    category smallint,
    accessible smallint not null default 0 check (accessible between 0 and quantity),
    together boolean not null default true,
    admission boolean not null default false,
    seats integer[] check (seats is null or cardinality(seats) = quantity),
    channel text not null default 'web',
    idempotency_key text not null check (length(idempotency_key) between 1 and 255),
    request_sha256 bytea not null,
    terms_accepted_at timestamptz,
    joined_at timestamptz not null default clock_timestamp(),
    pass_state text check (pass_state in ('offered', 'taken', 'missed')),
    pass_until timestamptz,
    decided_at timestamptz,
    booking_id uuid,
    reason text,
    primary key (event_id, id),
    unique (event_id, number),
    unique (event_id, buyer_id, idempotency_key),
    check ((state = 'booked') = (booking_id is not null)),
    check ((state in ('booked', 'unavailable', 'left', 'lapsed')) = (decided_at is not null)),
    constraint entries_admitted check (admission or state <> 'admitted'),
    constraint entries_pass check ((state = 'admitted') = (pass_state is not null)
        and (pass_state is null) = (pass_until is null))
) with (fillfactor = 80);
create unique index entries_one_active on entries (event_id, buyer_id)
    where state in ('lobby', 'waiting', 'standby', 'admitted');
create index entries_lobby on entries (event_id, number) where state = 'lobby';
create index entries_waiting on entries (event_id, number) where state = 'waiting';
create index entries_standby on entries (event_id, number) where state = 'standby';
create index entries_standby_category on entries (event_id, category) where state = 'standby';
create index entries_passes on entries (event_id, pass_until) where state = 'admitted';

/* Leavers, counted by blocks of numbers: block b of a level has the numbers from b * width + 1 to
   (b + 1) * width; the width is 32 * 8 ^ level. For an entry that is far back a few wide blocks are read, so
   the cost does not grow with the queue. A block's count is the sum of its slots: a transaction takes a slot
   that no other is changing, and never waits. */
create table queue_leavers (
    event_id bigint not null,
    level smallint not null check (level between 0 and 4),
    block bigint not null check (block >= 0),
    slot bigint not null generated always as identity,
    leavers integer not null check (leavers > 0),
    primary key (event_id, level, block, slot)
) with (fillfactor = 50);

/* The draw of a lobby: all entries that are in the lobby when it closes get a number by lot.

   The draw can be verified. Before the lobby opens, the hash of a secret is published. When it has closed,
   the list of accounts is fixed and its hash published. Only then a public value becomes known, whose source
   was published before the lobby opened. The order follows from these three.

   accounts: the sorted list; lobby_numbers: the numbers of their entries, in the same order, which tell them
   from entries that committed after the list was fixed. drawn: the accounts in the order of their numbers,
   1 first. Arrays, because they are written once and read as a whole.
   public_source: what the public value will be, and when it becomes known; null: there is none. */
create table draws (
    event_id bigint primary key references events,
    secret bytea not null check (length(secret) = 32),
    commitment bytea not null generated always as (sha256(secret)) stored,
    public_source text check (length(public_source) between 1 and 1000),
    committed_at timestamptz not null default clock_timestamp(),
    closed_at timestamptz,
    accounts bigint[],
    lobby_numbers bigint[],
    list_sha256 bytea check (length(list_sha256) = 32),
    list_count integer,
    public_value text check (length(public_value) between 1 and 1000),
    value_given_at timestamptz,
    seed bytea check (length(seed) = 32),
    drawn bigint[],
    drawn_at timestamptz,
    check (num_nulls(closed_at, accounts, lobby_numbers, list_sha256, list_count) in (0, 5)),
    check (cardinality(accounts) = list_count and cardinality(lobby_numbers) = list_count),
    check (num_nulls(public_value, value_given_at) in (0, 2)),
    check (public_value is null or public_source is not null and closed_at is not null),
    check (num_nulls(seed, drawn, drawn_at) in (0, 3)),
    check (cardinality(drawn) = list_count),
    check (drawn_at is null or closed_at is not null
        and (public_source is null or public_value is not null))
);
create index draws_to_do on draws (event_id) where drawn_at is null;
create index draws_closed on draws (closed_at);
