//! What all comparisons have in common: how often, how much, and in what form they answer.

use std::process::ExitCode;

use clap::Args;

use crate::report::Report;

#[derive(Debug, Args)]
pub(crate) struct Common {
    /// How often each comparison is repeated.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) rounds: u32,
    /// Operations, or bytes, of one measurement, in percent of the usual.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) effort: u32,
    /// Machine-readable.
    #[arg(long)]
    json: bool,
    /// Fail where a target is missed.
    #[arg(long)]
    check: bool,
    /// Only comparisons whose name contains this.
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
}

impl Common {
    pub(crate) fn wants(&self, name: &str) -> bool {
        self.only.as_ref().is_none_or(|only| name.contains(only.as_str()))
    }

    /// Prints the report.
    pub(crate) fn finish(&self, report: &Report) -> Result<ExitCode, serde_json::Error> {
        if self.json {
            println!("{}", report.json()?);
        } else {
            print!("{report}");
        }
        let missed = self.check && report.misses_targets();
        Ok(if missed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}
