# To be sourced by scripts that leave out what a machine cannot do: said, and written down where IORIOT_SKIPPED says.

skip() { # skip NEED WHY
    echo "SKIPPED: $2" >&2
    [[ -z ${IORIOT_SKIPPED-} ]] || printf '%s: %s: %s\n' "${step:-${0##*/}}" "$1" "$2" >>"$IORIOT_SKIPPED"
}
