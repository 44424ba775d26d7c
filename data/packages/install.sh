#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Installs what is missing of the named package sets of packages.txt.
#
#   sh data/packages/install.sh build run try
#   sh data/packages/install.sh --list build        print the names, install nothing
#
# Debian and Ubuntu: apt-get as root or through sudo; nothing is called when nothing is missing.
# Fedora and Arch: prints the exact command and stops (status 3) when something is missing.
# Other systems: status 0 with a warning; the build then names what it misses.
set -eu

table=$(dirname "$0")/packages.txt
list=0
[ "${1:-}" = --list ] && { list=1; shift; }
[ $# -gt 0 ] || { echo "usage: install.sh [--list] SET..." >&2; exit 2; }

ID= ID_LIKE=
[ -r /etc/os-release ] && . /etc/os-release
case " $ID $ID_LIKE " in
  *" debian "* | *" ubuntu "*) family=debian column=2 ;;
  *" fedora "* | *" rhel "*) family=fedora column=3 ;;
  *" arch "*) family=arch column=4 ;;
  *)
    echo "install.sh: ${PRETTY_NAME:-this system} is not known here; the packages wanted are," \
      "by their Debian names: $(awk -v sets=" $* " '/^#/ || !NF { next }
        index (sets, " " $1 " ") && $2 != "-" { printf "%s ", $2 }' "$table")" >&2
    exit 0 ;;
esac

wanted=$(awk -v sets=" $* " -v column=$column '/^#/ || !NF { next }
  index (sets, " " $1 " ") && $column != "-" { print $column }' "$table" | sort -u)

if [ $list = 1 ]; then
  echo "$wanted"
  exit 0
fi

missing=
case $family in
  debian)
    have=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' $wanted 2>/dev/null |
      awk '$1 == "installed" { print $2 }' || true)
    for p in $wanted; do
      echo "$have" | grep -qxF "$p" || missing="$missing $p"
    done ;;
  fedora)
    for p in $wanted; do rpm -q --whatprovides "$p" >/dev/null 2>&1 || missing="$missing $p"; done ;;
  arch)
    for p in $wanted; do pacman -Qq "$p" >/dev/null 2>&1 || missing="$missing $p"; done ;;
esac
[ -n "$missing" ] || exit 0

case $family in
  fedora) echo "install.sh: run this, then start again:  sudo dnf install$missing" >&2; exit 3 ;;
  arch) echo "install.sh: run this, then start again:  sudo pacman -S --needed$missing" >&2; exit 3 ;;
esac

as_root=
if [ "$(id -u)" != 0 ]; then
  if ! command -v sudo >/dev/null 2>&1; then
    echo "install.sh: run this as root, then start again:  apt-get install$missing" >&2
    exit 3
  fi
  as_root=sudo
fi

echo "install.sh: installing$missing" >&2
apt () { # a proxy and a front end that asks nothing survive sudo only when named
  $as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o Dpkg::Use-Pty=0 "$@" >&2
}
# Old lists name versions that the mirror no longer has, so one failure is answered by an update.
if ! apt-cache policy $missing 2>/dev/null | grep -q 'Candidate: [0-9]'; then
  apt update
fi
apt install --no-install-recommends $missing || {
  apt update
  apt install --no-install-recommends $missing
}
