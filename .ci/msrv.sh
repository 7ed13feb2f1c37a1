#!/usr/bin/env bash
# Builds the library with exactly the compiler that `rust-version` in Cargo.toml promises.
#
# Where rustup has that toolchain, it is used. Elsewhere it comes from Debian, whose archive holds more
# than one version of rustc-web: the packages are unpacked below target/ and not installed, as they
# conflict with other compilers. Only the libraries they load are installed.
# shellcheck source=.ci/lib.sh
source "$(dirname "$0")/lib.sh"

version=$(metadata rust-version)
minor=$(cut -d. -f1,2 <<<"$version")
unpacked=$target/msrv-toolchain/$version

# The newest of Debian's versions of rustc-web that is the one we want.
debian_version() {
    apt-cache madison rustc-web 2>/dev/null |
        awk -v want="$version" '!found && (index($3, want ".") == 1 || index($3, want "+") == 1) { found = $3 } END { print found }'
}

# download FOLDER: the packages of that version, into the folder.
download() {
    local debian
    debian=$(debian_version)
    [[ -n $debian ]] && cd "$1" && apt-get -qq -o APT::Sandbox::User=root download \
        {rustc-web,cargo-web,libstd-rust-web-dev,"libstd-rust-web-$minor"}="$debian"
}

unpack() {
    local deb lib missing=() new=$unpacked.new
    rm -rf "$new"
    mkdir -p "$new"
    # The second try is for a machine without lists of packages, or with old ones.
    (download "$new") || { apt-get -qq update && (download "$new"); } || fail "Rust $version is neither a" \
        "rustup toolchain here nor a Debian package. Run 'rustup toolchain install $version', or set" \
        "rust-version in Cargo.toml to a version that 'apt-cache madison rustc-web' lists:" \
        "$(apt-cache madison rustc-web 2>/dev/null | awk '{ print $3 }' | xargs)"
    for deb in "$new"/*.deb; do
        dpkg-deb --extract "$deb" "$new"
        for lib in $(dpkg-deb --field "$deb" Depends | tr , '\n' | sed -n 's/^ *\(lib[^ ]*\).*/\1/p'); do
            case $lib in libstd-rust-* | libc-dev) continue ;; esac # unpacked here; the linker's, there already
            [[ $(dpkg-query --show --showformat='${db:Status-Status}' "$lib" 2>/dev/null) == installed ]] || missing+=("$lib")
        done
        rm "$deb"
    done
    ((${#missing[@]} == 0)) || install "${missing[@]}"
    rm -rf "$unpacked"
    mv "$new" "$unpacked"
}

toolchain=
if command -v rustup >/dev/null; then
    toolchain=$(rustup toolchain list | grep -m1 -oE "^${version//./\\.}(\.[0-9]+)?-[^ ]+" || true)
fi
if [[ -n $toolchain ]]; then
    run=(rustup run "$toolchain")
else
    [[ -x $unpacked/usr/bin/rustc ]] || unpack
    bin=$(realpath "$unpacked/usr/bin")
    lib=$(echo "$bin"/../lib/*-linux-gnu*)
    run=(env PATH="$bin:$PATH" LD_LIBRARY_PATH="$lib" RUSTC="$bin/rustc")
fi

found=$("${run[@]}" rustc --version)
[[ $found =~ ^rustc\ ${version//./\\.}[.\ ] ]] || fail "asked for Rust $version and got: $found"
"${run[@]}" cargo --version
echo "$found" | tee "$logs/msrv.version"

# The versions of the dependencies are chosen by today's cargo, which respects rust-version.
[[ -f Cargo.lock ]] || cargo generate-lockfile
for features in "" --no-default-features --all-features; do
    echo "-- cargo build --lib --locked $features"
    CARGO_TARGET_DIR=$target/msrv "${run[@]}" cargo build --lib --locked ${features:+"$features"}
done
