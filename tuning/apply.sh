#!/usr/bin/env bash
# Sets what check.sh calls "set", says what and why, and keeps what was before for revert.sh. May be run again at any time:
# what is as wanted is left alone, and the first value that was found is the one that is kept. Lasts until the next boot.
set -euo pipefail
HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# shellcheck source=knobs.sh
source "$HERE/knobs.sh"

mkdir -p "$(dirname "$STATE")"
touch "$STATE"
changed=0 refused=0

knob() { # NAME PATH WANTED EFFECT
  local now wanted="${3#[<>]=}"
  [[ -e "$2" && "$3" != "!"* ]] || return 0
  now="$(value_of "$2")" || return 0
  ! fits "$now" "$3" || return 0
  offers "$2" "$3" || return 0
  grep -qF "$2	" "$STATE" || printf '%s\t%s\n' "$2" "$now" >> "$STATE"
  if printf '%s\n' "$wanted" 2>/dev/null > "$2"; then
    echo "$1: $now -> $wanted ($4)"
    changed=$((changed + 1))
  else
    echo "$1: the kernel refuses $wanted; left at $now"
    refused=$((refused + 1))
  fi
}

each_knob
echo "$changed settings changed, $refused refused; revert.sh undoes them from $STATE"
