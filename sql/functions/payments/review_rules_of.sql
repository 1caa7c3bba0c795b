/* The rules of an organisation: what is counted, in which window, how much is let pass, and whether more
   than that is reviewed. Those about cards and addresses are off until an organisation wants them: a
   company's card and an office's address have many buyers.

   buyer_attempts: attempts to pay by the buyer. buyer_seats: seats that the buyer has paid, or is paying.
   card_buyers, card_bookings: who tried to pay with the card, and for how many bookings.
   address_buyers: who tried to pay from the address. gateway_review: 1 where the gateway wants a person
   to look at it. risk_level: what the gateway makes of it, 1 elevated, 2 highest. */
create or replace function review_rules_of(p_organisation bigint)
returns table (rule text, window_seconds integer, most smallint, action text)
language sql stable as $$
    select d.rule, coalesce(r.window_seconds, d.window_seconds), coalesce(r.most, d.most::smallint),
        coalesce(r.action, d.action)
    from (values
        ('buyer_attempts', 3600, 20, 'review'),
        ('buyer_seats', 86400, 100, 'review'),
        ('card_buyers', 86400, 4, 'none'),
        ('card_bookings', 86400, 20, 'none'),
        ('address_buyers', 3600, 10, 'none'),
        ('gateway_review', 3600, 0, 'review'),
        ('risk_level', 3600, 1, 'review')
    ) d (rule, window_seconds, most, action)
    left join review_rules r on r.organisation_id = p_organisation and r.rule = d.rule
$$;
