#!/bin/sh
# First process of the guest. Knows only how to reach the host: it mounts the host's root (read-only, with an overlay
# in memory), takes a script from the control port and becomes that script. The script, not this file, knows about
# devices and commands, so that the initramfs seldom changes.
export PATH=/bin

die() {
    echo "scifs-guest: $*" >/dev/console
    # The serial line is slower than the end of the machine.
    sleep 1
    poweroff -f
}

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev

while read -r module; do
    insmod "$module" || die "cannot load $module"
done </modules.load

case " $(cat /proc/cmdline) " in
*" scifs_probe "*)
    # Only asked whether this machine boots at all.
    die "probe passed"
    ;;
esac

mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000,cache=loose,ro hostroot /host || die "cannot mount the host's root"
mount -t tmpfs -o mode=755 tmpfs /upper || die "cannot mount a tmpfs"
mkdir /upper/data /upper/work
mount -t overlay -o lowerdir=/host,upperdir=/upper/data,workdir=/upper/work overlay /root || die "cannot mount the overlay"

mount -t proc proc /root/proc
mount -t sysfs sysfs /root/sys
mount -t devtmpfs dev /root/dev
mkdir -p /root/dev/pts /root/dev/shm
mount -t devpts -o mode=620,ptmxmode=666 devpts /root/dev/pts
mount -t tmpfs -o mode=1777 tmpfs /root/dev/shm
mount -t tmpfs -o mode=755 tmpfs /root/run
mkdir -p /root/run/scifs /root/run/lock "/root/lib/modules" /root/tmp
cp /bin/busybox /root/run/scifs/busybox
cp -a /lib/modules/* /root/lib/modules/ || die "cannot copy the modules"
ln -sf /proc/self/fd /root/dev/fd
ln -sf /proc/self/fd/0 /root/dev/stdin
ln -sf /proc/self/fd/1 /root/dev/stdout
ln -sf /proc/self/fd/2 /root/dev/stderr

# Ports appear by their number; names are in sysfs.
control=
for port in /sys/class/virtio-ports/*; do
    [ "$(cat "$port/name")" = scifs.control ] && control=/dev/${port##*/}
done
[ -n "$control" ] || die "there is no control port"
exec 3<>"$control" || die "cannot open the control port"
echo booted >&3
read -r length <&3
head -c "$length" <&3 >/root/run/scifs/stage2.sh || die "cannot read the script"

# The host's shell: busybox would use its own ip instead of the real one.
exec switch_root /root /bin/sh /run/scifs/stage2.sh
