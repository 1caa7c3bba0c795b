/* Makes a block of HMAC-SHA256 (RFC 2104): the key, padded to 64 bytes, each byte XOR p_pad. The two blocks
   are the same for all messages. With the core's sha256() no extension is needed. */
create or replace function hmac_block(p_key bytea, p_pad integer) returns bytea
language plpgsql immutable strict as $$
declare
    key constant bytea := case when length(p_key) > 64 then sha256(p_key) else p_key end;
    block bytea := decode(repeat(to_hex(p_pad), 64), 'hex');
begin
    for i in 0 .. length(key) - 1 loop
        block := set_byte(block, i, get_byte(key, i) # p_pad);
    end loop;
    return block;
end $$;
