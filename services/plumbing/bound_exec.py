"""Becomes another program, which ends when the process that started it ends, whatever ended that.

Run as a script, with the standard library alone:
`bound_exec.py SIGNAL PARENT USER GROUP PROGRAM [ARGUMENT...]`.
USER and GROUP are numbers, or "-" to stay who we are.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1
KEEP = "-"


def main(arguments: list[str]) -> None:
    end_signal, parent, user, group, *command = arguments
    # Loaded first: another account may not be allowed to read Python's own files.
    library = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
    if user != KEEP:
        os.setgroups([])
        os.setgid(int(group))
        os.setuid(int(user))
    if library is not None:
        # After the change of user, because that clears it; it survives exec.
        if library.prctl(PR_SET_PDEATHSIG, int(end_signal), 0, 0, 0) != 0:
            sys.exit(f"prctl: {os.strerror(ctypes.get_errno())}")
        if os.getppid() != int(parent):
            sys.exit("the process that started this one has ended")
    os.execv(command[0], command)  # noqa: S606 — becoming the given program is the purpose


if __name__ == "__main__":
    main(sys.argv[1:])
