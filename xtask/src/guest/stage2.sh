# Runs in the guest as its first process once the host's root is in place. xtask puts variables in front of this text:
#   nodes, node, wire, source_tree, out, cwd, end, "$@" = the command.
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

# Two ends of a virtual cable. Both are in this name space, since rxe works in the first one only, so the kernel has to be
# talked out of delivering packets between two of its own addresses directly: the local table is asked after
# rules that send what leaves for the other end through the cable.
lay_cable() {
    must ip link add wire0 type veth peer name wire1
    must ip rule add preference 100 lookup local
    must ip rule delete preference 0
    for end_of_wire in 0 1; do
        own=10.5.0.$((end_of_wire + 1)) peer=10.5.0.$((2 - end_of_wire)) table=$((1000 + end_of_wire))
        for setting in accept_local=1 rp_filter=0; do
            echo "${setting#*=}" >"/proc/sys/net/ipv4/conf/wire$end_of_wire/${setting%=*}"
        done
        must ip link set "wire$end_of_wire" up
        must ip address add "$own/32" dev "wire$end_of_wire"
        # An end talking to itself stays local.
        must ip rule add preference 10 iif lo from "$peer" to "$peer" lookup local
        must ip rule add preference 20 iif lo to "$peer" lookup $table
        must ip route add "$peer" dev "wire$end_of_wire" src "$own" table $table
        must ip neighbour replace "$peer" dev "wire$end_of_wire" nud permanent \
            lladdr "$($bb cat /sys/class/net/wire$((1 - end_of_wire))/address)"
    done
    echo 0 >/proc/sys/net/ipv4/conf/all/rp_filter
}

# soft_roce NAME INTERFACE [OPTIONS]: the project's own script makes the device, and so is tested each time.
soft_roce() {
    step "creating the soft-RoCE device $1"
    must "$source_tree/rxe-setup/up.sh" --name "$1" --netdev "$2" $3
    export SCIFS_GUEST_DEVICES="${SCIFS_GUEST_DEVICES:+$SCIFS_GUEST_DEVICES }$1"
}

step "setting up the network"
must ip link set lo up
case $wire in
lo)
    addresses="10.5.0.1 10.5.0.2 10.5.0.3 10.5.0.4 10.5.0.5 10.5.0.6 10.5.0.7 10.5.0.8" options=
    for address in $addresses; do options="$options --address $address/32"; done
    soft_roce rxe0 lo "$options"
    export SCIFS_GUEST_IP=10.5.0.1 SCIFS_GUEST_IPS="$addresses"
    ;;
veth)
    lay_cable
    soft_roce rxe0 wire0
    soft_roce rxe1 wire1
    export SCIFS_GUEST_IP=10.5.0.1 SCIFS_GUEST_PEER_IP=10.5.0.2 SCIFS_GUEST_IPS="10.5.0.1 10.5.0.2"
    export SCIFS_GUEST_WIRES="wire0 wire1"
    ;;
guests)
    own=10.5.0.$((node + 1)) peer=10.5.0.$((2 - node))
    must ip link set eth0 up
    soft_roce rxe0 eth0 "--address $own/24"
    export SCIFS_GUEST_IP="$own" SCIFS_GUEST_PEER_IP="$peer" SCIFS_GUEST_IPS="$own" SCIFS_GUEST_WIRES=eth0
    ;;
none) ;;
esac

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
