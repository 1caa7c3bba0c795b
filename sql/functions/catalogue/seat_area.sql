/* Returns the area in which a seat is. All seats are in area 1. */
create or replace function seat_area(p_seat seats) returns smallint language sql immutable as $$
    select 1::smallint
$$;
