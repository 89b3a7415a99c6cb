#!/bin/bash
# Builds the Debian package target/debian/ioriot_VERSION_amd64.deb: packaging/deb.sh [--no-build]
#
# The program, a manual page for every verb, completions for bash, zsh and fish, and the documentation. With --no-build it takes
# target/release/ioriot as it is. Needs cargo-deb (cargo install cargo-deb), and lintian to look at what came out.
set -euo pipefail
cd "$(dirname "$0")/.."

command -v cargo-deb >/dev/null || { echo 'cargo-deb is missing: cargo install --locked cargo-deb' >&2 && exit 2; }
case ${1-} in
'') cargo build --locked --release ;;
--no-build) ;;
*) sed -n 2,5p "$0" >&2 && exit 2 ;;
esac

ioriot=target/release/ioriot
made=target/packaging
rm -rf "$made"
mkdir -p -m 755 "$made"
"$ioriot" man "$made/man"
"$ioriot" completions bash >"$made/ioriot.bash"
"$ioriot" completions zsh >"$made/_ioriot"
"$ioriot" completions fish >"$made/ioriot.fish"

version=$("$ioriot" --version | cut -d ' ' -f 2)
maintainer=$(sed -n 's/^maintainer = "\(.*\)"$/\1/p' Cargo.toml)
# Who builds it for others is its maintainer, named as for Debian's own tools (debchange(1)).
[[ ${DEBEMAIL-} ]] && maintainer="${DEBFULLNAME:-$USER} <$DEBEMAIL>"

changes() { # the items of this version in CHANGELOG.md, as Debian writes them
    awk -v version="$version" '
        /^## / { on = $2 == version }
        on && /^- / { if (item) print item; item = substr($0, 3) }
        on && /^  / { item = item " " substr($0, 3) }
        END { if (item) print item }' CHANGELOG.md |
        tr -d '*`' | sed 's/\[\([^]]*\)\]([^)]*)/\1/g' |
        while read -r item; do fold -s -w 74 <<<"$item" | sed 's/ *$//; 1s/^/  * /; 2,$s/^/    /'; done
}

# The date of the change, so that one state of the source gives one package.
date=$(date --utc --rfc-email --date="@$(git log -1 --format=%ct 2>/dev/null || stat -c %Y CHANGELOG.md)")
printf 'ioriot (%s) unstable; urgency=medium\n\n%s\n\n -- %s  %s\n' "$version" "$(changes)" "$maintainer" "$date" |
    gzip -9n >"$made/changelog.gz"

cargo deb --no-build --no-strip --locked --maintainer "$maintainer"
deb=$(ls -t target/debian/ioriot_"$version"*.deb | head -1)
if command -v lintian >/dev/null; then
    lintian --fail-on error,warning "$deb"
else
    echo 'lintian is missing: the package was not looked at' >&2
fi
echo "$deb"
