/* Returns the review rules of an organisation: the time window of each, the most that passes, and whether
   more leads to a review. Rules about cards and addresses are off until an organisation sets them: the card
   of a company and the address of an office have many buyers.

   buyer_attempts: attempts of the buyer to pay. buyer_seats: seats that the buyer has paid, or is paying.
   card_buyers, card_bookings: buyers who tried to pay with the card, and their bookings.
   address_buyers: buyers who tried to pay from the address. gateway_review: 1 if the gateway wants a
   review. risk_level: the gateway's opinion, 1 elevated, 2 highest. buyer_declines, card_declines,
   address_declines: payments of the buyer, with the card, or from the address that were declined before, or
   left on the bank's page (counts_as_decline). */
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
        ('risk_level', 3600, 1, 'review'),
        ('buyer_declines', 3600, 3, 'review'),
        ('card_declines', 86400, 4, 'review'),
        ('address_declines', 3600, 20, 'none')
    ) d (rule, window_seconds, most, action)
    left join review_rules r on r.organisation_id = p_organisation and r.rule = d.rule
$$;
