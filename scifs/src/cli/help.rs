//! What `--help` and the manual page teach.

pub(super) const ABOUT: &str =
    "A cluster's memory that you mount: files that every node maps, coherent as on one machine";

pub(super) const LONG_ABOUT: &str = "\
Mounts a cluster's memory on MOUNTPOINT. A file below it is a segment of coherent shared memory: programs on any node \
open and mmap it, and loads, stores, read and write behave as they do between processes of one machine.

Without a command word, scifs mounts. It returns when the mount serves, and goes on in the background until it is unmounted \
(umount MOUNTPOINT). SOURCE is a member of the cluster to join (HOST or HOST:PORT); `scifs`, `none` or nothing at all founds a \
cluster. mount(8) calls it in this way: mount -t fuse scifs /dsm";

pub(super) const EXAMPLES: &str = "\
Examples:
  A cluster of one, in memory, without any set-up:
    scifs /dsm                             or: mount -t fuse scifs /dsm
    scifs status /dsm
    umount /dsm

  Three nodes on this machine, to try things:
    scifs dev up --nodes 3 /tmp/dsm        mounted at /tmp/dsm/n1, n2 and n3
    echo hello > /tmp/dsm/n1/greeting; cat /tmp/dsm/n3/greeting
    scifs stat /tmp/dsm/n2/greeting
    scifs dev down /tmp/dsm

  Across machines, nodes share a secret (copy the file to each):
    head -c 32 /dev/urandom > /etc/scifs.secret; chmod 600 /etc/scifs.secret
    ant#  scifs /dsm -o listen=10.0.0.1:7000,memory=8G,secret=/etc/scifs.secret
    bee#  scifs 10.0.0.1:7000 /dsm -o listen=10.0.0.2:7000,memory=8G,secret=/etc/scifs.secret

  A segment at an address that is the same on every node:
    scifs create /dsm/heap --size 1T
    scifs stat /dsm/heap

  A program that maps files of a mount, by the fast path:
    scifs exec -- python3 job.py /dsm/heap   (--verbose says what each mapping gets)";

macro_rules! node_options {
    () => {
        "\
Options of a node, for -o:
  name=NAME             what people call the node (default: its machine's name and four letters)
  listen=HOST:PORT      where members reach it (default: 127.0.0.1:7000); not on loopback only with secret=
  join=HOST:PORT        a member of the cluster to join; may be repeated
  fabric=tcp|verbs      how members talk (default: tcp); verbs needs rdma-core and a card, or soft-RoCE
  memory=SIZE           what the node donates: 512M, 8G, 50% (default: 50% of the machine)
  secret=FILE           what all nodes of the cluster know; the file has mode 600
  config=FILE           a TOML file with the same names
  spin_us=N             how long to poll for messages before sleeping (default: 50, 0 with less than 4 processors)
  failure_timeout_ms=N  silence after which a member is declared dead (default: 2000)
  voters=3|5            how many of the first members vote (default: 3)
  metrics=HOST:PORT     offer metrics to Prometheus there, to whoever asks (default: nowhere)"
    };
}

pub(super) const NODE_OPTIONS: &str = node_options!();

pub(super) const MOUNT_OPTIONS: &str = concat!(
    node_options!(),
    "

Options of a mount, for -o:
  consistency=strict    what new files get (default: strict; lazy is not there yet)
  allow_other           other users may use the mount too, as modes and owners allow
  ro, nosuid, nodev, noexec, noatime, fsname=NAME, auto_unmount, and what fstab has for others
                        (defaults, _netdev, nofail, user, x-...)
"
);

/// The words of [`crate::exit::Exit::TABLE`], as help and manual page show them.
pub(super) fn exit_codes() -> String {
    let rows =
        crate::exit::Exit::TABLE.iter().map(|(exit, meaning)| format!("  {:>2}  {meaning}\n", exit.code()));
    format!("Exit codes:\n{}", rows.collect::<String>())
}

/// Behind the options that `scifs --help` lists.
pub(super) fn after() -> String {
    format!("{MOUNT_OPTIONS}\n{EXAMPLES}\n\n{}", exit_codes().trim_end())
}

pub(super) const FSTAB: &str = "\
A line of fstab; the first node of a cluster has the source scifs, the others a member's address:
  scifs          /dsm  fuse.scifs  config=/etc/scifs/scifs.toml,allow_other,_netdev  0 0
  10.0.0.1:7000  /dsm  fuse.scifs  listen=10.0.0.2:7000,secret=/etc/scifs/secret,allow_other,_netdev,nofail  0 0";

pub(super) const ATTRIBUTES: &str = "\
  user.scifs.address      where every program can map the file: one address in the whole cluster
  user.scifs.consistency  strict
  user.scifs.home         the members that keep the directory of the file's pages (read only)
  user.scifs.replicas     how many members hold its bytes beside the owner (read only)
  user.scifs.stats        its pages in the whole cluster by state and by node (read only)
The first two can be set while the file is empty.";

pub(super) const ENVIRONMENT: &str = "\
  SCIFS_LOG          what is logged: a level (error, warn, info, debug, trace), or warn,scios::verbs=debug
  SCIFS_RUNTIME_DIR  the folder of the control sockets, instead of the one below
  SCIFS_MOUNT        the mount that libscifs asks where no mapped file says which
  SCIFS_PRELOAD      the library that scifs exec loads into the program, if it isn't found
  NOTIFY_SOCKET      where systemd is told that the node serves, and that it stops";

pub(super) const FILES: &str = "\
  /run/scifs/NAME.sock           the control socket of a node; $XDG_RUNTIME_DIR/scifs for users other than root
  /run/scifs/NAME.log            the log of a node in the background, where there is no syslog or journal";
