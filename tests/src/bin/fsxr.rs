//! `fsxr --dirs A B --seed 1 --seeds 20`: one file through several directories of one file system, by random steps against a
//! model. A failure is made short and printed with what repeats it; exit code 1.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use scifs_tests::posix::play::{self, Order};
use scifs_tests::posix::shrink::{Exerciser, Failure};
use scifs_tests::posix::steps::Steps;
use scifs_tests::shared::surface::{Surface, Surfaces};

#[derive(Parser)]
#[command(
    about = "One file through several directories of one file system, against a model",
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
    /// Plays steps for the process that started it
    #[command(hide = true)]
    Play {
        #[arg(long)]
        surface: Surface,
        progress: PathBuf,
        folders: Vec<PathBuf>,
    },
}

#[derive(Args)]
struct Options {
    /// Where the nodes have the file system
    #[arg(long, num_args = 1..)]
    dirs: Vec<PathBuf>,
    #[command(flatten)]
    surfaces: Surfaces,
    /// The first seed
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many seeds
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    /// Steps of each seed
    #[arg(long, default_value_t = 1000)]
    ops: usize,
    /// Only read, write and their relatives
    #[arg(long)]
    no_mmap: bool,
    /// Each directory's steps are done by a process of its own, in turns; so it is by default if there are several
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    processes: Option<bool>,
    /// After how many seconds a step is said to hang
    #[arg(long, default_value_t = 30)]
    patience_s: u64,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.part {
        Some(Part::Play { surface, progress, folders }) => {
            play::serve(surface, &progress, &folders).map(|()| 0)
        }
        None => exercise(&cli.options),
    };
    match result {
        Ok(failed) => ExitCode::from(u8::from(failed > 0)),
        Err(what) => {
            eprintln!("fsxr: {what}");
            ExitCode::from(2)
        }
    }
}

fn exercise(options: &Options) -> std::io::Result<u64> {
    let folders = options.dirs.iter().map(|dir| dir.canonicalize()).collect::<Result<Vec<_>, _>>()?;
    if folders.is_empty() {
        return Err(std::io::Error::other("say where the nodes have the file system: --dirs DIR DIR …"));
    }
    let processes = options.processes.unwrap_or(folders.len() > 1);
    let mut exerciser =
        Exerciser::new(&folders, &options.surfaces, Duration::from_secs(options.patience_s), processes)?;
    let mut failed = 0;
    for seed in options.seed..options.seed.saturating_add(options.seeds) {
        let (count, maps) = (options.ops, !options.no_mmap);
        let order = Order { seed, count, maps, kept: (0..count).collect() };
        if let Err(failure) = exerciser.play(&order)? {
            failed += 1;
            println!("seed {seed}: {}", failure.why);
            let (shorter, why) = exerciser.shrink(&order, &failure)?;
            print(options, &folders, &shorter, &why);
        }
    }
    println!("{} passed, {failed} failed", options.seeds - failed);
    Ok(failed)
}

fn print(options: &Options, folders: &[PathBuf], order: &Order, failure: &Failure) {
    let list = Steps::new(order.seed, order.count, folders.len(), order.maps);
    println!("  fails too, with {} steps: {}", order.kept.len(), failure.why);
    for step in order.kept.iter().filter_map(|index| list.steps.get(*index)) {
        println!("    {step}");
    }
    let no_mmap = if options.no_mmap { " --no-mmap" } else { "" };
    let processes = options.processes.map(|all| format!(" --processes={all}")).unwrap_or_default();
    let surfaces = options.surfaces.options();
    println!(
        "  again: fsxr --dirs … {surfaces} --seed {} --ops {}{no_mmap}{processes}",
        order.seed, order.count
    );
}
