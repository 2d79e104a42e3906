# shellcheck shell=bash disable=SC2034  # what is set here is used by the suites
# Sourced by every suite: where things are, and how what a suite needs gets installed once.

CLIENTS="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
WORK="${CLIENTS_WORK:-$CLIENTS/.work}"
APACHE_KAFKA="$CLIENTS/../../scripts/apache-kafka.sh"
export CLIENTS_WORK="$WORK"
mkdir -p "$WORK"

# install_once NAME COMMAND -- FILE...: runs COMMAND (a function or program), unless it succeeded before with the same
# content of the FILEs it depends on. Two suites that start together take turns.
install_once() {
  local name="$1" command="$2"
  shift 3
  local stamp="$WORK/$name.installed" wanted
  wanted="$(cat "$@" | sha256sum)"
  (
    flock 9
    [[ -f "$stamp" && "$(cat "$stamp")" == "$wanted" ]] && exit 0
    "$command" > "$WORK/$name.install.log" 2>&1 || {
      tail -n 20 "$WORK/$name.install.log" >&2
      echo "$name: cannot install what the suite needs (see $WORK/$name.install.log)" >&2
      exit 1
    }
    echo "$wanted" > "$stamp"
  ) 9> "$WORK/$name.lock"
}

# need_debian PROGRAM PACKAGE: installs a Debian package when its program is missing.
need_debian() {
  command -v "$1" > /dev/null && return
  apt-get install -y --no-install-recommends "$2" > "$WORK/apt-$2.log" 2>&1 && return
  { apt-get update && apt-get install -y --no-install-recommends "$2"; } > "$WORK/apt-$2.log" 2>&1 && return
  echo "the program $1 (Debian package $2) is missing and cannot be installed; see $WORK/apt-$2.log" >&2
  return 1
}

# start_suite PROGRAM ARGUMENT...: becomes the suite's program, unless only its installation is asked for.
start_suite() {
  [[ -z "${CLIENTS_INSTALL_ONLY:-}" ]] || exit 0
  exec "$@"
}

# The virtual environment of the Python clients, which the suites written in Python run in.
PYTHON="$WORK/python-venv/bin/python"

create_python_venv() {
  python3 -m venv "$WORK/python-venv"
  "$WORK/python-venv/bin/pip" install --quiet --disable-pip-version-check -r "$CLIENTS/python/requirements.txt"
}

install_python() { install_once python create_python_venv -- "$CLIENTS/python/requirements.txt"; }
