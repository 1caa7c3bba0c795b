/* An organisation that an operator has suspended: nothing is sold and nothing is paid out by hand until that
   is lifted. What is under way ends as usual, and tickets open the door. */
alter table organisations
    add suspended_at timestamptz,
    add suspension text check (length(suspension) between 1 and 500),
    add constraint organisations_suspended check ((suspended_at is null) = (suspension is null));
