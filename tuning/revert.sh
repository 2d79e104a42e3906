#!/usr/bin/env bash
# Puts back what apply.sh changed, and says what. Without anything to put back it does nothing.
set -euo pipefail
HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# shellcheck source=knobs.sh
source "$HERE/knobs.sh"

[[ -s "$STATE" ]] || { echo "nothing to revert"; exit 0; }
left=""
while IFS=$'\t' read -r path before; do
  [[ -e "$path" ]] || continue
  if printf '%s\n' "$before" 2>/dev/null > "$path"; then
    echo "${path#"$ROOT"}: back to $before"
  else
    echo "${path#"$ROOT"}: the kernel refuses $before"
    left+="$path	$before"$'\n'
  fi
done < "$STATE"
printf '%s' "$left" > "$STATE"
[[ -n "$left" ]] || rm -f "$STATE"
