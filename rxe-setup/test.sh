#!/bin/sh
# Tests up.sh, down.sh and check.sh for real, in the guest: cargo xtask guest --wire none -- rxe-setup/test.sh
# They load kernel modules and create devices, so this refuses to run anywhere else.
set -u
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$here/common.sh"
[ "${SCIFS_GUEST:-}" = 1 ] || die "$EXIT_USAGE" "run this in the guest: cargo xtask guest --wire none -- $0"

passed=0
failures=0

# expect CODE TEXT COMMAND...: the command exits with CODE and prints TEXT.
expect() {
    want=$1 text=$2
    shift 2
    got=0
    printed=$("$@" 2>&1) || got=$?
    if [ "$got" = "$want" ] && echo "$printed" | grep -qF -- "$text"; then
        echo "ok: $* -> $got"
        passed=$((passed + 1))
    else
        echo "FAILED: $* -> $got, expected $want and '$text'; it printed:"
        echo "$printed" | sed 's/^/    /'
        failures=$((failures + 1))
    fi
}

# holds SENTENCE COMMAND...: the command succeeds.
holds() {
    sentence=$1
    shift
    if "$@" >/dev/null 2>&1; then
        echo "ok: $sentence"
        passed=$((passed + 1))
    else
        echo "FAILED: $sentence"
        failures=$((failures + 1))
    fi
}

no_devices() {
    [ -z "$(ls "$INFINIBAND" 2>/dev/null)" ]
}

lo_lacks_address() {
    ! ip -o address show dev lo | grep -qF " 10.5.0.1/32 "
}

# Without a device, and the modules not loaded.
expect 5 "not loaded" "$here/check.sh"
expect 0 "nothing to undo" "$here/down.sh"
expect 0 "Usage:" "$here/up.sh" --help
expect 2 "unknown option" "$here/up.sh" --nonsense
expect 2 "needs a value" "$here/up.sh" --name
expect 2 "no name" "$here/up.sh" --name ../x
expect 2 "prefix length" "$here/up.sh" --address 10.5.0.1
expect 6 "no network interface" "$here/up.sh" --netdev nope0
ip link add sleepy0 type dummy
expect 6 "is down" "$here/up.sh" --netdev sleepy0
expect 3 "root" setpriv --reuid 65534 --clear-groups "$here/up.sh"
expect 3 "root" setpriv --reuid 65534 --clear-groups "$here/down.sh"
few=/run/rxe-setup-test
mkdir -p "$few"
for tool in dirname id ip; do ln -sf "$(command -v "$tool")" "$few/"; done
expect 4 "'rdma' is missing" env PATH="$few" /bin/sh "$here/up.sh"

# A kernel without soft-RoCE.
mount -t tmpfs none /lib/modules
expect 5 "has no module ib_uverbs" "$here/up.sh"
umount /lib/modules
holds "a refused up.sh leaves nothing to undo" [ ! -f "$STATE_DIR/rxe0" ]

# Up, twice; the second changes nothing.
expect 0 "rxe0 is ready on lo" "$here/up.sh" --netdev lo --address 10.5.0.1/32
before=$(cat "$STATE_DIR/rxe0")
expect 0 "already there" "$here/up.sh" --netdev lo --address 10.5.0.1/32
holds "the second up.sh wrote nothing more to undo" [ "$before" = "$(cat "$STATE_DIR/rxe0")" ]
expect 0 "10.5.0.1 RoCE v2 lo" "$here/check.sh"
expect 0 "soft-RoCE on lo" "$here/check.sh" --name rxe0
expect 9 "no RDMA device rxe7" "$here/check.sh" --name rxe7
expect 7 "lo already has" "$here/up.sh" --name rxe1 --netdev lo
expect 13 "may not open" sh -c "chmod 600 /dev/infiniband/uverbs0; setpriv --reuid 65534 --clear-groups '$here/check.sh'"

# A second device: the first one's down.sh must leave it alone, although that one loaded the modules.
ip link set sleepy0 up
expect 7 "choose another --name" "$here/up.sh" --name rxe0 --netdev sleepy0
expect 0 "rxe1 is ready on sleepy0" "$here/up.sh" --name rxe1 --netdev sleepy0 --address 10.7.0.1/24
expect 0 "undone" "$here/down.sh"
expect 0 "10.7.0.1" "$here/check.sh" --name rxe1
holds "down.sh removed the address that up.sh had added" lo_lacks_address
ip link set sleepy0 down
expect 10 "no active port" "$here/check.sh" --name rxe1
expect 0 "undone" "$here/down.sh" --name rxe1
expect 0 "nothing to undo" "$here/down.sh" --name rxe1
holds "no device is left" no_devices
holds "the modules that up.sh loaded are unloaded" [ ! -d /sys/module/rdma_rxe ]
holds "no state is left" [ ! -d "$STATE_DIR" ]

# What somebody else made stays.
modprobe --all ib_uverbs rdma_ucm rdma_rxe
rdma link add rxe0 type rxe netdev lo
expect 0 "already there" "$here/up.sh" --netdev lo
expect 0 "nothing to undo" "$here/down.sh"
holds "down.sh leaves a device that up.sh did not make" [ -d "$INFINIBAND/rxe0" ]

echo "$passed passed, $failures failed"
[ "$failures" -eq 0 ]
