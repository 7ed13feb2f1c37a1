"""Every ignored test says why, and the reason agrees with the name, by which `.ci/run` and `.ci/deep` choose:
`#[ignore = "needs ..."]` runs in .ci/run; `#[ignore = "deep: ..."]` on a test named deep_* in .ci/deep."""

import pathlib
import re
import sys

IGNORED = re.compile(r"^[ \t]*#\[ignore(?:\s*=\s*\"([^\"]*)\")?\s*\](?:(?!\bfn\b)[^{])*\bfn (\w+)", re.MULTILINE)

wrong = []
for path in sorted([*pathlib.Path("src").rglob("*.rs"), *pathlib.Path("tests").rglob("*.rs")]):
    for reason, name in IGNORED.findall(path.read_text()):
        if not reason:
            wrong.append(f'{path}: {name} is ignored without a reason: #[ignore = "needs ..."] or "deep: ..."')
        elif reason.startswith("deep:") != name.startswith("deep_") or ("deep_" in name) != name.startswith("deep_"):
            wrong.append(f'{path}: {name} is ignored as "{reason}": a test is named deep_* if its reason begins with deep:')
print("\n".join(wrong), end="\n" if wrong else "")
sys.exit(bool(wrong))
