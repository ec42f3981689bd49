# What up.sh, down.sh and check.sh share. Sourced, not run. POSIX sh.
# shellcheck shell=sh

# Exit codes. They are part of the scripts' contract: other programs look at them.
# shellcheck disable=SC2034
{
    EXIT_USAGE=2     # an option is wrong
    EXIT_NOT_ROOT=3  # needs root
    EXIT_TOOL=4      # a command is not installed
    EXIT_KERNEL=5    # the kernel has no soft-RoCE, or no RDMA at all
    EXIT_NETDEV=6    # the network interface is missing or down
    EXIT_CONFLICT=7  # the name or the interface belongs to another device
    EXIT_REFUSED=8   # the kernel refused a step, or did not finish it in time
    EXIT_NO_DEVICE=9 # there is no such RDMA device
    EXIT_PORT=10     # the device's port is not active
    EXIT_NO_GID=11   # the port has no address (GID)
    EXIT_LIBRARY=12  # libibverbs, librdmacm or the device's provider is not installed
    EXIT_ACCESS=13   # the device files can't be opened by this user
}

# One file a device, written by up.sh and read by down.sh. In /run, since nothing of it survives a reboot.
STATE_DIR=${SCIFS_RXE_STATE_DIR:-/run/scifs-rxe}
INFINIBAND=/sys/class/infiniband

# die CODE MESSAGE...
die() {
    code=$1
    shift
    echo "${0##*/}: $*" >&2
    exit "$code"
}

say() {
    echo "${0##*/}: $*"
}

need_root() {
    [ "$(id -u)" -eq 0 ] || die "$EXIT_NOT_ROOT" "this changes network devices: run it as root (sudo $0)"
}

# need_tool COMMAND PACKAGE
need_tool() {
    command -v "$1" >/dev/null 2>&1 ||
        die "$EXIT_TOOL" "the command '$1' is missing; install it (Debian: apt-get install $2)"
}

# need_value OPTION VALUE: for options that take one.
need_value() {
    [ -n "${2:-}" ] || die "$EXIT_USAGE" "$1 needs a value; see $0 --help"
}

# Names become parts of paths and arguments.
check_name() {
    case $1 in
    '' | *[!A-Za-z0-9_.-]* | -* | .*)
        die "$EXIT_USAGE" "'$1' is no name for a device: use letters, digits, '_', '-' and '.'"
        ;;
    esac
}

# parent_of DEVICE: the interface below a soft-RoCE device; empty for other devices.
parent_of() {
    cat "$INFINIBAND/$1/parent" 2>/dev/null || :
}

# gids_of DEVICE PORT: "INDEX GID" lines, without the empty entries.
gids_of() {
    (
        cd "$INFINIBAND/$1/ports/$2/gids" 2>/dev/null || exit 0
        # One grep for all: a port has up to 1024 entries.
        grep -Hv '^\(0000:\)\{7\}0000$' -- * 2>/dev/null | sed 's/:/ /' | sort -n
    )
}

# gid_text GID: as an IPv4 address where it stands for one.
gid_text() {
    case $1 in
    0000:0000:0000:0000:0000:ffff:????:????)
        words=${1#0000:0000:0000:0000:0000:ffff:}
        high=${words%:*} low=${words#*:}
        printf '%d.%d.%d.%d\n' "0x${high%??}" "0x${high#??}" "0x${low%??}" "0x${low#??}"
        ;;
    *) echo "$1" ;;
    esac
}
