#!/usr/bin/env bash
# Shows how this host is set up for Flumen: setting, now, wanted, effect. Changes nothing. See knobs.sh for the variables.
set -euo pipefail
HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# shellcheck source=knobs.sh
source "$HERE/knobs.sh"

row() { printf '%-30s %-22s %-22s %-4s %s\n' "$1" "$2" "$3" "$4" "$5"; }

knob() { # NAME PATH WANTED EFFECT
  local now
  if [[ ! -e "$2" ]]; then
    local wanted="${3#>=}"
    [[ "$3" != "!"* ]] || wanted="-"
    row "$1" "-" "$wanted" "n/a" "$4 (this machine does not offer it)"
    return
  fi
  if ! now="$(value_of "$2")"; then row "$1" "?" "${3#>=}" "n/a" "$4 (it cannot be read)"; return; fi
  if [[ "$3" == "!"* ]]; then row "$1" "${now:--}" "-" "" "$4; ${3#!}"; return; fi
  if fits "$now" "$3"; then row "$1" "$now" "$3" "ok" "$4"; return; fi
  if ! offers "$2" "$3"; then row "$1" "$now" "$3" "n/a" "$4 (the kernel does not have it)"; return; fi
  row "$1" "$now" "$3" "set" "$4"
}

row SETTING NOW WANTED "" EFFECT
each_knob
limit() { # NAME FLAG WANTED EFFECT
  local now; now="$(ulimit "$2")"
  local verdict=set
  [[ "$now" != unlimited ]] && ! { [[ "$3" =~ ^[0-9]+$ ]] && ((now >= $3)); } || verdict=ok
  row "$1" "$now" "$3" "$verdict" "$4 (of this shell; flumen.service sets it)"
}
limit "locked memory, KiB" -l unlimited "rings and registered buffers are locked"
limit "open files" -n 1048576 "a descriptor a connection and a segment"
directory="$DATA"
while [[ ! -e "$directory" ]]; do directory="$(dirname "$directory")"; done
if mount="$(findmnt -no FSTYPE,OPTIONS -T "$directory" 2>/dev/null)"; then
  verdict=set; [[ "$mount" == *noatime* && "$mount" == *lazytime* ]] && verdict=ok
  row "mount of $DATA" "${mount:0:21}" "noatime,lazytime" "$verdict" \
    "no write for a read, and no inode with a commit for its time: remount with both, and in /etc/fstab"
fi
echo
echo "set: apply.sh changes it (limits and mounts: by you); ok: as wanted; n/a: not on this machine, which is no fault of it."
