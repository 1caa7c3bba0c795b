/* Does for an address that no account has what mail_code does for others, as far as the time of an answer could tell
   them apart: the same lock, count and row, and the write that the commit waits for. The row proves nothing, as it
   has no account. It is counted for this very address, so that other spellings of a mailbox take none of its six. */
create or replace function pretend_code(p_email text, p_purpose text, p_request bytea, p_hash bytea) returns void
language plpgsql as $$
declare
    box constant bigint := hashtextextended('no account: ' || lower(p_email), 0);
begin
    perform pg_advisory_xact_lock(hashtext('usher.mail_code'), hashint8(box));
    insert into mailed_codes (request_sha256, purpose, mailbox, code_sha256)
    select p_request, p_purpose, box, p_hash
    where (select count(*) < 6 from mailed_codes c
           where c.mailbox = box and c.created_at > clock_timestamp() - interval '1 h');
end $$;
