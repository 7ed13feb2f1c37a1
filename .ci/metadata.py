"""Prints one fact of the root package, a line each, from `cargo metadata --no-deps` on stdin."""

import json
import os
import sys

workspace = json.load(sys.stdin)
manifest = os.path.join(workspace["workspace_root"], "Cargo.toml")
package = next(p for p in workspace["packages"] if p["manifest_path"] == manifest)
facts = {
    "rust-version": lambda: [package["rust_version"]],
    "features": lambda: [name for name in package["features"] if name != "default"],
    "default": lambda: package["features"]["default"],
    "examples": lambda: [t["name"] for t in package["targets"] if "example" in t["kind"]],
}
for line in sorted(facts[sys.argv[1]]()):
    print(line)
