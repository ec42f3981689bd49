#!/bin/sh
# Gives this host a soft-RoCE device: RDMA verbs over an ordinary network interface.
# Can be run again and again; what it did is written down, and down.sh undoes that and nothing else.
set -u
here=$(dirname "$0")
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$here/common.sh"

# GIDs follow addresses in the background.
READY_SECONDS_MAX=15

usage() {
    cat <<EOF
Usage: $0 [--name NAME] [--netdev INTERFACE] [--address ADDRESS/PREFIX]...

Creates the soft-RoCE device NAME (default: rxe0) on INTERFACE (default: the one of the default
route, or else lo). Each --address is added to the interface first: each address is a GID, so several
nodes can run on one host. Run it again at any time; ./down.sh undoes what it did.

Exit codes: 0 done, or done before; 2 wrong option; 3 not root; 4 a command is missing; 5 the kernel has no
rdma_rxe; 6 the interface is missing or down; 7 the name or the interface is taken; 8 the kernel refused
or was too slow.
EOF
}

default_netdev() {
    found=$(ip -o route show default 2>/dev/null | sed -n 's/.* dev \([^ ]*\).*/\1/p' | head -n 1)
    echo "${found:-lo}"
}

# Before anything is changed, so that nothing is changed that can't be undone.
prepare_state() {
    mkdir -p "$STATE_DIR" || die "$EXIT_REFUSED" "cannot create $STATE_DIR, where down.sh looks for what to undo"
    [ -w "$STATE_DIR" ] || die "$EXIT_REFUSED" "cannot write to $STATE_DIR, where down.sh looks for what to undo"
}

# Writes down one more thing that down.sh has to undo.
remember() {
    echo "$*" >>"$STATE_DIR/$name" || die "$EXIT_REFUSED" "cannot write $STATE_DIR/$name; undo by hand: $*"
}

load_modules() {
    for module in ib_uverbs rdma_ucm rdma_rxe; do
        [ -d "/sys/module/$module" ] && continue
        modprobe --dry-run --quiet "$module" ||
            die "$EXIT_KERNEL" "the kernel $(uname -r) has no module $module. Debian's linux-image-amd64 has it" \
                "(the cloud kernel does not); in a container the host has to load it"
        modprobe "$module" || die "$EXIT_KERNEL" "the kernel would not load $module; see dmesg"
        remember "module $module"
    done
}

add_addresses() {
    for address in $addresses; do
        ip -o address show dev "$netdev" | grep -qF " $address " && continue
        ip address add "$address" dev "$netdev" ||
            die "$EXIT_REFUSED" "the kernel would not add the address $address to $netdev"
        remember "address $address $netdev"
    done
}

create_device() {
    if [ -d "$INFINIBAND/$name" ]; then
        parent=$(parent_of "$name")
        [ "$parent" = "$netdev" ] && return
        die "$EXIT_CONFLICT" "there already is a device $name, on ${parent:-real hardware}; choose another --name"
    fi
    for device in "$INFINIBAND"/*; do
        [ "$(parent_of "${device##*/}")" = "$netdev" ] &&
            die "$EXIT_CONFLICT" "$netdev already has the soft-RoCE device ${device##*/}; use it (--name ${device##*/})," \
                "or remove it with: rdma link delete ${device##*/}"
    done
    rdma link add "$name" type rxe netdev "$netdev" ||
        die "$EXIT_REFUSED" "the kernel would not create $name on $netdev; see dmesg"
    remember "device $name"
    created=yes
}

is_ready() {
    grep -q ACTIVE "$INFINIBAND/$name/ports/1/state" 2>/dev/null || return 1
    gids=$(gids_of "$name" 1 | while read -r _ gid; do gid_text "$gid"; done)
    [ -n "$gids" ] || return 1
    for address in $addresses; do
        case $address in
        *:*) ;; # IPv6 has several spellings; its GID arrives with the others.
        *) echo "$gids" | grep -qxF "${address%/*}" || return 1 ;;
        esac
    done
}

wait_ready() {
    tries=$((READY_SECONDS_MAX * 10))
    until is_ready; do
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || die "$EXIT_REFUSED" "$name was created but is not active with an address after" \
            "$READY_SECONDS_MAX s; has $netdev an address (ip address show $netdev)? ./check.sh says more"
        sleep 0.1
    done
}

name=rxe0 netdev='' addresses='' created=''
while [ $# -gt 0 ]; do
    case $1 in
    --name) need_value "$@" && name=$2 && shift ;;
    --netdev) need_value "$@" && netdev=$2 && shift ;;
    --address)
        need_value "$@"
        case $2 in
        *[!0-9A-Fa-f.:/]*) die "$EXIT_USAGE" "'$2' is no address" ;;
        */*) addresses="$addresses $2" ;;
        *) die "$EXIT_USAGE" "--address $2 needs a prefix length, as in $2/32" ;;
        esac
        shift
        ;;
    -h | --help) usage && exit 0 ;;
    *) die "$EXIT_USAGE" "unknown option '$1'; see $0 --help" ;;
    esac
    shift
done

check_name "$name"
need_root
need_tool ip iproute2
need_tool rdma iproute2
need_tool modprobe kmod
[ -n "$netdev" ] || netdev=$(default_netdev)
check_name "$netdev"
[ -d "/sys/class/net/$netdev" ] || die "$EXIT_NETDEV" "there is no network interface '$netdev'; see: ip link"
case $(ip -o link show dev "$netdev") in
*[\<,]UP[,\>]*) ;;
*) die "$EXIT_NETDEV" "the network interface $netdev is down; bring it up with: ip link set $netdev up" ;;
esac
prepare_state
load_modules
add_addresses
create_device
wait_ready
if [ -n "$created" ]; then say "$name is ready on $netdev"; else say "$name was already there on $netdev"; fi
