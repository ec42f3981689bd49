#!/bin/sh
# Undoes what up.sh did for one device, and nothing else: a device, address or module that was there before stays.
set -u
here=$(dirname "$0")
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$here/common.sh"

usage() {
    cat <<EOF
Usage: $0 [--name NAME]

Removes the soft-RoCE device NAME (default: rxe0) if up.sh created it, with the addresses and kernel modules
that up.sh added for it. Modules that something else uses stay loaded.

Exit codes: 0 done, or nothing to do; 2 wrong option; 3 not root; 4 a command is missing; 8 the kernel refused.
EOF
}

undo_device() {
    [ -d "$INFINIBAND/$1" ] || return 0
    rdma link delete "$1" || die "$EXIT_REFUSED" "the kernel would not remove $1; does a program use it (rdma resource)?"
}

undo_address() {
    # Fails when somebody else has removed it.
    ip address delete "$1" dev "$2" 2>/dev/null || :
}

# Removing rdma_rxe would take every soft-RoCE device along, so the modules stay while there is any device. A device
# that up.sh also made then inherits the duty to unload them.
undo_modules() {
    others=$(ls "$INFINIBAND" 2>/dev/null)
    # Users before what they use.
    for module in rdma_rxe rdma_ucm ib_uverbs; do
        case " $1 " in *" $module "*) ;; *) continue ;; esac
        [ -d "/sys/module/$module" ] || continue
        if [ -z "$others" ]; then
            modprobe --remove "$module" 2>/dev/null || say "the module $module stays loaded, something uses it"
            continue
        fi
        for heir in $others; do
            [ -f "$STATE_DIR/$heir" ] && echo "module $module" >>"$STATE_DIR/$heir" && break
        done
    done
}

name=rxe0
while [ $# -gt 0 ]; do
    case $1 in
    --name) need_value "$@" && name=$2 && shift ;;
    -h | --help) usage && exit 0 ;;
    *) die "$EXIT_USAGE" "unknown option '$1'; see $0 --help" ;;
    esac
    shift
done

check_name "$name"
need_root
state=$STATE_DIR/$name
if [ ! -f "$state" ]; then
    say "nothing to undo: up.sh did not create $name"
    exit 0
fi
need_tool ip iproute2
need_tool rdma iproute2
need_tool modprobe kmod
modules=''
while read -r kind first second; do
    case $kind in
    device) undo_device "$first" ;;
    address) undo_address "$first" "$second" ;;
    module) modules="$modules $first" ;;
    esac
done <"$state"
rm -f "$state" || die "$EXIT_REFUSED" "cannot remove $state"
undo_modules "$modules"
rmdir "$STATE_DIR" 2>/dev/null || :
say "undone what up.sh did for $name"
