/* Mails a code to an account, unless its mailbox has had six within the hour; whether it is on its way. p_code:
   the digits, which the mail shows; p_request, p_hash: see the table mailed_codes. A person who asks for codes
   in two browsers gets two, each good where it was asked for. */
create or replace function mail_code(
    p_account bigint, p_purpose text, p_template text, p_code text, p_request bytea, p_hash bytea)
returns boolean language plpgsql as $$
declare
    task bigint;
    box constant bigint := (select mailbox_of(account_address(p_account, p_template)));
begin
    perform pg_advisory_xact_lock(hashtext('usher.mail_code'), hashint8(box));
    if (select count(*) >= 6 from mailed_codes c
        where c.mailbox = box and c.created_at > clock_timestamp() - interval '1 h') then
        return false;
    end if;
    insert into mailed_codes (request_sha256, purpose, account_id, mailbox, code_sha256)
    values (p_request, p_purpose, p_account, box, p_hash);
    with email as (
        insert into emails (buyer_id, template, context)
        values (p_account, p_template, jsonb_build_object('code', p_code)) returning id
    )
    select enqueue('send_email', 'mail', null, jsonb_build_object('email_id', id)) into task from email;
    return true;
end $$;
