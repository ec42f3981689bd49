//! `hammer --dirs A B`: processes on several directories of one file system work on one page at the same time. One line a case,
//! the sum at the end; exit code 1 if anything was lost, anybody starved or hung.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use scifs_tests::hammer::run::{Plan, Trouble, hammer, hammer_and_kill};
use scifs_tests::hammer::storm::storm;
use scifs_tests::hammer::victim;
use scifs_tests::hammer::work::{self, Work};
use scifs_tests::shared::surface::{Nodes, Surface, Surfaces};
use scifs_tests::shared::watchdog::Watchdog;

#[derive(Parser)]
#[command(
    about = "Processes on several directories of one file system work on one page",
    args_conflicts_with_subcommands = true
)]
struct Cli {
    #[command(subcommand)]
    part: Option<Part>,
    #[command(flatten)]
    options: Options,
}

#[derive(Subcommand)]
enum Part {
    /// Works for the process that started it
    #[command(hide = true)]
    Work {
        #[arg(long)]
        surface: Surface,
        folders: Vec<PathBuf>,
    },
    /// Starts and kills, or lives on, for the process that started it
    #[command(hide = true)]
    Storm {
        #[arg(long)]
        surface: Surface,
        control: PathBuf,
        folders: Vec<PathBuf>,
    },
    /// Works until it is killed
    #[command(hide = true)]
    Stranger {
        #[arg(long)]
        surface: Surface,
        control: PathBuf,
        folder: PathBuf,
        file: String,
    },
}

#[derive(Args)]
struct Options {
    /// Where the nodes have the file system
    #[arg(long, num_args = 1..)]
    dirs: Vec<PathBuf>,
    #[command(flatten)]
    surfaces: Surfaces,
    /// Where the processes are
    #[arg(long, default_value = "different")]
    place: Nodes,
    /// How long each case works
    #[arg(long, default_value_t = 2000)]
    milliseconds: u64,
    /// Repeats when processes are killed
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many processes the case `storm` kills
    #[arg(long, default_value_t = 200)]
    kills: u64,
    /// Cases whose name contains this
    #[arg(long, default_value = "")]
    only: String,
    /// But not those whose name contains this
    #[arg(long)]
    skip: Option<String>,
    /// After how many seconds too many a process is said to hang
    #[arg(long, default_value_t = 30)]
    patience_s: u64,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.part {
        Some(Part::Work { surface, folders }) => work::serve(surface, &folders).map(|()| 0),
        Some(Part::Storm { surface, control, folders }) => {
            victim::serve(surface, &control, &folders).map(|()| 0)
        }
        Some(Part::Stranger { surface, control, folder, file }) => {
            victim::stranger(surface, &control, &folder, &file).map(|()| 0)
        }
        None => all(&cli.options),
    };
    match result {
        Ok(failed) => ExitCode::from(u8::from(failed > 0)),
        Err(what) => {
            eprintln!("hammer: {what}");
            ExitCode::from(2)
        }
    }
}

fn all(options: &Options) -> std::io::Result<u64> {
    let folders = options.dirs.iter().map(|dir| dir.canonicalize()).collect::<Result<Vec<_>, _>>()?;
    if folders.is_empty() {
        return Err(std::io::Error::other("say where the nodes have the file system: --dirs DIR DIR …"));
    }
    let plan = Plan {
        folders,
        surfaces: options.surfaces.clone(),
        place: options.place,
        wall: Duration::from_millis(options.milliseconds),
        patience: Duration::from_secs(options.patience_s),
        seed: options.seed,
    };
    let watchdog = Watchdog::start(plan.wall + 2 * plan.patience);
    let mut counts = [0, 0];
    for work in Work::ALL {
        for processes in [2, plan.folders.len().max(4)] {
            let name = format!("{}-{processes}", work.name());
            watchdog.doing(name.clone());
            report(options, &mut counts, &name, || {
                hammer(&plan, work, processes).map(|done| format!("{done:?}"))
            });
        }
    }
    watchdog.doing("kill");
    report(options, &mut counts, "kill", || hammer_and_kill(&plan).map(|killed| format!("{killed} killed")));
    report(options, &mut counts, "storm", || {
        storm(&plan, options.kills, |what| watchdog.doing(what)).map(|done| format!("{done:?}"))
    });
    println!("{} passed, {} failed", counts[0], counts[1]);
    Ok(counts[1])
}

fn report(
    options: &Options,
    counts: &mut [u64; 2],
    name: &str,
    case: impl FnOnce() -> Result<String, Trouble>,
) {
    let skipped = options.skip.as_ref().is_some_and(|skip| name.contains(skip));
    if skipped || !name.contains(&options.only) {
        return;
    }
    match case() {
        Ok(what) => {
            counts[0] += 1;
            println!("{name:<12} ok      {what}");
        }
        Err(trouble) => {
            counts[1] += 1;
            println!("{name:<12} FAILED  {trouble}");
        }
    }
}
