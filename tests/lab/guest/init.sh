#!/bin/sh
# The guest's first process. Its root is the host's, which it must not change: what the guest writes goes to a layer in
# memory above it. guest_modules, guest_folder, guest_python and guest_agent come from the kernel's command line.
PATH=/usr/sbin:/usr/bin:/sbin:/bin
set -e
trap 'echo "init.sh: it failed"; halt -f' EXIT
mount -t tmpfs -o size=75% top /run
mkdir /run/upper /run/work /run/root
modprobe -d "$guest_modules" overlay
mount -t overlay -o lowerdir=/,upperdir=/run/upper,workdir=/run/work root /run/root
cd /run/root
mount -t proc proc proc
mount -t sysfs sys sys
mount -t devtmpfs dev dev
mkdir -p dev/pts dev/shm
mount -t devpts pts dev/pts
mount -t tmpfs shm dev/shm
mount -t tmpfs run run
mkdir -p run/lock run/guest run/written
mount --bind /run/upper run/written
mount -t hostfs guest run/guest -o "$guest_folder"
mkdir -p lib/modules
ln -sfn "$guest_modules/lib/modules/$(uname -r)" "lib/modules/$(uname -r)"
mount --move . /
exec chroot . "$guest_python" -I -u "$guest_agent"
