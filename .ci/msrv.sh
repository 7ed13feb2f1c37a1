#!/usr/bin/env bash
# Builds the library with the compiler that `rust-version` in Cargo.toml promises, or with an older one.
#
# Where rustup has that toolchain, it is used. Elsewhere a compiler comes from Debian, whose archive holds more
# than one version of rustc-web: the packages are unpacked below target/ and not installed, as they
# conflict with other compilers. Only the libraries they load are installed. Of the versions that are not newer than
# the promised one the newest is taken. If it is older, that is the stricter check: what it builds, the promised one builds
# too, as whatever is stable stays so. It is lent the only thing of later versions that is used here, which 1.88 has
# made stable: `let` in chains of conditions.
# shellcheck source=.ci/lib.sh
source "$(dirname "$0")/lib.sh"

version=$(metadata rust-version)
minor=$(cut -d. -f1,2 <<<"$version")
toolchains=$target/msrv-toolchain

# The newest of Debian's versions of rustc-web that is not newer than the one we want.
debian_version() {
    apt-cache madison rustc-web 2>/dev/null | awk -v want="$minor" '
        { split($3, have, "."); split(want, most, ".") }
        have[1] == most[1] && have[2] + 0 <= most[2] + 0 && have[2] + 0 > newest { newest = have[2] + 0; found = $3 }
        END { print found }'
}

# download FOLDER: the packages of that version, into the folder.
download() {
    local debian
    debian=$(debian_version)
    [[ -n $debian ]] && cd "$1" && apt-get -qq -o APT::Sandbox::User=root download \
        {rustc-web,cargo-web,libstd-rust-web-dev,"libstd-rust-web-$(cut -d. -f1,2 <<<"$debian")"}="$debian"
}

unpack() {
    local deb lib missing=() new=$toolchains/new
    rm -rf "$new"
    mkdir -p "$new"
    # The second try is for a machine without lists of packages, or with old ones.
    (download "$new") || { apt-get -qq update && (download "$new"); } || fail "Rust $version is neither a" \
        "rustup toolchain here nor is it, or an older one, a Debian package. Run 'rustup toolchain install $version'." \
        "'apt-cache madison rustc-web' lists: $(apt-cache madison rustc-web 2>/dev/null | awk '{ print $3 }' | xargs)"
    for deb in "$new"/*.deb; do
        dpkg-deb --extract "$deb" "$new"
        for lib in $(dpkg-deb --field "$deb" Depends | tr , '\n' | sed -n 's/^ *\(lib[^ ]*\).*/\1/p'); do
            case $lib in libstd-rust-* | libc-dev) continue ;; esac # unpacked here; the linker's, there already
            [[ $(dpkg-query --show --showformat='${db:Status-Status}' "$lib" 2>/dev/null) == installed ]] || missing+=("$lib")
        done
        rm "$deb"
    done
    ((${#missing[@]} == 0)) || install "${missing[@]}"
    rm -rf "$toolchains/$version"
    mv "$new" "$toolchains/$version"
}

toolchain=
if command -v rustup >/dev/null; then
    toolchain=$(rustup toolchain list | grep -m1 -oE "^${version//./\\.}(\.[0-9]+)?-[^ ]+" || true)
fi
if [[ -n $toolchain ]]; then
    run=(rustup run "$toolchain")
else
    [[ -x $toolchains/$version/usr/bin/rustc ]] || unpack
    bin=$(realpath "$toolchains/$version/usr/bin")
    lib=$(echo "$bin"/../lib/*-linux-gnu*)
    run=(env PATH="$bin:$PATH" LD_LIBRARY_PATH="$lib" RUSTC="$bin/rustc")
fi

found=$("${run[@]}" rustc --version)
older=()
if [[ ! $found =~ ^rustc\ ${version//./\\.}[.\ ] ]]; then
    have=$(sed -n 's/^rustc 1\.\([0-9]*\)\..*/\1/p' <<<"$found")
    [[ -n $have ]] && ((have < ${minor#1.})) || fail "asked for Rust $version and got: $found"
    older=(--ignore-rust-version)
    run+=(env RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zcrate-attr=feature(let_chains)")
    found="$found, older than the promised $version, with let chains"
fi
"${run[@]}" cargo --version
echo "$found" | tee "$logs/msrv.version"

# The versions of the dependencies are chosen by today's cargo, which respects rust-version.
[[ -f Cargo.lock ]] || cargo generate-lockfile
for features in "" --no-default-features --all-features; do
    echo "-- cargo build --lib --locked $features"
    CARGO_TARGET_DIR=$target/msrv "${run[@]}" cargo build --lib --locked "${older[@]}" ${features:+"$features"}
done
