#!/usr/bin/env bash
# Prove that a new machine is enough: a minimal Debian with only python3, python3-venv and make, no
# compiler, and no network except the package index. A fresh clone of HEAD is put into an empty,
# private (0700) home; first as root, then as an ordinary user.
#
#   ops/prove_clean_root.sh [COMMAND...]       default: "make install" "make demo"
#
# Run as root on a machine with debootstrap and git. ROOT_DIR=… keeps and reuses the Debian root.
set -euo pipefail
cd "$(dirname "$0")/.."
[ "$(id -u)" = 0 ] || { echo "run this as root: it needs chroot and mount"; exit 1; }
[ $# -gt 0 ] || set -- "make install" "make demo"

root=$(realpath -m "${ROOT_DIR:-$(mktemp -d)}")
mkdir -p "$root"
chmod 755 "$root"

finish() {
    for folder in dev/shm dev proc; do umount -l "$root/$folder" 2>/dev/null || true; done
    [ -n "${ROOT_DIR:-}" ] || rm -rf --one-file-system "$root"
}
trap finish EXIT

make_root() {
    [ ! -e "$root/usr/bin/make" ] || return 0
    local mirror release
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | head -n 1)
    release=$(. /etc/os-release && echo "$VERSION_CODENAME")
    debootstrap --variant=minbase --include=python3,python3-venv,make "$release" "$root" "$mirror" >"$root.log"
    chroot "$root" useradd --create-home alice
}

mount_kernel_folders() {
    mount -t proc proc "$root/proc"
    mount --bind /dev "$root/dev"
    mount -t tmpfs -o mode=1777 shm "$root/dev/shm"
}

# The settings for the package index are this machine's, and are not part of the project.
copy_network_settings() {
    local file
    for file in /etc/resolv.conf /etc/hosts /etc/pip.conf /etc/xdg/pip "${PIP_CERT:-}" "${PIP_CONFIG_FILE:-}"; do
        if [ -n "$file" ] && [ -e "$file" ]; then
            mkdir -p "$root$(dirname "$file")"
            cp -rL "$file" "$root$(dirname "$file")/"
        fi
    done
}

prove() {  # prove USER HOME COMMAND...
    local user=$1 home=$2 command settings
    shift 2
    rm -rf "${root:?}$home"
    git clone --quiet . "$root$home/usher"
    mkdir "$root$home/empty"
    chroot "$root" chown -R "$user:" "$home"
    chmod 700 "$root$home"
    mapfile -t settings < <(env | grep -E '^(PIP_|https?_proxy=|HTTPS?_PROXY=)' || true)
    for command in "$@"; do
        echo "== $user: $command"
        time chroot --userspec="$user" "$root" env -i "${settings[@]}" PATH=/usr/local/bin:/usr/bin:/bin \
            HOME="$home/empty" sh -c "cd $home/usher && $command"
    done
    look_for_leftovers
}

look_for_leftovers() {
    if ls -d "$root"/tmp/usher-* 2>/dev/null; then echo "that was left in /tmp"; exit 1; fi
    for process in /proc/[0-9]*; do
        if [ "$(readlink "$process/root")" = "$root" ]; then
            echo "left running: $(tr '\0' ' ' <"$process/cmdline")"; exit 1
        fi
    done
}

make_root
mount_kernel_folders
copy_network_settings
prove root /root "$@"
prove alice /home/alice "$@"
echo "proved: $*"
