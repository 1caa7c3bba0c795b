/* Writes a mail to an account, about no booking, and the task that sends it. */
create or replace function mail_staff(p_account bigint, p_template text, p_context jsonb) returns void
language plpgsql as $$
declare
    mail uuid;
begin
    insert into emails (buyer_id, template, context) values (p_account, p_template, p_context)
    returning id into mail;
    perform enqueue('send_email', 'mail', null, jsonb_build_object('email_id', mail));
end $$;
