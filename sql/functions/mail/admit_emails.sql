/* Decides which mails may be sent now, by the limits of their mailboxes. seconds: 0: now; more: put it off,
   the mailbox is full until then. A notice or a code that would have to wait for longer than a minute is
   ended as skipped, and is not returned; so is one of a test to an address that is no member's. Mailboxes are locked in one order, and this is the only function
   that locks them. A mail that was admitted keeps its admission when the mail server makes it wait. */
create or replace function admit_emails(p_ids uuid[], out id uuid, out seconds float8)
returns setof record language plpgsql as $$
declare
    now constant timestamptz := clock_timestamp();
    mail record;
    wait interval;
begin
    perform lock_mailboxes(p_ids);
    for mail in select * from list_recipients(p_ids) r order by r.mailbox, r.id loop
        if not keeps_to_members(mail.id) then
            update emails set state = 'skipped', last_error = 'test mode: the address is no member''s'
            where emails.id = mail.id;
            continue;
        end if;
        wait := case when mail.admitted_at is null
            then mailbox_wait(mail.mailbox, mail.verified, mail.kind, now) else '0' end;
        if mail.admitted_at is null and wait = '0' then
            perform note_admission(mail.id, mail.mailbox, mail.kind, now);
        end if;
        if mail.kind <> 'needed' and wait > '1 min' then
            update emails set state = 'skipped', last_error = 'its mailbox has had too many mails'
            where emails.id = mail.id;
        else
            id := mail.id;
            seconds := extract(epoch from wait);
            return next;
        end if;
    end loop;
end $$;

/* Lists the mails that are not sent yet, with where they go. verified: the buyer reads the mailbox. */
create or replace function list_recipients(
    p_ids uuid[], out id uuid, out kind text, out admitted_at timestamptz, out mailbox bigint,
    out verified boolean)
returns setof record language sql stable as $$
    select m.id, mail_kind(m.template), m.admitted_at, mailbox_of(coalesce(c, account_address(b.id, m.template))),
        c is null and m.template <> 'new_address' and a.verified_at is not null
    from emails m
    join buyers b on b.id = m.buyer_id
    join accounts a on a.id = m.buyer_id
    cross join lateral booking_address(m.event_id, m.booking_id) c
    where m.id = any (p_ids) and m.state = 'pending'
$$;

create or replace function lock_mailboxes(p_ids uuid[]) returns void language sql as $$
    insert into mailboxes (mailbox)
    select distinct r.mailbox from list_recipients(p_ids) r order by 1
    on conflict (mailbox) do update set last_day = excluded.last_day
$$;

/* Returns how long a mailbox has to wait for a mail of this kind; '0': not at all. */
create or replace function mailbox_wait(p_mailbox bigint, p_verified boolean, p_kind text, p_now timestamptz)
returns interval language sql stable as $$
    select greatest('0', max(oldest.at + l.period - p_now))
    from mailboxes b
    cross join lateral mail_limits(p_verified) l
    cross join lateral (
        select s.at from unnest(b.sent, b.kinds) s(at, kind)
        where s.kind = any (l.kinds) order by s.at desc offset l.most - 1 limit 1) oldest
    where b.mailbox = p_mailbox and p_kind = any (l.kinds)
$$;

/* Notes that a mail goes to a mailbox. */
create or replace function note_admission(p_id uuid, p_mailbox bigint, p_kind text, p_now timestamptz)
returns void language sql as $$
    update emails set admitted_at = p_now where id = p_id;
    update mailboxes set sent = (p_now || sent)[:120], kinds = (p_kind || kinds)[:120]
    where mailbox = p_mailbox;
$$;
