//! `scattered --dir A --surfaces vm --pages 1000000`: one process maps one file, touches pages of it that are far from each other, and
//! finds in each what it stored. It must not run out of mappings, and afterwards the node's memory is free again.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use scifs_tests::scattered::{self, Plan};
use scifs_tests::shared::surface::{Surface, Surfaces};

#[derive(Parser)]
#[command(about = "Touches scattered pages of one file", args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    part: Option<Part>,
    #[command(flatten)]
    options: Options,
}

#[derive(Subcommand)]
enum Part {
    /// Touches for the process that started it
    #[command(hide = true)]
    Touch {
        #[arg(long)]
        surface: Surface,
        path: PathBuf,
        pages: u64,
        stride: u64,
    },
}

#[derive(Args)]
struct Options {
    /// Where a node has the file system; only the first is used
    #[arg(long, num_args = 1..)]
    dirs: Vec<PathBuf>,
    #[command(flatten)]
    surfaces: Surfaces,
    /// Map by libscifs, whatever the surface
    #[arg(long)]
    library: bool,
    /// How many pages
    #[arg(long, default_value_t = 1_000_000)]
    pages: u64,
    /// From one touched page to the next
    #[arg(long, default_value_t = 5)]
    stride: u64,
    /// How long all of it may take, in seconds
    #[arg(long, default_value_t = 300)]
    patience_s: u64,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.part {
        Some(Part::Touch { surface, path, pages, stride }) => {
            scattered::serve(surface, &path, pages, stride).map(|()| true)
        }
        None => touch(cli.options),
    };
    match result {
        Ok(passed) => ExitCode::from(u8::from(!passed)),
        Err(what) => {
            eprintln!("scattered: {what}");
            ExitCode::from(2)
        }
    }
}

fn touch(options: Options) -> std::io::Result<bool> {
    let folder = options.dirs.first().ok_or_else(|| std::io::Error::other("say where: --dirs DIR"))?;
    let plan = Plan {
        folder: folder.canonicalize()?,
        surfaces: options.surfaces,
        library: options.library,
        pages: options.pages,
        stride: options.stride,
        patience: Duration::from_secs(options.patience_s),
    };
    let result = scattered::run(&plan);
    match &result {
        Ok(done) => println!("{} pages ok      {done:?}\n1 passed, 0 failed", plan.pages),
        Err(error) => println!("{} pages FAILED  {error}\n0 passed, 1 failed", plan.pages),
    }
    Ok(result.is_ok())
}
