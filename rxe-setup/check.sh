#!/bin/sh
# Says whether this machine can run SciFS over RDMA, and what is missing if not. For soft-RoCE and for real cards.
# Changes nothing and needs no root: run it as the user that will run SciFS.
set -u
here=$(dirname "$0")
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$here/common.sh"

# Registered memory is locked memory: below this a node can't donate anything worth it.
MEMLOCK_KIB_MIN=65536

usage() {
    cat <<EOF
Usage: $0 [--name NAME] [--quiet]

Checks the RDMA device NAME (default: each that is there): kernel, device files, libraries, port, addresses,
lockable memory. --quiet prints problems only.

Exit codes: 0 usable; 2 wrong option; 5 the kernel has no RDMA; 9 no such device; 10 no active port; 11 no address (GID);
12 a library is missing; 13 no access to the device files. The first problem decides. Too little lockable
memory is a warning.
EOF
}

note() {
    [ -n "$quiet" ] || echo "$*"
}

check_kernel() {
    [ -d /sys/class/infiniband_verbs ] ||
        die "$EXIT_KERNEL" "the kernel's RDMA support is not loaded. Real card: modprobe ib_uverbs and the card's" \
            "driver (mlx5_ib, irdma, bnxt_re ...). No card: ./up.sh makes a soft-RoCE device"
}

# check_library FILE PACKAGE
check_library() {
    for directory in /lib /lib64 /usr/lib /usr/lib64 /usr/local/lib /lib/*-linux-gnu* /usr/lib/*-linux-gnu*; do
        [ -e "$directory/$1" ] && return
    done
    die "$EXIT_LIBRARY" "the library $1 is not installed (Debian: apt-get install $2)"
}

check_libraries() {
    check_library libibverbs.so.1 "libibverbs1 ibverbs-providers"
    check_library librdmacm.so.1 librdmacm1
    [ -d /etc/libibverbs.d ] ||
        die "$EXIT_LIBRARY" "libibverbs has no providers, so it will find no device (Debian: apt-get install ibverbs-providers)"
    note "libraries: libibverbs and librdmacm are there"
}

# check_access DEVICE
check_access() {
    for verbs in /sys/class/infiniband_verbs/uverbs*; do
        [ "$(cat "$verbs/ibdev" 2>/dev/null)" = "$1" ] || continue
        file=/dev/infiniband/${verbs##*/}
        [ -e "$file" ] || die "$EXIT_ACCESS" "$1 has no device file $file; is /dev/infiniband visible here (container: pass it in)?"
        if [ ! -r "$file" ] || [ ! -w "$file" ]; then
            die "$EXIT_ACCESS" "this user may not open $file; rdma-core's udev rules allow it (Debian: apt-get install rdma-core)"
        fi
        note "$1: device file $file"
        [ -e /dev/infiniband/rdma_cm ] || note "$1: warning: /dev/infiniband/rdma_cm is missing; load it with: modprobe rdma_ucm"
        return
    done
    die "$EXIT_KERNEL" "$1 has no verbs device; load the module: modprobe ib_uverbs"
}

# check_port DEVICE: some port has to be active and have an address.
check_port() {
    state='' gids=''
    for port in "$INFINIBAND/$1"/ports/*; do
        number=${port##*/}
        state=$(cat "$port/state")
        case $state in *ACTIVE*) ;; *) note "$1: port $number is $state" && continue ;; esac
        layer=$(cat "$port/link_layer")
        gids=$(gids_of "$1" "$number")
        note "$1: port $number is active, link layer $layer, $(cat "$port/rate")"
        [ -n "$gids" ] || continue
        echo "$gids" | while read -r index gid; do
            type=$(cat "$port/gid_attrs/types/$index" 2>/dev/null)
            netdev=$(cat "$port/gid_attrs/ndevs/$index" 2>/dev/null)
            note "$1: port $number GID $index: $(gid_text "$gid") ${type:-} ${netdev:-}"
        done
        return
    done
    [ -n "$gids" ] || case $state in
    *ACTIVE*) die "$EXIT_NO_GID" "$1 has no address (GID); give its network interface one: ip address add ..." ;;
    *) die "$EXIT_PORT" "$1 has no active port; is the cable in, the interface up (ip link), or (InfiniBand) a subnet manager running?" ;;
    esac
}

check_memlock() {
    # Not in POSIX, but in dash, bash, ksh and busybox.
    # shellcheck disable=SC3045
    limit=$(ulimit -l)
    case $limit in unlimited) note "lockable memory: unlimited" && return ;; esac
    [ "$limit" -ge "$MEMLOCK_KIB_MIN" ] && note "lockable memory: $limit KiB" && return
    echo "warning: this user can lock $limit KiB of memory only, which bounds what a node can donate;" \
        "raise it with 'ulimit -l' or in /etc/security/limits.conf (memlock)"
}

name='' quiet=''
while [ $# -gt 0 ]; do
    case $1 in
    --name) need_value "$@" && name=$2 && shift ;;
    --quiet) quiet=yes ;;
    -h | --help) usage && exit 0 ;;
    *) die "$EXIT_USAGE" "unknown option '$1'; see $0 --help" ;;
    esac
    shift
done

[ -z "$name" ] || check_name "$name"
check_kernel
devices=$name
[ -n "$devices" ] || devices=$(ls "$INFINIBAND" 2>/dev/null)
[ -n "$devices" ] || die "$EXIT_NO_DEVICE" "there is no RDMA device; ./up.sh makes a soft-RoCE one"
check_libraries
for device in $devices; do
    [ -d "$INFINIBAND/$device" ] || die "$EXIT_NO_DEVICE" "there is no RDMA device $device; there are: $(ls -x "$INFINIBAND")"
    parent=$(parent_of "$device")
    note "$device: ${parent:+soft-RoCE on }${parent:-hardware}"
    check_access "$device"
    check_port "$device"
done
check_memlock
note "usable"
