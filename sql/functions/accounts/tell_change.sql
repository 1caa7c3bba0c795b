/* Mails the person of an account that a way to sign in, or to give a second factor, has changed: who has taken a
   session over cannot do it unseen. Not to an address that was never proven: another person may have made the
   account for it, and the first proof ends what was set up. */
create or replace function tell_change(p_account bigint, p_change text) returns void language sql as $$
    select mail_staff(p_account, 'sign_in_changed', jsonb_build_object('change', p_change))
    where is_verified(p_account)
$$;
