/* Tells whether what the gateway says of a payment or a refund goes further than the state that is known
   here, by their ranks. There is one exception: an attempt that failed can be made anew on the same object
   of the gateway, so its authorisation is news. A state that is no word of ours is none. */
create or replace function is_news(p_object text, p_known text, p_says text) returns boolean
language sql immutable as $$
    select coalesce(news_rank(p_object, p_says) > news_rank(p_object, p_known)
        or p_object = 'payment' and p_known = 'failed' and p_says = 'authorised', false)
$$;

/* The table of ranks. A state can only be followed by one of a higher rank, until an attempt has failed:
   then it begins anew. So from each state to a later one, whatever came between, something is news. */
create or replace function news_rank(p_object text, p_state text) returns integer
language sql immutable as $$
    select case p_object || ' ' || p_state
        when 'payment intended' then 0
        when 'payment unknown' then 0
        when 'payment requires_action' then 1
        when 'payment processing' then 2
        when 'payment authorised' then 3
        when 'payment failed' then 4
        when 'payment voided' then 4
        when 'payment captured' then 5
        when 'refund pending' then 0
        when 'refund succeeded' then 1
        when 'refund failed' then 2
        end
$$;
