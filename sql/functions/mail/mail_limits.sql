/* Lists how many mails of these kinds a mailbox may get in how much time (mail_kind). Until an address is
   verified another person may have given it. Codes do not count for the longer limits: a stranger who asks
   for codes does not delay tickets, and tickets do not delay the code that proves the address. */
create or replace function mail_limits(
    p_verified boolean, out kinds text[], out most integer, out period interval)
returns setof record language sql immutable as $$
    select l.kinds::text[], l.most, l.period
    from (values
        (false, '{code,needed,notice}', 3, interval '30 s'),
        (false, '{needed,notice}', 10, interval '1 h'),
        (false, '{needed,notice}', 20, interval '1 day'),
        (false, '{notice}', 3, interval '1 h'),
        (false, '{code}', 6, interval '1 h'),
        (true, '{code,needed,notice}', 20, interval '30 s'),
        (true, '{needed,notice}', 100, interval '1 h'),
        (true, '{code}', 6, interval '1 h')
    ) l(verified, kinds, most, period)
    where l.verified = p_verified
$$;
