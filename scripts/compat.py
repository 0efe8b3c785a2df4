"""Calls every RPC that COMPAT.md has a row for, with an empty request: what the row calls Unimplemented must answer so, with
the method's name, and nothing else may. Usage: compat.py ADDRESS"""
from __future__ import annotations

import pathlib
import re
import sys

import grpc

COMPAT = pathlib.Path(__file__).parent.parent / "COMPAT.md"
PATIENCE = 3  # seconds; a call that is still waiting then is implemented


def rows() -> dict[str, str]:
    """Full method name -> state."""
    found, service = {}, ""
    for line in COMPAT.read_text().splitlines():
        if line.startswith("## "):
            service = line.removeprefix("## ").strip()
        elif row := re.match(r"\| ([\w./]+) \| (works|partly|Unimplemented)", line):
            name = row[1] if "/" in row[1] else f"{service}/{row[1]}"
            if "reflection" not in name:  # a stream, tried by grpcurl and the like
                found[name] = row[2]
    return found


def main() -> int:
    passed, wrong = 0, []
    with grpc.insecure_channel(sys.argv[1]) as channel:
        for name, state in rows().items():
            code, message = grpc.StatusCode.OK, ""
            call = channel.unary_stream(f"/{name}")  # takes unary answers too
            try:
                answers = call(b"", timeout=PATIENCE)
                next(answers, None)
                answers.cancel()
            except grpc.RpcError as error:
                code, message = error.code(), error.details() or ""
            unimplemented = code == grpc.StatusCode.UNIMPLEMENTED
            if unimplemented != (state == "Unimplemented"):
                wrong.append(f"{name}: COMPAT.md says {state}, the server {code.name} {message}")
            elif unimplemented and name.rpartition("/")[2] not in message:
                wrong.append(f"{name}: the answer does not name it: {message}")
            else:
                passed += 1
    for line in wrong:
        print(f"FAIL {line}")
    print(f"{passed} passed, {len(wrong)} failed")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
