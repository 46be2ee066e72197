#!/bin/sh
# Makes .venv where there is none that fits, and says in one line why there can be none: tools/venv.sh PYTHON WISHED GOALS
#
# WISHED is "wished" where somebody named PYTHON: a .venv of another version is then made anew. Otherwise a .venv that is
# recent enough is kept, whatever python3 is. `.venv/.python` is as old as the .venv, for make; GOALS is what make makes.
set -eu
python=$1 wished=$2 goals=$3

version() { "$1" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null; }
is_recent() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }
fail() { echo "$1" >&2; exit 1; }

present=
if [ -e .venv ]; then present=$(version .venv/bin/python || echo 'a Python that is gone'); fi
if [ -n "$present" ] && is_recent .venv/bin/python; then
    if [ "$wished" != wished ] || [ "$present" = "$(version "$python" || true)" ]; then
        [ -e .venv/.python ] || touch -r .venv/pyvenv.cfg .venv/.python
        exit 0
    fi
fi

found=$(version "$python") || fail "$python does not start: install Python 3.11 or newer, or name one: make $goals PYTHON=python3.11"
if ! is_recent "$python"; then
    other='install a newer one'
    for name in python3.14 python3.13 python3.12 python3.11; do
        if is_recent "$name"; then other="name a newer one: make $goals PYTHON=$name"; break; fi
    done
    fail "$python is Python $found, and 3.11 or newer is needed; $other"
fi
[ -z "$present" ] || echo "making .venv anew with Python $found; it had $present"
"$python" -m venv --clear .venv >&2 || { rm -rf .venv; fail 'no venv: on Debian, apt-get install python3-venv'; }
touch .venv/.python
