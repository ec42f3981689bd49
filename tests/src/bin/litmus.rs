//! `litmus --dirs A B`: litmus tests of a memory model, each thread a process on one of the directories. One line a test, the
//! sum at the end; exit code 1 if something forbidden was seen, a test hung or did not communicate.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use scifs_tests::litmus::program::Program;
use scifs_tests::litmus::run::{Plan, Runner};
use scifs_tests::litmus::verdict::Verdict;
use scifs_tests::litmus::{pace, play, shapes};
use scifs_tests::shared::surface::{Nodes, Surface, Surfaces};
use serde_json::json;

/// A mount that hangs this often is broken; the other tests would only wait.
const HANGS_MAX: usize = 3;

#[derive(Parser)]
#[command(
    about = "Litmus tests of one file system in several directories, against x86-TSO",
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
    /// Plays threads for the process that started it
    #[command(hide = true)]
    Play {
        #[arg(long)]
        surface: Surface,
        control: PathBuf,
        folders: Vec<PathBuf>,
    },
    /// Measures how long a page takes to move
    #[command(hide = true)]
    Pace {
        #[arg(long)]
        surface: Surface,
        folders: Vec<PathBuf>,
    },
}

#[derive(Args)]
struct Options {
    /// Where the nodes have the file system; one directory several times for a test of this machine alone
    #[arg(long, num_args = 1..)]
    dirs: Vec<PathBuf>,
    #[command(flatten)]
    surfaces: Surfaces,
    /// Where a test's threads are
    #[arg(long, default_value = "different")]
    place: Nodes,
    /// Of each test
    #[arg(long, default_value_t = 1000)]
    iterations: usize,
    /// Repeats a run's pauses and placements
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Tests whose name contains this, or is this with a `=` in front
    #[arg(long, default_value = "")]
    only: String,
    /// How many µs a page takes to move from node to node, instead of measuring it: pauses follow from it
    #[arg(long)]
    move_us: Option<u64>,
    /// After how many seconds a quarter of a test is said to hang
    #[arg(long, default_value_t = 60)]
    patience_s: u64,
    /// Let threads do their accesses backwards, to see that this is noticed
    #[arg(long)]
    sabotage: bool,
    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,
    /// Print the tests, and do nothing
    #[arg(long)]
    list: bool,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.part {
        Some(Part::Play { surface, control, folders }) => {
            play::serve(surface, &control, &folders).map(|()| true).map_err(|error| error.to_string())
        }
        Some(Part::Pace { surface, folders }) => {
            pace::serve(surface, &folders).map(|()| true).map_err(|error| error.to_string())
        }
        None => litmus(&cli.options),
    };
    match result {
        Ok(passed) => ExitCode::from(u8::from(!passed)),
        Err(what) => {
            eprintln!("litmus: {what}");
            ExitCode::from(2)
        }
    }
}

fn litmus(options: &Options) -> Result<bool, String> {
    let tests = chosen(&options.only)?;
    if options.list {
        tests.iter().for_each(|test| println!("{:<20} {test}", test.name));
        return Ok(true);
    }
    if !cfg!(target_arch = "x86_64") {
        return Err("other processors reorder more than x86-TSO allows: run this on x86-64".into());
    }
    let plan = Plan {
        folders: folders(&options.dirs)?,
        surfaces: options.surfaces.clone(),
        place: options.place,
        iterations: options.iterations,
        seed: options.seed,
        move_ns: options.move_us.map(|us| us.saturating_mul(1000)),
        sabotage: options.sabotage,
        patience: Duration::from_secs(options.patience_s),
    };
    let verdicts = run(&tests, &plan, options.json)?;
    let failed = verdicts.iter().filter(|verdict| !verdict.passed()).count() + tests.len() - verdicts.len();
    if options.json {
        println!(
            "{}",
            json!({ "seed": plan.seed, "surfaces": plan.surfaces.options(), "place": plan.place.option(), "tests": verdicts.iter().map(as_json).collect::<Vec<_>>() })
        );
    } else {
        println!("{} passed, {failed} failed", tests.len() - failed);
    }
    Ok(failed == 0)
}

fn chosen(only: &str) -> Result<Vec<Program>, String> {
    let mut tests = shapes::all();
    tests.retain(|test| match only.strip_prefix('=') {
        Some(name) => test.name == name,
        None => test.name.contains(only),
    });
    if tests.is_empty() {
        Err(format!("no test is called {only:?}; --list shows them all"))
    } else {
        Ok(tests)
    }
}

fn folders(dirs: &[PathBuf]) -> Result<Vec<PathBuf>, String> {
    if dirs.is_empty() {
        return Err("say where the nodes have the file system: --dirs DIR DIR …".into());
    }
    let absolute = |dir: &PathBuf| dir.canonicalize().map_err(|error| format!("{}: {error}", dir.display()));
    dirs.iter().map(absolute).collect()
}

fn run(tests: &[Program], plan: &Plan, quiet: bool) -> Result<Vec<Verdict>, String> {
    let told = |error: std::io::Error| format!("the run can't go on: {error}");
    let mut runner = Runner::new(plan).map_err(told)?;
    let mut verdicts = Vec::new();
    let mut hangs = 0;
    if !quiet {
        println!("{:<20} iterations communicated overlapped forbidden  outcomes", "test");
    }
    for test in tests {
        let verdict = runner.test(test).map_err(|error| format!("{}: {}", test.name, told(error)))?;
        hangs += usize::from(verdict.complaints.len() as u64 > verdict.forbidden());
        if !quiet {
            print(&verdict, plan);
        }
        verdicts.push(verdict);
        if hangs >= HANGS_MAX {
            eprintln!("litmus: {hangs} tests hung or lost a process; the others are not run");
            break;
        }
    }
    Ok(verdicts)
}

fn print(verdict: &Verdict, plan: &Plan) {
    let outcomes: Vec<_> =
        verdict.histogram().into_iter().take(8).map(|(o, n, _)| format!("{n}× {o}")).collect();
    println!(
        "{:<20} {:>10} {:>11.1}% {:>9.1}% {:>9}  {}",
        verdict.name(),
        verdict.iterations(),
        verdict.communicated_percent(),
        verdict.overlapped_percent(),
        verdict.forbidden(),
        outcomes.join(", ")
    );
    if verdict.passed() {
        return;
    }
    println!("    FAILED {}", verdict.program());
    verdict.complaints.iter().for_each(|complaint| println!("    {complaint}"));
    if verdict.complaints.is_empty() {
        println!("    too few iterations communicated: nothing is proven");
    }
    let (name, seed, iterations) = (verdict.name(), plan.seed, plan.iterations);
    let how = format!("{} {}", plan.surfaces.options(), plan.place.option());
    println!("    again: litmus --dirs … {how} --only ={name} --seed {seed} --iterations {iterations}");
}

fn as_json(verdict: &Verdict) -> serde_json::Value {
    let outcome = |(outcome, times, allowed): (String, u64, bool)| json!({ "outcome": outcome, "times": times, "allowed": allowed });
    json!({
        "name": verdict.name(),
        "program": verdict.program().to_string(),
        "iterations": verdict.iterations(),
        "communicated_percent": verdict.communicated_percent(),
        "overlapped_percent": verdict.overlapped_percent(),
        "forbidden": verdict.forbidden(),
        "passed": verdict.passed(),
        "complaints": verdict.complaints,
        "outcomes": verdict.histogram().into_iter().map(outcome).collect::<Vec<_>>(),
    })
}
