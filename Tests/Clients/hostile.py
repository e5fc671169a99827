"""usage: hostile.py --port PORT --pid PID --log FILE CASE   or   hostile.py --list

Attacks a `crossserver serve` over bare sockets; fails when it does not stand the attack as it should.
"""

import argparse
import sys

import hostile_connections
import hostile_frames
import hostile_messages

CASES = {
    f"{group}: {name}": case
    for group, module in (
        ("messages", hostile_messages),
        ("frames", hostile_frames),
        ("connections", hostile_connections),
    )
    for name, case in module.CASES.items()
}


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--port", type=int)
    parser.add_argument("--pid", type=int, help="of the server, for its memory")
    parser.add_argument("--log", help="the file that the server logs to")
    parser.add_argument("case", nargs="?")
    options = parser.parse_args()
    if options.list:
        print("\n".join(CASES))
    elif options.case in CASES:
        CASES[options.case](options)
    else:
        sys.exit(f"there is no case {options.case!r}")


main()
