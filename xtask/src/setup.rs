//! Debian packages that the other commands need: says which are missing, and installs them when run as root.

use std::path::Path;
use std::process::{Command, Stdio};

use clap::{Args, ValueEnum};

use crate::error::{Error, output_of};
use crate::tools;

/// What a machine should be able to do; each names the packages for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Capability {
    /// Boot the guest and use soft-RoCE in it
    Guest,
    /// Talk to RDMA devices of this machine
    Rdma,
    /// Mount file systems
    Fuse,
    /// Build and run the example programs
    Languages,
    /// Run other people's tests of file systems
    FileTests,
}

impl Capability {
    pub(crate) const ALL: [Capability; 5] =
        [Capability::Guest, Capability::Rdma, Capability::Fuse, Capability::Languages, Capability::FileTests];

    fn packages(self) -> &'static [&'static str] {
        match self {
            Capability::Guest => &[
                "qemu-system-x86",
                "busybox-static",
                "kmod",
                "xz-utils",
                "zstd",
                "iproute2",
                "libibverbs1",
                "ibverbs-providers",
                "ibverbs-utils",
                "librdmacm1",
            ],
            Capability::Rdma => &["iproute2", "kmod", "libibverbs1", "ibverbs-providers", "librdmacm1"],
            Capability::Fuse => &["fuse3"],
            Capability::Languages => &["gcc", "g++", "libc6-dev", "python3"],
            Capability::FileTests => &["fio"],
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// What the machine should be able to do (default: everything)
    #[arg(value_enum)]
    capabilities: Vec<Capability>,
    /// Only say what is missing
    #[arg(long)]
    dry_run: bool,
}

/// `cargo xtask setup`
pub(crate) fn run(options: &Options) -> Result<u8, Error> {
    let wanted: &[Capability] =
        if options.capabilities.is_empty() { &Capability::ALL } else { &options.capabilities };
    let missing = missing_packages(wanted)?;
    if options.dry_run && !missing.is_empty() {
        println!("setup: missing: {}", missing.join(" "));
        return Ok(1);
    }
    if missing.is_empty() {
        println!("setup: every package is installed");
    } else {
        install(&missing)?;
    }
    if wanted.contains(&Capability::FileTests) && !options.dry_run {
        tools::PJDFSTEST.ensure()?;
        tools::FSX.ensure()?;
    }
    Ok(0)
}

/// Makes sure that the machine has the packages of these capabilities; silent when it has.
pub(crate) fn ensure(wanted: &[Capability]) -> Result<(), Error> {
    let missing = missing_packages(wanted)?;
    if missing.is_empty() { Ok(()) } else { install(&missing) }
}

fn missing_packages(wanted: &[Capability]) -> Result<Vec<&'static str>, Error> {
    let mut packages: Vec<&'static str> = wanted.iter().flat_map(|c| c.packages()).copied().collect();
    packages.sort_unstable();
    packages.dedup();
    for tool in ["/usr/bin/dpkg-query", "/usr/bin/apt-get"] {
        if !Path::new(tool).exists() {
            return Err(Error::NotDebian(tool, packages.join(" ")));
        }
    }
    // dpkg-query fails when it has never heard of a package, and still lists the others.
    let listed = Command::new("dpkg-query")
        .args(["--show", "--showformat=${Package} ${db:Status-Status}\n"])
        .args(&packages)
        .stdin(Stdio::null())
        .output()
        .map_err(|source| Error::Spawn { program: "dpkg-query".into(), source })?;
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    let installed =
        |package: &str| listed.lines().any(|line| line.split_once(' ') == Some((package, "installed")));
    packages.retain(|package| !installed(package));
    Ok(packages)
}

/// True when this process may install packages.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn install(packages: &[&str]) -> Result<(), Error> {
    if !is_root() {
        return Err(Error::PackagesMissing(packages.join(" ")));
    }
    eprintln!("setup: installing {} ...", packages.join(" "));
    if apt_install(packages).is_err() {
        // No package lists yet (a container image), or lists that name files which are gone.
        eprintln!("setup: refreshing the package lists (apt-get update) ...");
        apt_update()?;
        apt_install(packages)?;
    }
    eprintln!("setup: done");
    Ok(())
}

pub(crate) fn apt_update() -> Result<(), Error> {
    output_of(apt_get().args(["update", "--quiet=2"])).map(drop)
}

/// Waits while another program installs packages, and asks no questions.
fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive").args(["-o", "DPkg::Lock::Timeout=120"]);
    command
}

fn apt_install(packages: &[&str]) -> Result<(), Error> {
    let mut command = apt_get();
    command.args(["install", "--yes", "--quiet=2", "--no-install-recommends"]).args(packages);
    output_of(&mut command).map(drop)
}
