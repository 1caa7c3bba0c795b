"""What a hostile client can do with what is allowed: each attack, and what it must not get.

`scene` has the stack with limits on, and clients with addresses of their own; `table` what an
attack is; `people` those who sign in. The attacks stand in files by what they are about: `caches`,
`cards`, `seats`, `mails`, `backlogs`, `sign_ins`, `codes`, `sessions`, `staff`, `providers`,
`addresses`, `protocol`. `mixed` runs many at once beside honest buyers, who
are a process of their own (`crowd`).
"""
