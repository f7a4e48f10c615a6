#!/bin/sh
# A base image with Python, for where none can be pulled: Debian's minimal system by debootstrap,
# from the mirror that this machine uses. Usage, as root: sh config/base-image.sh NAME [PACKAGE...]
set -eu
name=${1:?give the name of the image}
shift
. /etc/os-release
mirror=$(apt-get indextargets --format '$(REPO_URI)' "Codename: $VERSION_CODENAME" | head -n 1)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

debootstrap --variant=minbase --include="$(echo python3-venv ca-certificates "$@" | tr ' ' ,)" \
    "$VERSION_CODENAME" "$folder/root" "$mirror" > "$folder/log" || { cat "$folder/log"; exit 1; }
rm -rf "$folder"/root/var/cache/apt/archives/* "$folder"/root/var/lib/apt/lists/*
tar --create --directory="$folder/root" --exclude=./proc/* --exclude=./sys/* --exclude=./dev/* . \
    | docker import - "$name"
