"""Run a command that ends when the process that started it dies.

    python -I -S ops/local/tether.py SIGNAL PARENT_PID UID GID COMMAND...

A supervisor that is killed with SIGKILL cannot stop its children, but the kernel can (on Linux;
elsewhere the tether is a plain exec). This is a script because subprocess' preexec_fn is unsafe
with threads. It changes the user first and sets the death signal second, because changing the user
clears that. UID or GID -1 keeps the present one.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def become_user(uid: int, gid: int) -> None:
    if uid < 0:
        return
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)


def tie_to_parent(signal_number: int, parent_pid: int) -> None:
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal_number, 0, 0, 0)
    if os.getppid() != parent_pid:  # the parent died before the death signal was set
        sys.exit("the process that started this one has ended")


def main() -> None:
    signal_number, parent_pid, uid, gid = map(int, sys.argv[1:5])
    become_user(uid, gid)
    tie_to_parent(signal_number, parent_pid)
    os.execvp(sys.argv[5], sys.argv[5:])


if __name__ == "__main__":
    main()
