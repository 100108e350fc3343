#!/bin/sh
# Install what the container and browser tests use, as far as it is missing.  Debian and Ubuntu, as root.
set -eu
missing=""
need() { command -v "$1" >/dev/null 2>&1 || missing="$missing $2"; }
need git git
need dockerd docker.io
need debootstrap debootstrap
need chromium chromium
need unshare util-linux
need iptables iptables
[ -z "$missing" ] && exit 0
echo "installing:$missing"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# shellcheck disable=SC2086
apt-get install -y -qq --no-install-recommends $missing >/dev/null
