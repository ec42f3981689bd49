# Runs in the guest as its first process once the host's root is in place. xtask puts variables in front of this text:
#   nodes, node, wire, out, cwd, end, "$@" = the command.
# File descriptor 3 is the control port: one line an event, read by session.rs.

bb=/run/scifs/busybox
export PATH="$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# Ends the run with a reason; the host prints it with the console's last lines.
fail() {
    echo "failed $*" >&3
    while :; do $bb sleep 60; done
}

step() {
    echo "stage $*" >&3
}

# Runs a command of the set-up, whose output belongs to the console and not to the user's command.
must() {
    "$@" </dev/null >/dev/console 2>&1 || fail "in the guest \`$*\` failed"
}

port() {
    for entry in /sys/class/virtio-ports/*; do
        if [ "$($bb cat "$entry/name")" = "$1" ]; then
            echo "/dev/${entry##*/}"
            return
        fi
    done
    fail "there is no port $1"
}

export SCIFS_GUEST=1 SCIFS_GUEST_NODE="$node" SCIFS_GUEST_NODES="$nodes" SCIFS_GUEST_OUT="$out"
$bb hostname "scifs-guest-$node"
ulimit -l unlimited
$bb mkdir -p "$out"
must $bb mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000,cache=mmap out "$out"

step "setting up the network"
must ip link set lo up
device=lo
case $wire in
lo)
    addresses="10.5.0.1 10.5.0.2 10.5.0.3 10.5.0.4 10.5.0.5 10.5.0.6 10.5.0.7 10.5.0.8"
    for address in $addresses; do
        must ip address add "$address/32" dev lo
    done
    export SCIFS_GUEST_IP=10.5.0.1 SCIFS_GUEST_IPS="$addresses"
    ;;
guests)
    device=eth0
    own=10.5.0.$((node + 1)) peer=10.5.0.$((2 - node))
    must ip link set eth0 up
    must ip address add "$own/24" dev eth0
    export SCIFS_GUEST_IP="$own" SCIFS_GUEST_PEER_IP="$peer" SCIFS_GUEST_IPS="$own"
    ;;
esac

step "creating the soft-RoCE device"
must rdma link add rxe0 type rxe netdev $device
export SCIFS_GUEST_DEVICES=rxe0

# Through pipes, because a port can't be opened twice, which /dev/stdout does.
$bb mkfifo /run/scifs/out /run/scifs/err
$bb cat </run/scifs/out >"$(port scifs.out)" 3>&- &
$bb cat </run/scifs/err >"$(port scifs.err)" 3>&- &
exec 4>/run/scifs/out 5>/run/scifs/err

step "running the command"
(cd "$cwd" && exec "$@") </dev/null >&4 2>&5 3>&- 4>&- 5>&-
code=$?

# Tells the host that it has read everything the command wrote.
printf '%s' "$end" >&4
printf '%s' "$end" >&5
$bb sync
echo "exit $code" >&3
while :; do $bb sleep 60; done
